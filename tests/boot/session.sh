# ./run as a person starts it, its terminal a pipe: the operator's console, a machine's shell, `quit`. What the machines owe each other is smoke's.
# timeout: 150
. "$(dirname "$0")/lib.sh"

heard() { # REGEX [TEXT]: waits until the session's output has a match; TEXT is typed again and again meanwhile
	for _ in $(seq 60); do
		grep -qE "$1" "$scratch/session" && return
		[ -z "${2:-}" ] || printf '%s\r' "$2"
		sleep 1
	done
}
person() {
	heard "^ringmur> "
	heard "web, number 0: running" "info web"
	printf 'console web\r'
	heard "^web up: "
	printf 'echo "sum $((6 * 7))"\r'
	heard "^sum 42"
	printf '\035\035\035' # web, db, mail, operator
	heard "^--- operator:"
	printf 'quit\r'
}
: > "$scratch/session"
person | timeout 120 $machine > "$scratch/session" 2>&1
status=$?
output=$(tr -d '\r' < "$scratch/session")
for regex in "^Machine: QEMU, (KVM|emulated by TCG)" "^  cmdline +console=ttyS0 quiet hostname=web" "^web up: .* 2 processors, 19[0-9]{2} MiB, disk 1 MiB" "^sum 42"; do
	if grep -qE "$regex" <<<"$output"; then echo "ok   $regex"; else
		fails "no line matches: $regex" /dev/stdin <<<"$output"
	fi
done
[ $status = 0 ] || fails "quit: status $status" /dev/stdin <<<"$output"
finish
