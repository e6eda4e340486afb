"""
host: the emulated machine that Ringmur runs on: the accelerator, the command line of QEMU, the files that go in as boot modules.
"""
import contextlib
import fcntl
import itertools
import os
import re
import subprocess
import sys
import termios

from lab import group

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, "build")
KERNEL = os.path.join(BUILD, "deps/kernel/vmlinuz")
MIB = 1 << 20
MOST_NUMBER, MOST_MEBIBYTES = 1000000, 1 << 24
STOP_SECONDS = 2  # in which an emulator that is asked to end does
# QEMU's key for itself is Ctrl-A otherwise, which shells and editors in a guest need.
ESCAPE_CODE, ESCAPE_WORDS = 0x1c, "Ctrl-\\ x"
# How the host boots: (by UEFI, what from). QEMU itself can be the loader; else it is GRUB, from a disc that is also the image of a USB stick.
BOOTS = {"multiboot": (False, "kernel"), "grub": (False, "disc"), "grub-efi": (True, "disc"), "usb": (False, "stick"), "usb-efi": (True, "stick")}
UEFI = ("/usr/share/ovmf/OVMF.fd", "/usr/share/qemu/OVMF.fd")


class Refused(Exception):
    """What the person asked for cannot be: one sentence."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def number(option, text, kind=int):
    # Not all that Python takes for a number: 1_000, 1e3, inf, nan and digits of other scripts are none.
    match = re.fullmatch(r"[0-9]+" if kind is int else r"[0-9]+(\.[0-9]+)?", text)
    value = kind(text) if match else 0
    if not 0 < value <= MOST_NUMBER:
        raise Refused(f"{option} takes a positive number, not '{text}'")
    return value


def mebibytes(option, text):
    match = re.fullmatch(r"([0-9]+)([MG])", text)
    value = int(match[1]) * (1024 if match[2] == "G" else 1) if match else 0
    if not 0 < value <= MOST_MEBIBYTES:
        raise Refused(f"{option} takes a size as 512M or 2G, not '{text}'")
    return value


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
    if wish:
        raise Refused(f"RINGMUR_ACCEL is tcg, kvm or counted, not '{wish}'")
    reason = kvm_reason()
    return ("kvm", "nested AMD-V is usable") if reason is None else ("tcg", reason)


class Host:
    """What it is to be. `modules` are (file, words): the words are what Ringmur sees as the module's command line."""

    def __init__(self, cpus, mebibytes, words, modules):
        self.cpus, self.mebibytes, self.words, self.modules = cpus, mebibytes, words, modules
        self.chipset, self.cpu, self.boot, self.image = "pc", None, "multiboot", "ringmur.bin"
        self.vga = False  # a display, which nobody looks at but QMP
        self.counted = False  # one instruction is one nanosecond, whatever the accelerator was to be
        self.resets = None  # a file where QEMU says in what state a processor was reset
        self.in_turn = False  # emulated processors take turns in one thread, instead of a thread each


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
    command = [os.path.join(TOP, "tools/make-iso"), disc, os.path.join(BUILD, host.image.replace(".bin", ".elf")), host.words]
    if subprocess.run(command + modules, check=False).returncode:
        raise Refused("the bootable disc could not be made")
    return disc


def boot_words(host, scratch):
    """QEMU's words for what the host boots from."""
    uefi, source = BOOTS[host.boot]
    words = []
    if uefi:
        firmware = next((name for name in UEFI if os.path.exists(name)), None)
        if not firmware:
            raise Refused(f"there is no UEFI firmware for QEMU at {UEFI[0]}: the package ovmf has it")
        words = ["-bios", firmware]
    if source == "disc":
        return words + ["-cdrom", make_disc(host, scratch)]
    if source == "stick":
        return words + ["-device", "qemu-xhci", "-drive", f"if=none,id=stick,format=raw,readonly=on,file={make_disc(host, scratch)}",
                        "-device", "usb-storage,drive=stick,bootindex=0"]
    modules = ",".join(f"{name} {text}".strip().replace(",", ",,") for name, text in lay_out(host.modules, scratch))
    kernel = os.path.join(scratch, "ringmur")  # QEMU puts it before -append's words: it must have no blank
    os.symlink(os.path.join(BUILD, host.image), kernel)
    words = ["-kernel", kernel, "-append", host.words]
    return words + (["-initrd", modules] if modules else [])


def qemu_command(host, scratch, console, log):
    """`console`: the chardev behind the first serial port, as -chardev takes it, its id left out."""
    accel, why = choose_accelerator()
    counted = host.counted or (accel == "counted" and host.cpus == 1)
    if host.counted:
        accel, why = "tcg", "instructions are counted"
    accel = "kvm" if accel == "kvm" else "tcg"
    say("Machine: QEMU, " + (f"KVM ({why})" if accel == "kvm" else f"emulated by TCG ({why})"))
    cpu = host.cpu or ("host" if accel == "kvm" else "max,+svm")
    turns = ",thread=single" if host.in_turn and accel == "tcg" and not counted else ""
    command = ["qemu-system-x86_64", "-machine", host.chipset, "-accel", accel + turns, "-cpu", cpu,
               "-smp", str(host.cpus), "-m", f"{host.mebibytes}M",
               "-nodefaults", "-display", "none", "-monitor", "none", "-no-reboot", "-echr", str(ESCAPE_CODE), *os.environ.get("RINGMUR_QEMU", "").split()]
    if counted:
        command += ["-icount", "shift=0,sleep=off", "-seed", "1", "-rtc", "base=2024-01-01,clock=vm"]
    command += ["-chardev", f"{console},id=console", "-serial", "chardev:console", "-serial", f"file:{log}"]
    if host.resets:
        command += ["-d", "cpu_reset", "-D", host.resets]
    if host.vga or BOOTS[host.boot][0]: # UEFI has nothing else to give a loader
        command += ["-vga", "std"]
    return command + boot_words(host, scratch)


def read_text(name):
    try:
        with open(name, errors="replace") as f:
            return f.read().replace("\r", "")
    except OSError:
        return ""


# ---- what is to be as before when it has ended ----

def stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_by_signal():
    """A signal ends this by way of all that cleans up."""
    group.end_by(lambda number: sys.exit(128 + number))


def at_terminal():
    return sys.stdin is not None and sys.stdin.isatty()


@contextlib.contextmanager
def terminal_kept():
    """QEMU makes the terminal raw and non-blocking; it may be killed before it has undone that."""
    if not at_terminal():
        yield
        return
    terminal = sys.stdin.fileno()
    flags, modes = fcntl.fcntl(terminal, fcntl.F_GETFL), termios.tcgetattr(terminal)
    try:
        yield
    finally:
        fcntl.fcntl(terminal, fcntl.F_SETFL, flags)
        if termios.tcgetattr(terminal) != modes:
            termios.tcsetattr(terminal, termios.TCSANOW, modes)


claimed = []


def claim(name):
    """An empty folder for what a run leaves to be read: build/NAME; or build/NAME-2 and so on where that is another run's, which goes on."""
    for number in itertools.count(1):
        folder = os.path.join(BUILD, name if number == 1 else f"{name}-{number}")
        os.makedirs(folder, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        claimed.append(lock)  # until this process ends
        for left in os.listdir(folder):
            os.unlink(os.path.join(folder, left))
        return folder
