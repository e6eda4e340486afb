"""apart: the work of apart.sh. The host is so small that the fourth machine must take frames that the destroyed one had."""
import os
import re
import sys
import time

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
from lab import keys
from lab.host import BUILD, MIB, Host
from lab.session import WORDS
from lab.trial import hold_ends, hold_says, right, run, word

HOST_CPUS, HOST_MEBIBYTES, VM_MEBIBYTES = 2, 256, 64
FIRST, LATE = ("amber", "basalt", "coral"), "late"
SECONDS, SCRUB_SECONDS = 60, 30


def describe(scratch):
    lines = os.path.join(scratch, "vms")
    with open(lines, "w") as f:
        for name in (*FIRST, LATE):
            start = "no" if name == LATE else "yes"
            f.write(f'vm name={name} mem={VM_MEBIBYTES}M kernel=hold start={start} cmdline="{word(name)}"\n')
    return Host(HOST_CPUS, HOST_MEBIBYTES, WORDS, [(lines, "vms"), (os.path.join(BUILD, "guests/hold.elf"), "hold")])


def test(rig, scratch):
    operator = rig.operator
    operator.ready(SECONDS)
    def search():
        return keys.search(rig.qmp, HOST_MEBIBYTES * MIB, [word(name) for name in FIRST], scratch)

    held = {}
    for name in FIRST:
        match = hold_says(rig, name, r"(\d+) MiB written, (\d+) foreign", SECONDS)
        held[name] = int(match[1]) * MIB // keys.LINE
        right(f"{name} had zeroed memory", match[2] == "0")
    found = search()
    right("from outside, every key is found", all(found[word(name)][0] >= held[name] for name in FIRST))

    operator.command("destroy basalt")
    operator.wait_state("basalt", "off", SECONDS)
    operator.audit()
    limit = time.monotonic() + SCRUB_SECONDS
    while (found := search())[word("basalt")][0] and time.monotonic() < limit:
        time.sleep(1)
    right("the key of a destroyed machine is nowhere", not found[word("basalt")][0])
    right("  and the others' are", all(found[word(name)][0] >= held[name] for name in FIRST if name != "basalt"))

    operator.command(f"start {LATE}")
    right("one started in its place had zeroed memory", hold_says(rig, LATE, r"\d+ MiB written, (\d+) foreign", SECONDS)[1] == "0")
    for name in (*(n for n in FIRST if n != "basalt"), LATE):
        hold_ends(rig, name, SECONDS)
    operator.audit()
    ledger = operator.ledger()
    right("nothing is held for machines", not any(kib for what, kib in ledger.items() if re.match("guest|private", what)))


if __name__ == "__main__":
    sys.exit(run(describe, test))
