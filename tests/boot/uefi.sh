# The disc of tools/make-iso boots under UEFI as under BIOS, on both chipsets, and from a USB stick under either: to the end of a guest.
# timeout: 300
. "$(dirname "$0")/lib.sh"
hello=build/guests/hello.elf
said="Hello from a guest of Ringmur's own"

# boots TITLE OPTIONS...: hello, beside two processors of the host's, to its end; then what the log must hold
boots() {
	local title=$1
	shift
	expect "$title" 0 "$said" $machine guest $hello --mem 64M --cpus 2 --timeout 100 --log "$scratch/log" "$@" || return
	expect_log "$title: both processors" "^2 processors,"
	expect_log "$title: the guest's orderly end" "^end: guest power-off|^end: guest test 0"
}

boots "UEFI, pc"   --boot grub-efi
boots "UEFI, q35"  --boot grub-efi --chipset q35
boots "a USB stick, BIOS" --boot usb --chipset q35
boots "a USB stick, UEFI" --boot usb-efi
finish
