"""
host: the emulated machine that Ringmur runs on: the accelerator, the command line of QEMU, the files that go in as boot modules.
"""
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, "build")
KERNEL = os.path.join(BUILD, "deps/kernel/vmlinuz")
MIB = 1 << 20


class Refused(Exception):
    """What the person asked for cannot be: one sentence."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def number(option, text, kind=int):
    try:
        value = kind(text)
    except ValueError:
        value = -1
    if value <= 0:
        raise Refused(f"{option} takes a positive number, not '{text}'")
    return value


def mebibytes(option, text):
    match = re.fullmatch(r"([0-9]+)([MG])", text)
    if not match:
        raise Refused(f"{option} takes a size as 512M or 2G, not '{text}'")
    return int(match[1]) * (1024 if match[2] == "G" else 1)


def kvm_reason():
    """Why KVM cannot run nested AMD-V here, or None if it can."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError:
        return "no usable /dev/kvm"
    with open("/proc/cpuinfo") as f:
        flags = re.search(r"^flags\s*:(.*)$", f.read(), re.M)
    if not flags or "svm" not in flags[1].split():
        return "the processor shows no AMD-V"
    try:
        with open("/sys/module/kvm_amd/parameters/nested") as f:
            nested = f.read().strip()
    except OSError:
        return "kvm_amd is not loaded"
    return None if nested in ("1", "Y") else "KVM's nesting is off"


def choose_accelerator():
    wish = os.environ.get("RINGMUR_ACCEL", "")
    if wish in ("tcg", "kvm", "counted"):
        return wish, "by RINGMUR_ACCEL"
    reason = kvm_reason()
    return ("kvm", "nested AMD-V is usable") if reason is None else ("tcg", reason)


class Host:
    """What it is to be. `modules` are (file, words): the words are what Ringmur sees as the module's command line."""

    def __init__(self, cpus, mebibytes, words, modules):
        self.cpus, self.mebibytes, self.words, self.modules = cpus, mebibytes, words, modules
        self.chipset, self.cpu, self.boot = "pc", None, "multiboot"
        self.counted = False  # one instruction is one nanosecond, whatever the accelerator was to be


def lay_out(modules, scratch):
    """Links to the files under short names: (link, words) for each."""
    links = []
    for i, (name, words) in enumerate(modules):
        link = os.path.join(scratch, f"module{i}")
        os.symlink(os.path.abspath(name), link)
        links.append((link, words))
    return links


def make_disc(host, scratch):
    """A disc that boots Ringmur with its modules by GRUB."""
    disc = os.path.join(scratch, "ringmur.iso")
    modules = [f"{name} {words}".strip() for name, words in lay_out(host.modules, scratch)]
    command = [os.path.join(TOP, "tools/make-iso"), disc, os.path.join(BUILD, "ringmur.elf"), host.words]
    if subprocess.run(command + modules, check=False).returncode:
        raise Refused("the bootable disc could not be made")
    return disc


def qemu_command(host, scratch, console, log):
    """`console`: the chardev behind the first serial port, as -chardev takes it, its id left out."""
    accel, why = choose_accelerator()
    counted = host.counted or (accel == "counted" and host.cpus == 1)
    if host.counted:
        accel, why = "tcg", "instructions are counted"
    accel = "kvm" if accel == "kvm" else "tcg"
    say("Machine: QEMU, " + (f"KVM ({why})" if accel == "kvm" else f"emulated by TCG ({why})"))
    cpu = host.cpu or ("host" if accel == "kvm" else "max,+svm")
    command = ["qemu-system-x86_64", "-machine", host.chipset, "-accel", accel, "-cpu", cpu,
               "-smp", str(host.cpus), "-m", f"{host.mebibytes}M",
               "-nodefaults", "-display", "none", "-monitor", "none", "-no-reboot", *os.environ.get("RINGMUR_QEMU", "").split()]
    if counted:
        command += ["-icount", "shift=0,sleep=off", "-seed", "1", "-rtc", "base=2024-01-01,clock=vm"]
    command += ["-chardev", f"{console},id=console", "-serial", "chardev:console", "-serial", f"file:{log}"]
    if host.boot == "grub":
        return command + ["-cdrom", make_disc(host, scratch)]
    modules = ",".join(f"{name} {words}".strip().replace(",", ",,") for name, words in lay_out(host.modules, scratch))
    command += ["-kernel", os.path.join(BUILD, "ringmur.bin"), "-append", host.words]
    return command + (["-initrd", modules] if modules else [])


def read_text(name):
    try:
        with open(name, errors="replace") as f:
            return f.read().replace("\r", "")
    except OSError:
        return ""


def stop(process):
    if process.poll() is None:
        process.kill()
        process.wait()
