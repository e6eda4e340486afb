# Machines with keys in all their registers share one processor; one that starts between them, and a device model that sleeps between them, see none.
# timeout: 200
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
exec python3 tests/hostile/registers-apart.py
