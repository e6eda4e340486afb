# What a guest asks for thousands of times makes nothing grow: not the log, not what ring 0 keeps for it.
# timeout: 120
. "$(dirname "$0")/../boot/lib.sh"
most=64 # lines of the log about unknown MSRs, one for each that is remembered
flood() { # TITLE GUEST: runs it, leaves what the audit found while it was still there
	expect "$1" 0 "" $machine guest "build/$2.elf" --mem 64M --timeout 60 --log "$scratch/log"
	expect_log "  all frames are home" "audit: clean; frames: guest 0 private 0 tables [0-9]+ .* boot 0 "
	sed -nE 's/.*audit: clean; frames: guest [1-9][0-9]* private ([0-9]+) .*/\1/p' "$scratch/log" | head -n 1 >"$scratch/private"
}
flood "a guest that asks for little" guests/hello
little=$(cat "$scratch/private")
flood "one that floods" hostile/flood
lines=$(grep -c "unknown MSR" "$scratch/log")
if [ "$lines" -gt 0 ] && [ "$lines" -le $most ]; then
	echo "ok   $lines lines about unknown MSRs"
else
	fails "$lines lines about unknown MSRs, at most $most are wanted"
fi
if [ "$little" = "$(cat "$scratch/private")" ]; then
	echo "ok   $little private frames, as of a guest that asks for little"
else
	fails "private frames: $(cat "$scratch/private"), of a guest that asks for little: $little"
fi
finish
