# How a guest's end becomes a status: time limit, a code, a triple fault with its record on standard error.
# timeout: 120
. "$(dirname "$0")/lib.sh"
expect "the code that was written" 7 "" $machine guest build/guests/exit7.elf --mem 64M --timeout 30
expect "standard output is the console alone" 0 "" bash -c "
	$machine guest build/guests/hello.elf --mem 64M --timeout 30 2>/dev/null > '$scratch/out' &&
	! grep -vE '^(ok|skip|hello|  )' '$scratch/out' | grep -q ."
finish
