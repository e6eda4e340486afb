# The stock kernel: reaches userland by itself, sees what it was promised, powers off in order; and gives a shell.
# timeout: 240
. "$(dirname "$0")/lib.sh"
expect "debian reports and powers off" 0 "^DEBIAN-UP" $machine guest debian --timeout 100 --log "$scratch/log"
expect_log "the log says how it ended" "end: guest power-off"
expect "its clock is the TSC" 0 "^clocksource +tsc" $machine guest debian --timeout 100
expect "it has the memory it was promised" 0 "^memory +4[0-9]{5} kB" $machine guest debian --mem 512M --timeout 100
expect "no complaint in its log" 0 "^DEBIAN-UP" $machine guest debian --cmdline loglevel=4 --timeout 100 --log "$scratch/log"

shell() { printf '\n\n\necho "sum $((6 * 7))"\nexit\n' | timeout 120 $machine; }
output=$(shell 2>&1)
status=$?
if [ $status = 0 ] && grep -q "^sum 42" <<<"$(tr -d '\r' <<<"$output")"; then
	echo "ok   ./run gives a shell"
else
	echo "FAIL ./run gives a shell: status $status"
	tail -n 20 <<<"$output" | sed 's/^/    /'
	failed=$((failed + 1))
fi
finish
