# Three small machines hold keys; one is destroyed and its memory searched from outside; a fourth finds nothing of it. ./run --smoke is the large one.
# timeout: 150
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
exec python3 tests/boot/apart.py
