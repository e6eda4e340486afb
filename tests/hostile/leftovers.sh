# A machine leaves its key in memory, on its disk, in registers, on its console, in a module; whoever takes all that is free finds nothing of it.
# timeout: 200
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
exec python3 tests/hostile/leftovers.py
