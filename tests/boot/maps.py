"""
maps: the work of maps.sh. QEMU tells what a stopped processor's page tables map: of one that idles, and of one in the space of a machine
whose monitor computes for ever.
"""
import os
import re
import sys
import time

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
from lab.host import BUILD, MIB, Host
from lab.operator import Wrong
from lab.session import WORDS
from lab.trial import hold_says, right, run, word

HOST_CPUS, HOST_MEBIBYTES = 2, 512
OTHER, OTHER_MEBIBYTES, BUSY, BUSY_MEBIBYTES = "amber", 128, "busy", 16
OWN_MEBIBYTES = 12  # Ringmur's image, its pool, its frame table
SECONDS, TRIES, TRY_SECONDS = 60, 200, 0.02
SMALL, LARGE = 4096, 2 * MIB
RAM_FROM = MIB      # below lie devices and what the start of processors needs


def describe(scratch):
    lines = os.path.join(scratch, "vms")
    with open(lines, "w") as f:
        f.write(f'vm name={OTHER} mem={OTHER_MEBIBYTES}M kernel=hold cmdline="{word(OTHER)}"\n'
                f"vm name={BUSY} mem={BUSY_MEBIBYTES}M kernel=hold monitor=silent reset=end start=no\n")
    return Host(HOST_CPUS, HOST_MEBIBYTES, WORDS, [(lines, "vms"), (os.path.join(BUILD, "guests/hold.elf"), "hold"),
                                                   (os.path.join(BUILD, "monitors/silent.elf"), "silent")])


def ask_qemu(rig, text, cpu):
    return rig.qmp.execute("human-monitor-command", **{"command-line": text, "cpu-index": cpu})


def leaves(rig, cpu):
    """(address, first byte of RAM, bytes, flags) of each leaf, as QEMU walks the tables: `X` is no-execute, `W` writable, `P` a large page."""
    text = ask_qemu(rig, "info tlb", cpu)
    found = re.findall(r"^([0-9a-f]{16}): ([0-9a-f]{16}) ([-A-Z]{9})", text.replace("\r", ""), re.M)
    return [(int(at, 16), int(to, 16), LARGE if flags[2] == "P" else SMALL, flags) for at, to, flags in found]


def stopped(rig, regex):
    """What a processor maps that is found in such a state; the machine goes on after it."""
    for _ in range(TRIES):
        rig.qmp.execute("stop")
        try:
            for cpu in range(HOST_CPUS):
                if re.search(regex, ask_qemu(rig, "info registers", cpu)):
                    return leaves(rig, cpu)
        finally:
            rig.qmp.execute("cont")
        time.sleep(TRY_SECONDS)
    raise Wrong(f"no processor is found with {regex}")


def frames_of(operator, name, mebibytes):
    """Where some of a machine's memory lies, by the operator's walk."""
    answers = ["\n".join(operator.command(f"walk {name} gpa {at * MIB:x}")) for at in range(1, mebibytes, 5)]
    return {int(where[1], 16) for where in (re.search(r"at hpa ([0-9a-f]+)", answer) for answer in answers) if where}


def judge(what, maps, foreign, most):
    ram = {to + at for _, to, size, _ in maps for at in range(0, size, SMALL) if RAM_FROM <= to + at < HOST_MEBIBYTES * MIB}
    print(f"    {what}: {len(maps)} leaves, {len(ram) * SMALL // 1024} KiB of RAM")
    right(f"{what}: there is a map", len(maps) > 50)
    right("  nothing of the other machine's memory is in it", not foreign & ram)
    right("  nor most of the host's", len(ram) * SMALL <= most * MIB)
    right("  ring 0 can execute nothing that it can write", not [leaf for leaf in maps if "W" in leaf[3] and not set("XU") & set(leaf[3])])
    right("  and Ringmur's own code is there", any("X" not in flags and "U" not in flags for _, _, _, flags in maps))


def test(rig, scratch):
    operator = rig.operator
    operator.ready(SECONDS)
    hold_says(rig, OTHER, r"(\d+) MiB written, 0 foreign", SECONDS)
    foreign = frames_of(operator, OTHER, OTHER_MEBIBYTES)
    right("the other machine has memory in many places", len(foreign) > OTHER_MEBIBYTES // 10)
    judge("a processor that idles", stopped(rig, r"CPL=0 II=0 .*HLT=1"), foreign, OWN_MEBIBYTES)
    operator.command(f"start {BUSY}")
    judge("one that a monitor computes on", stopped(rig, r"CPL=3 "), foreign, OWN_MEBIBYTES + BUSY_MEBIBYTES)


if __name__ == "__main__":
    sys.exit(run(describe, test))
