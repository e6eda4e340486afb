# Several machines on one host: side by side, resets, bad definitions.
# timeout: 360
. "$(dirname "$0")/lib.sh"

vms='# three, two of them on one image
vm name=a mem=64M kernel=hello reset=end
vm name=b mem=64M kernel=hello vcpus=2 reset=end
vm name=c mem=64M kernel=registers vcpus=2 reset=end weight=300
vm name=d mem=128M kernel=hello start=no'
for processors in 1 2 4; do
	expect "three machines on $processors processors" 0 "" \
		several 256M $processors 120 operator=no "build/guests/hello.elf hello" "build/guests/registers.elf registers"
	count_is "each ended by itself, with all its checks right" 3 "$(ends '[abc] test 0$')"
	count_is "clean audits at each end" 6 "$(grep -c '^audit: clean' "$scratch/log")"
done
expect_log "what was not needed any more came home" "^audit: clean; frames: guest 0 private 0 .* boot [1-9]"

vms='vm name=alone mem=64M kernel=memory reset=end
vm name=again mem=16M kernel=triple reset=restart'
several 256M 2 90 operator=no "build/guests/memory.elf memory" "build/guests/triple.elf triple" >"$scratch/out" 2>&1 &
for _ in $(seq 80); do
	sleep 1
	[ "$(ends 'again triple fault$')" -ge 3 ] && [ "$(ends 'alone test 0$')" = 1 ] && break
done
pkill -f "file:$scratch/log" # QEMU, which the shell does not know by number
wait
count_is "one machine works on and ends by itself" 1 "$(ends 'alone test 0$')"
count_is "while its neighbour is reset again and again" yes "$([ "$(ends 'again triple fault$')" -ge 3 ] && echo yes)"

bad_definition() { # TITLE LINE SENTENCE
	vms=$2
	expect "$1" 0 "" several 256M 1 30 operator=no "build/guests/hello.elf hello"
	expect_log "  and why" "$3"
}
bad_definition "a definition without a kernel" "vm name=a" "error: vms, line 1: the machine a needs a kernel"
bad_definition "a module that is not there" "vm name=a kernel=nothing" "error: vms, line 1: kernel=nothing: no boot module has this name"
bad_definition "a word that is none" "vm name=a kernel=hello colour=red" "error: vms, line 1: there is no option colour; there are name mem"
bad_definition "a machine larger than the host" "vm name=a kernel=hello mem=1G" "error: mem=1024M is more than this host can give"
bad_definition "a memory that is no whole page" "vm name=a kernel=hello mem=1048577" "error: mem=1048577 is not a memory size: at least 1M, in whole pages"
vms='vm name=a mem=64M kernel=hello monitor=hello reset=end'
expect "a monitor that is no program" 0 "" several 256M 1 30 operator=no "build/guests/hello.elf hello"
expect_log "  and why" "^end: a could not start: its monitor= is no program"
# Alone on its processor: nothing but the watch interrupts it.
vms='vm name=a mem=32M kernel=hello monitor=silent reset=end'
expect "a monitor that never answers, alone" 0 "" several 128M 1 40 operator=no "build/guests/hello.elf hello" "build/monitors/silent.elf silent"
expect_log "  its budget ends it" "^end: a killed: its monitor computed for 2000 ms without an answer"
finish
