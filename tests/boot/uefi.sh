# The disc of tools/make-iso boots under UEFI as under BIOS, on both chipsets, to the end of a guest.
# timeout: 240
. "$(dirname "$0")/lib.sh"
boots "UEFI, pc"   --boot grub-efi
boots "UEFI, q35"  --boot grub-efi --chipset q35
finish
