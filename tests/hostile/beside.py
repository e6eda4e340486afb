"""beside: the work of beside.sh."""
import os
import re
import sys

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
from lab.host import BUILD, Host
from lab.session import WORDS
from lab.trial import hold_ends, hold_says, right, run, word

HOST_CPUS, HOST_MEBIBYTES = 2, 256
VICTIM, HOSTILE, MEBIBYTES = "victim", ("states", "straddle", "tables", "holes"), 33
MSR_LINES_MOST = 64
SECONDS = 100


def describe(scratch):
    lines = os.path.join(scratch, "vms")
    with open(lines, "w") as f:
        f.write(f'vm name={VICTIM} mem=24M kernel=hold cmdline="{word(VICTIM)}"\n')
        for name in HOSTILE:
            f.write(f'vm name={name} mem={MEBIBYTES}M kernel={name} cmdline="{"wait" if name == "holes" else ""}" reset=end\n')
    modules = [(os.path.join(BUILD, f"hostile/{name}.elf"), name) for name in HOSTILE]
    return Host(HOST_CPUS, HOST_MEBIBYTES, WORDS, [(lines, "vms"), (os.path.join(BUILD, "guests/hold.elf"), "hold"), *modules])


def memory_of(operator, name):
    """What `info` says of its memory: resident, private, tables."""
    return [line for line in operator.command(f"info {name}") if line.startswith("  memory ")]


def test(rig, _):
    operator = rig.operator
    operator.ready(SECONDS)
    hold_says(rig, VICTIM, r"\d+ MiB written, (\d+) foreign", SECONDS)
    before = None
    for when in ("before", "after"):
        rig.line.wait(f"^holes: {when}\n", operator.console("holes"), SECONDS, f"holes, {when}")
        now = memory_of(operator, "holes")
        right(f"holes has so much memory {when}: {' '.join(now)}", len(now) == 1 and (before is None or now == before))
        before = now
        operator.console("holes")
        rig.line.send("x")
    for name in HOSTILE:
        right(f"{name} had its answers", operator.wait_state(name, "off", SECONDS) == "off (test 0)")
    lines = len(re.findall(r"unknown MSR", rig.log_text()))
    right(f"a sweep of all MSRs is no more than {MSR_LINES_MOST} lines of the log: {lines}", 0 < lines <= MSR_LINES_MOST)
    hold_ends(rig, VICTIM, SECONDS)
    operator.audit()
    operator.ledger()


if __name__ == "__main__":
    sys.exit(run(describe, test))
