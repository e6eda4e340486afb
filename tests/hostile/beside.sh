# Hostile guests all at once beside a machine that holds a key: each gets its answers, it keeps its memory; holes take no memory, and the log stays short.
# timeout: 200
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
exec python3 tests/hostile/beside.py
