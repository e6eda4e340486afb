# The disc that `make iso` gives, as it is: a shell of its Debian on COM1, the log on COM2, an orderly end.
# timeout: 120
. "$(dirname "$0")/lib.sh"

: > "$scratch/shell"
type_into "$scratch/shell" | timeout 110 qemu-system-x86_64 -machine pc -accel tcg -cpu max,+svm -smp 2 -m 2G -nodefaults -display none -monitor none -no-reboot \
	-serial stdio -serial "file:$scratch/log" -cdrom build/ringmur.iso > "$scratch/shell" 2>&1
status=$?
expect "the disc of make iso gives a shell" 0 "^sum 42" cat "$scratch/shell"
expect_log "and its machine powers off" "^end: debian power-off"
[ $status = 0 ] || fails "then the host does: status $status" "$scratch/log"
finish
