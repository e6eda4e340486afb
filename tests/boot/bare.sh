# Boot, processors, traps, ring 3, timers and panic by themselves: bare_main.c in place of everything above them, in both emulators.
# timeout: 300
. "$(dirname "$0")/lib.sh"
here=tests/boot
images=$scratch/bare

# Boots the bare image in QEMU; the log goes to standard output. WORDS OF THE MODULE, OPTIONS, QEMU'S WORDS...
qemu_bare() {
	local words=$1 options=$2
	shift 2
	rm -f "$scratch/log"
	timeout 60 qemu-system-x86_64 -accel tcg -m 256 -kernel "$images/bare.bin" -append "$options" -initrd "$scratch/module $words" \
		-nodefaults -display none -monitor none -no-reboot -serial file:"$scratch/console" -serial file:"$scratch/log" "$@" 2> /dev/null
	local status=$?
	cat "$scratch/log"
	return $status
}

bochs_bare() {
	$here/run-bochs "$scratch/bare.iso" "$1" "$scratch/bochs" "$2" 100
	local status=$?
	cat "$scratch/bochs/com2"
	return $status
}

all_good='bare: [0-9]+ passed, 0 failed'
echo module > "$scratch/module"
expect "the image builds" 0 "" $here/build-bare "$images" || finish

if [ -n "${quick:-}" ]; then # for ring0.sh
	expect "QEMU, 2 processors" 0 "$all_good" qemu_bare "a b" "mem=1G" -cpu max,+svm -smp 2
	finish
fi
for cpus in 1 2 4; do
	for chipset in pc q35; do
		expect "QEMU $chipset, $cpus processors" 0 "$all_good" qemu_bare "a b" "mem=1G" -machine $chipset -cpu max,+svm -smp $cpus
	done
done
expect "QEMU, counting instructions" 0 "$all_good" qemu_bare "a b" "" -cpu max,+svm -icount shift=0,sleep=off -smp 2
expect "QEMU, an old processor" 0 "$all_good" qemu_bare "a b" "" -cpu qemu64,-svm -smp 2
expect "features hidden" 0 "$all_good" qemu_bare "a b" "hide=svm,xsave,smap,smep,umip,pge" -cpu max,+svm
expect "memory above 4 GiB" 0 "range 100000000\.\.[0-9a-f]+ ram" qemu_bare "a b" "" -cpu max -machine q35 -m 5G
typed() { (sleep 1; printf x; sleep 3) | timeout 30 qemu-system-x86_64 -accel tcg -m 256 -kernel "$images/bare.bin" -append "name=type" \
	-initrd "$scratch/module a" -nodefaults -display none -monitor none -no-reboot -serial stdio -serial file:"$scratch/log" -cpu max; cat "$scratch/log"; }
expect "what is typed arrives" 0 "ok: what is typed arrives" typed

# how it ends when it goes wrong
expect "an unknown option" 0 "^error: there is no option frob; there are console" qemu_bare "a" "frob" -cpu max
expect "a processor without NX" 0 "^error: this processor has no NX" qemu_bare "a" "hide=nx" -cpu max
expect "a page fault" 0 "panic: page fault .*address 0x600000000000" qemu_bare "die-fault" "panic=exit" -cpu max -smp 2
expect_log "its backtrace has names" "from [0-9a-f]+ boot_start\+0x"
expect "a CHECK" 0 "panic: tests/boot/bare_main.c:[0-9]+: this must hold: machine == NULL" qemu_bare "die-check" "panic=exit" -cpu max
expect "a stack overflow" 0 "panic: double fault .*beneath a stack" qemu_bare "die-stack" "panic=exit" -cpu max
expect "a panic that stays" 124 "panic: stopped" bash -c "timeout 5 $(command -v qemu-system-x86_64) -accel tcg -m 256 -cpu max -smp 2 -nodefaults \
	-display none -monitor none -kernel '$images/bare.bin' -initrd '$scratch/module die-panic' -serial null -serial file:'$scratch/log'; s=\$?; cat '$scratch/log'; exit \$s"

# GRUB, Multiboot 2, in the other emulator
expect "a disc" 0 "" tools/make-iso "$scratch/bare.iso" "$images/bare.elf" "mem=1G" "$scratch/module a 'b c'"
expect "GRUB in QEMU" 0 "$all_good" bash -c "timeout 60 qemu-system-x86_64 -accel tcg -m 256 -cdrom '$scratch/bare.iso' -cpu max,+svm -smp 2 -nodefaults \
	-display none -monitor none -no-reboot -serial null -serial file:'$scratch/log'; s=\$?; cat '$scratch/log'; exit \$s"
expect "Bochs, ryzen, 2 processors" 0 "$all_good" bochs_bare ryzen 2
expect "Bochs, an Intel with x2APIC and TSC deadline" 0 "$all_good" bochs_bare corei7_haswell_4770 2
expect "Bochs, phenom_8650_toliman" 0 "$all_good" bochs_bare phenom_8650_toliman 1
finish
