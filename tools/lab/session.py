"""
session: three Linux machines on one host, as ./run starts them, with the operator's console on this terminal.

One kernel and one userland serve all of them; the definitions are a text that Ringmur reads (docs/machines.md). A fourth is defined for
whoever wants to start it.
"""
import os
import re
import subprocess
import tempfile

from lab.build import build
from lab.erred import SENTENCE, emulator_erred
from lab.host import BUILD, ESCAPE_WORDS, KERNEL, Host, Refused, at_terminal, claim, qemu_command, read_text, say, stop, terminal_kept

MACHINES = ("web", "db", "mail")
SPARE = "spare"
HOST_CPUS, HOST_MEBIBYTES = 2, 4096
USERLAND = os.path.join(BUILD, "guests/userland.cpio")
TARGETS = ["all", "guest-userland"]
DISK_KIB = 1024
WORDS = "console=com1 log=com2 panic=exit operator=yes"
STATUS_CUT_SHORT, STATUS_ENDED = 1, 125
RECORD_LINES = 80
VMS = """\
# The machines of ./run (docs/machines.md has all words).
vm name=web  mem=2G vcpus=2 kernel=vmlinuz initrd=userland cmdline="console=ttyS0 quiet hostname=web" disk=data
vm name=db   mem=2G vcpus=2 kernel=vmlinuz initrd=userland cmdline="console=ttyS0 quiet hostname=db" disk=memory:64M
vm name=mail mem=2G vcpus=2 kernel=vmlinuz initrd=userland cmdline="console=ttyS0 quiet hostname=mail" disk=memory:16M
vm name=spare mem=1G vcpus=2 kernel=vmlinuz initrd=userland cmdline="console=ttyS0 quiet hostname=spare" start=no
"""


def write_disk(name):
    """A disk's image: numbered lines, so that a guest sees at once that it has the right one."""
    with open(name, "wb") as f:
        for kib in range(DISK_KIB):
            f.write(f"web's disk, KiB {kib}\n".encode().ljust(1024, b"."))


def describe(scratch):
    """The host of a session; its own files lie in `scratch`."""
    lines, disk = os.path.join(scratch, "vms"), os.path.join(scratch, "data")
    with open(lines, "w") as f:
        f.write(VMS)
    write_disk(disk)
    modules = [(lines, "vms"), (KERNEL, "vmlinuz"), (USERLAND, "userland"), (disk, "data")]
    return Host(HOST_CPUS, HOST_MEBIBYTES, WORDS, modules)


def run_session():
    build(TARGETS)
    log = os.path.join(claim("session"), "log")
    with tempfile.TemporaryDirectory(prefix="ringmur-") as scratch, terminal_kept():
        command = qemu_command(describe(scratch), scratch, "stdio,mux=on,signal=off", log)
        say(f"Starting {', '.join(MACHINES)}: 2 GiB and 2 processors each, on a host of 4 GiB and 2 processors; they are up within two minutes.")
        say("This terminal is the operator's console. `console web` leads to a shell, Ctrl-] on to the next; `quit` ends all;"
            f" {ESCAPE_WORDS} leaves at once.")
        say(f"What Ringmur logs: {os.path.relpath(log)}")
        if not at_terminal():
            say("Standard input is no terminal: `quit` must come by it, else this goes on for ever. ./run --smoke needs nobody who types.")
        process = subprocess.Popen(command)
        try:
            process.wait()
        finally:
            stop(process)
    return verdict(read_text(log), process.returncode)


def all_ended(log):
    """Whether each machine's last word in the log is its end. The host switches itself off only then."""
    last = {name: kind for kind, name in re.findall(r"^(vm|end):? ([^\s:]+)", log, re.M)}
    return set(last.values()) == {"end"}


def verdict(log, status):
    for line in log.splitlines():
        if line.startswith("error: "):
            raise Refused(line[len("error: "):])
    if emulator_erred(log):
        say(f"{SENTENCE}: so it looks by the log, and then it is not Ringmur's doing.")
    if re.search(r"^panic: ", log, re.M) or (status and log):
        say("\n".join(log.splitlines()[-RECORD_LINES:]))
        return STATUS_ENDED
    if status:
        return 2  # QEMU has said why
    if not all_ended(log):
        say(f"The host has stopped before its machines had ended: it was reset, unless {ESCAPE_WORDS} was typed.")
        return STATUS_CUT_SHORT
    return 0
