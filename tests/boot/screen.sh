# The log on the display: VGA's text under BIOS, a framebuffer under UEFI, read back from outside character by character.
# timeout: 240
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
exec python3 tests/boot/screen.py
