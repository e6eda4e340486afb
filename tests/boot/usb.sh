# The same disc written to a USB stick, on an xHCI controller, under BIOS and under UEFI.
# timeout: 240
. "$(dirname "$0")/lib.sh"
boots "a USB stick, BIOS" --boot usb --chipset q35
boots "a USB stick, UEFI" --boot usb-efi
finish
