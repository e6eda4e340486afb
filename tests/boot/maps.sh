# No address space maps all of memory, another machine's, or a page that ring 0 could both write and execute: QEMU tells what processors' tables map.
# timeout: 120
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
exec python3 tests/boot/maps.py
