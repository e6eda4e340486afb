# No address space maps all of memory, another machine's, or a page that can be both written and executed: QEMU tells what processors' tables map.
# timeout: 120
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
exec python3 tests/boot/maps.py
