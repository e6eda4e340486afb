"""fair: the work of fair.sh. Nothing but the slices' ends moves such machines from one processor to another."""
import os
import sys
import time

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
from lab.host import BUILD, Host
from lab.session import WORDS
from lab.trial import right, run

HOST_CPUS, HOST_MEBIBYTES = 2, 128
EVEN, HEAVY = ("one", "two", "three"), "heavy"
SECONDS, MEASURED, SLACK = 60, 6, 0.15
ALONE = 8 # seconds, in which nobody waits


def describe(scratch):
    lines = os.path.join(scratch, "vms")
    with open(lines, "w") as f:
        for name in EVEN:
            f.write(f"vm name={name} mem=8M kernel=spin\n")
        f.write(f"vm name={HEAVY} mem=8M kernel=spin weight=200 start=no\n")
    return Host(HOST_CPUS, HOST_MEBIBYTES, WORDS, [(lines, "vms"), (os.path.join(BUILD, "guests/spin.elf"), "spin")])


def measure(operator, names):
    """Each one's part of all that they had, over some seconds."""
    before = {name: operator.seconds_of(name) for name in names}
    time.sleep(MEASURED)
    had = {name: operator.seconds_of(name) - before[name] for name in names}
    return {name: had[name] / sum(had.values()) for name in names}


def near(part, wanted):
    return abs(part - wanted) <= wanted * SLACK


def test(rig, scratch):
    operator = rig.operator
    operator.ready(SECONDS)
    for name in EVEN:
        operator.wait_state(name, "running", SECONDS)
    parts = measure(operator, EVEN)
    print("    " + ", ".join(f"{name} {part:.1%}" for name, part in parts.items()))
    right("three share two processors evenly", all(near(part, 1 / 3) for part in parts.values()))
    operator.command("destroy three")
    operator.wait_state("three", "off", SECONDS)
    operator.command(f"start {HEAVY}")
    operator.wait_state(HEAVY, "running", SECONDS)
    parts = measure(operator, ("one", "two", HEAVY))
    print("    " + ", ".join(f"{name} {part:.1%}" for name, part in parts.items()))
    right("one of twice the weight has a processor, the others share one",
          near(parts[HEAVY], 1 / 2) and near(parts["one"], 1 / 4) and near(parts["two"], 1 / 4))
    operator.command("destroy two")
    operator.wait_state("two", "off", SECONDS)
    time.sleep(ALONE)
    operator.command("start two")
    operator.wait_state("two", "running", SECONDS)
    parts = measure(operator, ("one", "two", HEAVY))
    print("    " + ", ".join(f"{name} {part:.1%}" for name, part in parts.items()))
    right("and so it is when the third comes late: what nobody else wanted is not held against who took it",
          near(parts[HEAVY], 1 / 2) and near(parts["one"], 1 / 4) and near(parts["two"], 1 / 4))
    for name in ("two", HEAVY):
        operator.command(f"destroy {name}")
        operator.wait_state(name, "off", SECONDS)
    time.sleep(ALONE / 2)
    operator.command("pause one")
    for name in ("two", "three"):
        operator.command(f"start {name}")
        operator.wait_state(name, "running", SECONDS)
    operator.command("resume one")
    parts = measure(operator, EVEN)
    print("    " + ", ".join(f"{name} {part:.1%}" for name, part in parts.items()))
    right("one that sleeps while others come has not lost its share", all(near(part, 1 / 3) for part in parts.values()))


if __name__ == "__main__":
    sys.exit(run(describe, test))
