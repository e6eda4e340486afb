# How a guest's end becomes a status: time limit, a code, a triple fault with its record on standard error.
# timeout: 120
. "$(dirname "$0")/lib.sh"
expect "the code that was written" 7 "" $machine guest build/guests/exit7.elf --mem 64M --timeout 30
# hello's own last words: nothing of Ringmur's before or after them.
console_of() { $machine guest "$@" 2>/dev/null; }
expect "standard output is the console" 0 "^hello: [0-9]+ passed, 0 failed" console_of build/guests/hello.elf --mem 64M --timeout 30
if console_of build/guests/hello.elf --mem 64M --timeout 30 | grep -qE "^(Machine|vm |stats|end|range|record)"; then
	fails "standard output has words that are not the guest's"
fi
expect "a guest that was ended: its record on standard error" 125 "record of guest, vCPU 0" \
	$machine guest build/guests/triple.elf --mem 64M --timeout 30
expect "the time limit" 124 "The time limit of 1 s is over" $machine guest debian --cmdline rdinit=/bin/cat --timeout 1
expect "a guest that asks for a reset" 125 "asked for a reset" $machine guest debian --cmdline "rdinit=/nothing panic=-1" --timeout 60
finish
