# ./run as a person starts it, its terminal a pipe: the operator's console, a machine's shell, `quit`; whom it blames for a machine's end. What the
# machines owe each other is smoke's.
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

# Whom a record blames: QEMU, where it emulates and a guest's own IDT could not be read or it was Ringmur's; nobody by any other.
blamed() { PYTHONPATH=tools RINGMUR_ACCEL=${accel:-tcg} python3 -B -c 'import sys; from lab.erred import emulator_erred; print(emulator_erred(sys.stdin.read()))'; }
judge() { # CODE CR2 IDT
	printf 'record of web, vCPU 1: exit %s\n  rip 0 rflags 2 cpl 0\n  cr0 1 cr2 %s cr3 0 cr4 0 efer 0\n  cs 10 base 0 limit 0 attributes 0\n  idtr 0 base %s limit fff attributes 0\n' "$@" | blamed
}
ringmurs=$(nm build/ringmur.elf | awk '$3 == "idt" { print $1 }')
count_is "a triple fault at the gate of #DF is the emulator's" True "$(judge 7f fffffe0000000080 fffffe0000000000)"
count_is "one at another place is not" False "$(judge 7f fffffe00000000e0 fffffe0000000000)"
count_is "nor is another end" False "$(judge 400 fffffe0000000080 fffffe0000000000)"
count_is "one with Ringmur's IDT is" True "$(judge 7f 0 "$ringmurs")"
count_is "with KVM nothing is" False "$(accel=kvm judge 7f fffffe0000000080 fffffe0000000000)"
count_is "no record blames nobody" False "$(printf 'end: web triple fault\n' | blamed)"
finish
