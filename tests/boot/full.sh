# A host that is full: more promised than there is, who waits, who is ended, and what comes home.
# timeout: 240
. "$(dirname "$0")/lib.sh"

# The first is done when the second finds no memory; so each run, for the instructions are counted.
counted=1
vms='vm name=big1 mem=300M kernel=memory reset=end weight=220
vm name=big2 mem=300M kernel=memory reset=end'
expect "600 MiB promised on 448, all of it touched" 0 "memory: 5 passed, 0 failed" \
	several 448M 1 45 operator=no "build/guests/memory.elf memory"
count_is "both did it in the end" 2 "$(ends 'big[12] test 0$')"
expect_log "one of them waited for memory" "big2 is paused: the host's memory is full"
vms="$vms
vm name=busy mem=16M kernel=spin cmdline=while reset=end weight=1"
expect "the same on a host that is never idle" 0 "memory: 5 passed, 0 failed" \
	several 448M 1 45 operator=no "build/guests/memory.elf memory" "build/guests/spin.elf spin"
expect_log "one of them waited for memory" "big2 is paused: the host's memory is full"
count_is "and went on as soon as the other had ended" "big1 big2 busy" "$(sed -nE 's/^end: ([a-z0-9]+) test 0$/\1/p' "$scratch/log" | paste -sd ' ')"
vms=$(head -n 2 <<<"${vms// weight=220/}")
expect "both find no memory, and nobody could give some back" 0 "memory: 5 passed, 0 failed" \
	several 448M 1 45 operator=no "build/guests/memory.elf memory"
count_is "one is ended with a sentence" 1 "$(ends 'big[12] killed: the host has no memory left, and nobody who could give some back')"
count_is "the other goes on" 1 "$(ends 'big[12] test 0$')"
vms='vm name=hog mem=420M kernel=hold cmdline="hog" reset=end weight=1000
vm name=lamb mem=100M kernel=memory reset=end weight=10'
expect "one takes all there is and waits for more, another wants a little" 0 "memory: 5 passed, 0 failed" \
	several 448M 1 45 operator=no "build/guests/hold.elf hold" "build/guests/memory.elf memory"
expect_log "who has most is ended" "^end: hog killed: the host has no memory left, .* it had most"
count_is "the other goes on" 1 "$(ends 'lamb test 0$')"
counted=

# Tables and what else is ring 0's comes in blocks of 512 frames; after its end nobody needs more than the first.
vms='vm name=sparse mem=32M kernel=sparse disk=memory:4G reset=end'
expect "a disk of which little is written" 0 "sparse: 2 passed, 0 failed" several 192M 2 60 operator=no "build/guests/sparse.elf sparse"
of_ring0() { sed -nE 's/^audit: clean; .* tables ([0-9]+) pool ([0-9]+) .*/\1 \2/p' "$scratch/log" | sed -n "$1p" | { read -r tables pool && echo $((tables + pool)); }; }
count_is "its tables filled more blocks" yes "$([ "$(of_ring0 1)" -ge $((5 * 512)) ] && echo yes)"
count_is "which came home with the rest" 512 "$(of_ring0 2)"
counted=1
vms=${vms/4G/64G}
expect "a disk larger than the host, of which too much is written" 0 "" several 128M 1 60 operator=no "build/guests/sparse.elf sparse"
expect_log "  ends its machine, with a sentence" "^end: sparse killed: the host has no memory left, and nobody who could give some back"
count_is "  and comes home" 512 "$(of_ring0 2)"
finish
