# What a VM had comes home: after it the audit finds no frame of a guest, a private one or a boot module's, and the tables of the host alone.
# timeout: 120
. "$(dirname "$0")/lib.sh"
end_of() { # TITLE GUEST OPTIONS...: the tables that are left
	local title=$1 guest=$2
	shift 2
	expect "$title" 0 "" $machine guest "build/guests/$guest.elf" --host-mem 512M --timeout 60 --log "$scratch/log" "$@"
	tail -n 3 "$scratch/log" >"$scratch/tail"
	cp "$scratch/tail" "$scratch/log"
	expect_log "  all frames are home" "audit: clean; frames: guest 0 private 0 tables [0-9]+ .* boot 0 "
	tables=$(sed -n 's/.*audit: clean.* tables \([0-9]*\) .*/\1/p' "$scratch/log" | tail -n 1)
}
end_of "a small guest" hello --mem 64M
small=$tables
# Its last block is half a block: it needs more tables than the small one.
end_of "a guest that touches all of its memory" memory --mem 65M
great=$tables
end_of "two processors" smp --mem 64M --vcpus 2 --cpus 1
two=$tables
end_of "modules" hello --mem 64M --module build/guests/module-b.bin
if [ "$small" = "$great" ] && [ "$small" = "$two" ] && [ "$small" = "$tables" ]; then
	echo "ok   the same tables are left"
else
	fails "the tables that are left: $small, $great, $two, $tables"
fi
finish
