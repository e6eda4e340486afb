# A host larger than can be used, hardly any of it touched: its frame table fills more than one table of the map; what lies above is left alone.
# timeout: 200
. "$(dirname "$0")/lib.sh"
large() { # MEMORY
	: >"$scratch/log"
	printf 'vm name=a mem=64M kernel=hello reset=end\n' >"$scratch/vms"
	timeout 150 qemu-system-x86_64 -machine pc,memory-backend=ram -object "memory-backend-ram,id=ram,size=$1,reserve=off" -m "$1" -accel tcg \
		-cpu max,+svm,phys-bits=46 -nodefaults -display none -monitor none -no-reboot -serial stdio -serial "file:$scratch/log" \
		-kernel build/ringmur.bin -append "console=com1 log=com2 panic=exit operator=no scrub=0" \
		-initrd "$scratch/vms vms,build/guests/hello.elf hello"
}
expect "a host of 600 GiB" 0 "hello: [0-9]+ passed, 0 failed" large 600G
expect_log "  what cannot be used is named" "^memory above 512 GiB is not used: the last of it ends at 60[01] GiB"
expect_log "  all else is there, and audited" "^audit: clean; frames: guest 0 .* free 1334[0-9]{5}$"
finish
