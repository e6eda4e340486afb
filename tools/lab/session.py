"""
session: three Linux machines on one host, as ./run starts them, with the operator's console on this terminal.

One kernel and one userland serve all of them; the definitions are a text that Ringmur reads (docs/machines.md). A fourth is defined for
whoever wants to start it.
"""
import os
import signal
import subprocess
import tempfile

from lab.build import build
from lab.host import BUILD, KERNEL, Host, Refused, qemu_command, read_text, say, stop

MACHINES = ("web", "db", "mail")
SPARE = "spare"
HOST_CPUS, HOST_MEBIBYTES = 2, 4096
USERLAND = os.path.join(BUILD, "guests/userland.cpio")
TARGETS = ["all", "guest-userland"]
DISK_KIB = 1024
WORDS = "console=com1 log=com2 panic=exit operator=yes"
STATUS_ENDED = 125
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
    with tempfile.TemporaryDirectory(prefix="ringmur-") as scratch:
        log = os.path.join(scratch, "log")
        command = qemu_command(describe(scratch), scratch, "stdio,mux=on,signal=off", log)
        say(f"Starting {', '.join(MACHINES)}: 2 GiB and 2 processors each, on a host of 4 GiB and 2 processors; they are up within two minutes.")
        say("This terminal is the operator's console. `console web` leads to a shell, Ctrl-] on to the next; `quit` ends all; Ctrl-A X"
            " leaves at once.")
        process = subprocess.Popen(command)
        signal.signal(signal.SIGTERM, lambda *_: (stop(process), os._exit(128 + signal.SIGTERM)))
        try:
            process.wait()
        finally:
            stop(process)
        return verdict(read_text(log), process.returncode)


def verdict(log, status):
    for line in log.splitlines():
        if line.startswith("error: "):
            raise Refused(line[len("error: "):])
    if "panic" in log or (status and log):
        say("\n".join(log.splitlines()[-RECORD_LINES:]))
        return STATUS_ENDED
    return 0 if status == 0 else 2  # QEMU has said why
