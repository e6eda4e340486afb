# Three machines that only spin share two processors evenly, whoever of them came first; one of twice the weight gets a whole one.
# timeout: 120
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
exec python3 tests/boot/fair.py
