# The operator's console over machines that run: consoles and their switch, every command, audit and ledger after each deed.
# timeout: 240
. "$(dirname "$0")/lib.sh"
python3 tests/boot/console.py "$scratch" || failed=1
finish
