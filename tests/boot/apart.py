"""apart: the work of apart.sh. The host is so small that the fourth machine must take frames that the destroyed one had."""
import os
import re
import secrets
import sys
import tempfile
import time

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
from lab import keys
from lab.host import BUILD, MIB, Host
from lab.line import Silence
from lab.operator import Wrong
from lab.rig import Rig
from lab.session import WORDS

HOST_CPUS, HOST_MEBIBYTES, VM_MEBIBYTES = 2, 256, 64
FIRST, LATE = ("amber", "basalt", "coral"), "late"
SECONDS, SCRUB_SECONDS = 60, 30
SEED = secrets.token_hex(4)
LOG_LINES = 30


def word(name):
    return f"{name}-{SEED}"


def describe(scratch):
    lines = os.path.join(scratch, "vms")
    with open(lines, "w") as f:
        for name in (*FIRST, LATE):
            start = "no" if name == LATE else "yes"
            f.write(f'vm name={name} mem={VM_MEBIBYTES}M kernel=hold start={start} cmdline="{word(name)}"\n')
    return Host(HOST_CPUS, HOST_MEBIBYTES, WORDS, [(lines, "vms"), (os.path.join(BUILD, "guests/hold.elf"), "hold")])


def says(rig, name, regex):
    """A line of a machine's console, of now or before."""
    rig.operator.wait_state(name, "running", SECONDS)
    return rig.line.wait(f"^hold {word(name)}: {regex}\n", rig.operator.console(name), SECONDS, f"{name}: {regex}")


def right(what, holds):
    print(f"{'ok  ' if holds else 'FAIL'} {what}", flush=True)
    if not holds:
        raise Wrong(what)


def test(rig, scratch):
    operator = rig.operator
    operator.ready(SECONDS)
    def search():
        return keys.search(rig.qmp, HOST_MEBIBYTES * MIB, [word(name) for name in FIRST], scratch)

    held = {}
    for name in FIRST:
        match = says(rig, name, r"(\d+) MiB written, (\d+) foreign")
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
    right("one started in its place had zeroed memory", says(rig, LATE, r"\d+ MiB written, (\d+) foreign")[1] == "0")
    for name in (*(n for n in FIRST if n != "basalt"), LATE):
        operator.console(name)
        rig.line.send("x")
        right(f"{name}'s memory is as it was", says(rig, name, r"\d+ MiB verified, (\d+) wrong")[1] == "0")
        operator.console(name)
        rig.line.send("q")
        right(f"{name} ends", operator.wait_state(name, "off", SECONDS) == "off (test 0)")
    operator.audit()
    ledger = operator.ledger()
    right("nothing is held for machines", not any(kib for what, kib in ledger.items() if re.match("guest|private", what)))


def main():
    with tempfile.TemporaryDirectory(prefix="ringmur-") as scratch, Rig(describe(scratch), scratch, scratch) as rig:
        try:
            test(rig, scratch)
        except (Wrong, Silence, RuntimeError) as wrong:
            print(f"FAIL: {wrong}")
            print("\n".join(rig.log_text().splitlines()[-LOG_LINES:]))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
