# lib: what the boot tests share. Each test is a script that sources this, calls `expect` and ends with `finish`.
#
#   expect TITLE STATUS REGEX COMMAND...   runs it; its status and a match in its output (stdout and stderr) are wanted
#
# The output of what failed is printed; the script's status is 0 only if all held. With RINGMUR_FIRST=1 the first that fails is the last.

set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
failed=0
machine=tools/machine # ./run without the installing
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# In this test's group of processes, which is ended as one (tools/lab/group.py).
timeout() { command timeout --foreground "$@"; }
export -f timeout

fails() { # SENTENCE [FILE]: the file's end says more
	echo "FAIL $1"
	[ -z "${2:-}" ] || tail -n 40 "$2" | sed 's/^/    /'
	failed=$((failed + 1))
	[ -z "${RINGMUR_FIRST:-}" ] || exit 1
}

expect() {
	local title=$1 status=$2 regex=$3 output got
	shift 3
	output=$("$@" 2>&1 </dev/null)
	got=$?
	if [ "$got" != "$status" ]; then
		fails "$title: status $got, wanted $status" /dev/stdin <<<"$output"
	elif ! grep -qE -- "$regex" <<<"$output"; then
		fails "$title: the output has no match for: $regex" /dev/stdin <<<"$output"
	else
		echo "ok   $title"
		return 0
	fi
	return 1
}

# Words in Ringmur's log of the last run with `--log "$scratch/log"`.
expect_log() {
	local title=$1 regex=$2
	if grep -qE -- "$regex" "$scratch/log"; then
		echo "ok   $title"
	else
		fails "$title: the log has no match for: $regex" "$scratch/log"
	fi
}

# Types into the shell of the Debian guest when it is there, as a person would; FILE keeps its console.
type_into() {
	for _ in $(seq 100); do
		grep -q "powers it off" "$1" && break
		sleep 1
	done
	sleep 2
	printf 'echo "sum $((6 * 7))"\n'
	sleep 2
	printf 'exit\n'
	sleep 5
}

# So many machines have ended as the REGEX says, by the log of the last run.
ends() { grep -cE "^end: $1" "$scratch/log"; }
count_is() { # TITLE WANTED GOT
	if [ "$2" = "$3" ]; then echo "ok   $1"; else
		fails "$1: $3, wanted $2" "$scratch/log"
	fi
}

# several MEMORY PROCESSORS SECONDS WORDS MODULE...: boots machines defined by the text in $vms, without a terminal; each MODULE is a file and its
# name. Consoles go to standard output, the log to $scratch/log. With $counted one instruction takes one nanosecond, and every run is the same;
# $cpu is the processor, $ringmur its build. RINGMUR_BOCHS=MODEL: in the other emulator, which counts always and takes twice as long.
counted= cpu=max,+svm ringmur=ringmur.bin
several() {
	local memory=$1 processors=$2 seconds=$3 words="console=com1 log=com2 panic=exit $4" modules=("$scratch/vms vms" "${@:5}")
	printf '%s\n' "$vms" >"$scratch/vms"
	: >"$scratch/log"
	if [ -n "${RINGMUR_BOCHS:-}" ]; then
		tools/make-iso "$scratch/disc" "build/${ringmur%.bin}.elf" "$words" "${modules[@]}" || return
		tests/boot/run-bochs "$scratch/disc" "$RINGMUR_BOCHS" "$scratch/bochs" "$processors" $((2 * seconds)) "${memory%M}"
		local status=$?
		cat "$scratch/bochs/com1"
		cp "$scratch/bochs/com2" "$scratch/log"
		return $status
	fi
	local all
	all=$(IFS=, && echo "${modules[*]}")
	timeout "$seconds" qemu-system-x86_64 -machine pc -accel tcg -cpu "$cpu" -smp "$processors" -m "$memory" -nodefaults -display none \
		-monitor none -no-reboot ${counted:+-icount shift=0,sleep=off} -serial stdio -serial "file:$scratch/log" -kernel "build/$ringmur" \
		-append "$words" -initrd "$all"
}

# boots TITLE OPTIONS...: a small guest on a host of two processors that is started in that way, to its end
boots() {
	local title=$1
	shift
	expect "$title" 0 "Hello from a guest of Ringmur's own" $machine guest build/guests/hello.elf --mem 64M --cpus 2 --timeout 100 \
		--log "$scratch/log" "$@" || return
	expect_log "$title: both processors" "^2 processors,"
	expect_log "$title: the guest's orderly end" "^end: guest power-off|^end: guest test 0"
}

finish() {
	[ "$failed" = 0 ] || exit 1
	exit 0
}
