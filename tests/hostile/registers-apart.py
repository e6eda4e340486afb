"""registers-apart: the work of registers-apart.sh."""
import os
import sys

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
from lab.host import BUILD, Host
from lab.session import WORDS
from lab.trial import right, run, wait_log

HOST_CPUS, HOST_MEBIBYTES, VM_MEBIBYTES = 1, 128, 20
KEEPERS, LATE, SNOOP = ("a", "b"), "late-b", "snoop"
SECONDS = 100


def describe(scratch):
    lines = os.path.join(scratch, "vms")
    with open(lines, "w") as f:
        for name in (*KEEPERS, LATE):
            f.write(f"vm name={name} mem={VM_MEBIBYTES}M kernel=keep cmdline=\"{name}\" start={'no' if name == LATE else 'yes'}\n")
        f.write(f"vm name={SNOOP} mem={VM_MEBIBYTES}M kernel=keep monitor=snoop-program disk=memory:1M start=no\n")
    modules = [(os.path.join(BUILD, "hostile/own-registers.elf"), "keep"), (os.path.join(BUILD, "monitors/snoop.elf"), "snoop-program")]
    return Host(HOST_CPUS, HOST_MEBIBYTES, WORDS, [(lines, "vms"), *modules])


def test(rig, _):
    operator = rig.operator
    operator.ready(SECONDS)
    def filled(name):
        rig.line.wait("^own-registers: filled\n", operator.console(name), SECONDS, f"{name} holds its keys")

    # Its second life begins where the first one was: nothing of that may be left, either.
    filled("a")
    operator.command("reset a")
    wait_log(rig, "^end: a reset", 0, SECONDS)
    operator.wait_state("a", "running", SECONDS)
    for name in KEEPERS:
        filled(name)
    operator.command(f"start {SNOOP}")
    operator.command(f"start {LATE}")
    for name in (*KEEPERS, LATE):
        right(f"{name} had its own registers only", operator.wait_state(name, "off", SECONDS) == "off (test 0)")
    right("a device model found nothing of theirs", operator.wait_state(SNOOP, "off", SECONDS) == "off (test 0)")
    operator.audit()


if __name__ == "__main__":
    sys.exit(run(describe, test))
