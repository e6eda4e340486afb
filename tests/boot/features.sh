# What a processor offers is used, and can be hidden: each addition of AMD-V that an emulator has, with and without, and what the log says of it.
# timeout: 400
. "$(dirname "$0")/lib.sh"

on_ryzen() { # TITLE GUEST HIDDEN
	expect "$1" 0 "$2: [0-9]+ passed, 0 failed" $machine guest "build/guests/$2.elf" --mem 64M --target bochs-ryzen --timeout 200 \
		--log "$scratch/log" ${3:+--hypervisor "hide=$3"}
}
exits() { sed -nE "s/^stats: exits-$1=//p" "$scratch/log"; }
at_least() { # TITLE WANTED GOT
	if [ "${3:-0}" -ge "$2" ]; then echo "ok   $1"; else
		fails "$1: ${3:-0}, wanted $2 at least"
	fi
}

expect "faults, which have a next RIP here too" 0 "0 failed" tools/matrix --jobs 1 --targets bochs-ryzen -k exceptions
on_ryzen "CR2, which VMRUN does not load here" stringio ""
on_ryzen "PAUSE with a filter" pause ""
expect_log "  the log tells what is used" "^processor: AuthenticAMD, 32768 ASIDs; next RIP yes, decode assists no \(instructions are fetched\), clean bits no \(all is read at each entry\), flush by ASID yes, PAUSE filter yes$"
at_least "  long loops exit" 10 "$(exits pause)"
on_ryzen "PAUSE without a filter" pause pause-filter
expect_log "  the log tells that" "^processor: .*PAUSE filter no \(none exits\)$"
expect_log "  by its name, too" "^processor: done without:.* pause-filter( |$)"
expect_log "  and what was hidden" "^processor: hidden: pause-filter$"
at_least "  no loop exits" 1 "$([ -z "$(exits pause)" ] && echo 1)"
on_ryzen "CPUID without the next RIP" cpuid nrip
expect_log "  the log tells that" "^processor: .* next RIP no \(instructions are decoded\)"
on_ryzen "invalidations without flush by ASID" paging64 flush-by-asid
expect_log "  the log tells that" "^processor: .* flush by ASID no \(a fresh one is taken\)"
expect "x87 state where its addresses are not restored always" 0 "registers: [0-9]+ passed, 0 failed" $machine guest build/guests/registers.elf --mem 64M \
	--vcpus 2 --cpus 1 --timeout 100 --log "$scratch/log" --hypervisor hide=x87-pointers
# What is hidden is hidden from guests too (Linux without it: debian.sh).
optional=smep,smap,umip,gib-pages,fsgsbase,xsave,x2apic,tsc-deadline,invariant-tsc,rdtscp,x87-pointers
for guest in cr cpuid; do
	expect "guest $guest without what a processor may lack" 0 "$guest: [0-9]+ passed, 0 failed" $machine guest build/guests/$guest.elf --mem 64M \
		--timeout 100 --log "$scratch/log" --hypervisor hide=$optional
done
finish
