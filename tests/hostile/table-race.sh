# A guest whose tables change under each walk that ring 0 makes for it: that machine ends with a sentence, its neighbour notices nothing,
# and all is home in the end. (MV-45)
# timeout: 240
. "$(dirname "$0")/../boot/lib.sh"
ringmur=ringmur-points.bin
vms='vm name=racer mem=64M kernel=racer vcpus=2 reset=end
vm name=calm mem=64M kernel=stringio reset=end'
expect "a racer and its neighbour come to their ends" 0 "" \
	several 256M 2 200 operator=no "build/hostile/table-race.elf racer" "build/guests/stringio.elf stringio"
expect_log "the racer is ended, and why" "^end: racer killed: its page tables for 200001000 never stay as they are"
expect_log "the neighbour has all its answers" "^end: calm test 0$"
expect_log "a clean audit at the end" "^audit: clean; frames: guest 0 private 0"
finish
