"""
keys: the keys of tests/guests/lib/key.h, and the search of a host's memory for them from outside.

The search reads all RAM by QEMU's pmemsave, a piece at a time: what it finds nobody inside was asked about.
"""
import os

MASK = (1 << 64) - 1
MIB = 1 << 20
PIECE = 64 * MIB
LINE = 64  # bytes for each of which a pattern has the plain key once
LOW_END, HIGH_START = 3 << 30, 4 << 30  # QEMU's pc: RAM beyond 3 GiB lies above 4 GiB, if there is at least 3.5 GiB of it
ALL_LOW = 3584 * MIB


def key_of(word):
    h = 0xcbf29ce484222325
    for byte in word.encode():
        h = (h ^ byte) * 0x100000001b3 & MASK
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9 & MASK
    h = (h ^ h >> 27) * 0x94d049bb133111eb & MASK
    return ~(h ^ h >> 31) & MASK


def ram(bytes_of_ram):
    """(start, end) of the host's RAM."""
    if bytes_of_ram < ALL_LOW:
        return [(0, bytes_of_ram)]
    return [(0, LOW_END), (HIGH_START, HIGH_START + bytes_of_ram - LOW_END)]


def search_bytes(qmp, bytes_of_ram, needles, scratch):
    """{name: (how often its bytes stand in the host's RAM, first address or None)} of {name: bytes}"""
    name = os.path.join(scratch, "memory")
    found = {what: (0, None) for what in needles}
    for start, end in ram(bytes_of_ram):
        for at in range(start, end, PIECE):
            qmp.execute("pmemsave", val=at, size=min(PIECE, end - at), filename=name)
            with open(name, "rb") as f:
                data = f.read()
            for what, needle in needles.items():
                count, first = found[what]
                here = data.count(needle)
                if here and first is None:
                    first = at + data.find(needle)
                found[what] = (count + here, first)
    os.unlink(name)
    return found


def search(qmp, bytes_of_ram, words, scratch):
    """{word: (how often its key stands in the host's RAM, first address or None)}"""
    return search_bytes(qmp, bytes_of_ram, {word: key_of(word).to_bytes(8, "little") for word in words}, scratch)
