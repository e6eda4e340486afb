# A processor that goes from one #AC in delivery to the next, for ever: in the emulator that checks alignment, the machine's other processor
# goes on, and ends it.
# timeout: 200
. "$(dirname "$0")/../boot/lib.sh"
expect "beside an endless #AC" 0 "^align_loop: 3 passed, 0 failed, 0 skipped" $machine guest build/hostile/align-loop.elf --mem 64M \
	--vcpus 2 --cpus 2 --timeout 150 --target bochs-ryzen --log "$scratch/log"
expect_log "  which came out each time" "^stats: exits-exception=[0-9]{4,}$"
expect "and where both share a processor, which is taken from it" 0 "^align_loop: 3 passed, 0 failed, 0 skipped" $machine guest \
	build/hostile/align-loop.elf --mem 64M --vcpus 2 --cpus 1 --timeout 50 --target bochs-ryzen
finish
