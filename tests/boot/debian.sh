# The stock kernel: reaches userland by itself, sees what it was promised, powers off in order; and gives a shell.
# timeout: 240
. "$(dirname "$0")/lib.sh"
expect "debian reports and powers off" 0 "^DEBIAN-UP" $machine guest debian --timeout 100 --log "$scratch/log"
expect_log "the log says how it ended" "end: guest power-off"
expect "its clock is the TSC" 0 "^clocksource +tsc" $machine guest debian --timeout 100
expect "it has the memory it was promised" 0 "^memory +4[0-9]{5} kB" $machine guest debian --mem 512M --timeout 100
expect "no complaint in its log" 0 "^DEBIAN-UP" $machine guest debian --cmdline loglevel=4 --timeout 100 --log "$scratch/log"

# A kernel that was told of a feature that it cannot have would not come up: what hide= takes away is away from guests too.
optional=smep,smap,umip,gib-pages,fsgsbase,pge,x2apic,tsc-deadline,invariant-tsc,rdtscp,x87-pointers
expect "it lives without whatever a processor may lack" 0 "^DEBIAN-UP" $machine guest debian --timeout 100 --hypervisor "hide=$optional"
expect "  without XSAVE as well" 0 "^DEBIAN-UP" $machine guest debian --timeout 100 --hypervisor "hide=$optional,xsave"

: > "$scratch/shell"
type_into "$scratch/shell" | timeout 150 $machine guest debian --cmdline shell --interactive > "$scratch/shell" 2>&1
status=$?
output=$(tr -d '\r' < "$scratch/shell")
if [ $status = 0 ] && grep -q "^sum 42" <<<"$output"; then
	echo "ok   it gives a shell"
else
	fails "it gives a shell: status $status" /dev/stdin <<<"$output"
fi
finish
