"""
leftovers: the work of leftovers.sh. The host has one processor, and a machine that spins with the least weight: it is never idle, so nothing is
scrubbed before someone takes it. Only in the end, when that machine is gone, what is free is cleaned, and is searched from outside.
"""
import os
import sys
import time

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
from lab import keys
from lab.host import BUILD, MIB, Host
from lab.session import WORDS
from lab.trial import hold_ends, hold_says, right, run, wait_log, word

HOST_CPUS, HOST_MEBIBYTES = 1, 192
VICTIM_MEBIBYTES, VICTIM_DISK, GREEDY_MEBIBYTES, GREEDY_DISK = 48, 4, 110, 16
MODULE_BYTES = 4 * MIB
SECONDS, SCRUB_SECONDS = 60, 60
VMS = f"""\
vm name=spinner mem=20M kernel=calm weight=1 reset=end
vm name=victim mem={VICTIM_MEBIBYTES}M kernel=hold module=secret disk=memory:{VICTIM_DISK}M cmdline="{word('victim')}"
vm name=other mem=24M kernel=hold cmdline="{word('other')}"
vm name=greedy mem={GREEDY_MEBIBYTES}M kernel=hold disk=memory:{GREEDY_DISK}M start=no cmdline="{word('greedy')}"
"""


def describe(scratch):
    lines, secret = os.path.join(scratch, "vms"), os.path.join(scratch, "secret")
    with open(lines, "w") as f:
        f.write(VMS)
    with open(secret, "wb") as f:
        f.write(keys.key_of(word("module")).to_bytes(8, "little") * (MODULE_BYTES // 8))
    guests = [(os.path.join(BUILD, f"guests/{name}.elf"), name) for name in ("hold", "calm")]
    return Host(HOST_CPUS, HOST_MEBIBYTES, WORDS, [(lines, "vms"), *guests, (secret, "secret")])


def needles():
    key = keys.key_of(word("victim"))
    return {"victim": key.to_bytes(8, "little"), "printed": f"{key:016x}".encode(), "module": keys.key_of(word("module")).to_bytes(8, "little")}


def zeros(rig, name, when):
    """Its disk and its memory held zeros when it began."""
    for what in ("KiB of disk", "MiB"):
        right(f"{name} {when}: zeros, by {what}", hold_says(rig, name, rf"\d+ {what} written, (\d+) foreign", SECONDS)[1] == "0")


def test(rig, scratch):
    operator = rig.operator
    operator.ready(SECONDS)
    def search():
        return keys.search_bytes(rig.qmp, HOST_MEBIBYTES * MIB, needles(), scratch)

    zeros(rig, "victim", "at its first start")
    operator.home()
    log = len(rig.log_text())
    operator.command("reset victim")
    wait_log(rig, "^end: victim reset", log, SECONDS)
    zeros(rig, "victim", "after a reset")
    operator.console("victim")
    rig.line.send("k")
    hold_says(rig, "victim", r"[0-9a-f]{16}", SECONDS)
    found = search()
    right("its key is in its memory and on its disk", found["victim"][0] >= (VICTIM_MEBIBYTES - 16 + VICTIM_DISK) * MIB // keys.LINE)
    right("  in what it printed, and in its module", found["printed"][0] > 0 and found["module"][0] >= MODULE_BYTES // 8)

    operator.command("destroy victim")
    operator.wait_state("victim", "off", SECONDS)
    operator.command("forget victim")
    right("what it had is dirty still: nobody was idle", search()["victim"][0] > 0)
    operator.command("start greedy")
    zeros(rig, "greedy", "on all that was free")
    operator.audit()

    operator.command("destroy spinner")
    limit = time.monotonic() + SCRUB_SECONDS
    found = search()
    while any(count for count, _ in found.values()) and time.monotonic() < limit:
        time.sleep(1)
        found = search()
    for what, (count, first) in found.items():
        right(f"nothing of the victim's is anywhere ({what})" + (f": {count}, the first at {first:x}" if count else ""), not count)
    for name in ("other", "greedy"):
        hold_ends(rig, name, SECONDS)
    operator.audit()
    operator.ledger()


if __name__ == "__main__":
    sys.exit(run(describe, test))
