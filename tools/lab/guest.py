"""
guest: one image as the only VM of a host, without an operator: what was asked, the machine for it, and what its end means.
"""
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time

from lab.bochs import Relay, bochs_command, check_model
from lab.build import build
from lab.host import (BOOTS, ESCAPE_WORDS, KERNEL, MIB, TOP, Host, Refused, mebibytes, number, qemu_command, read_text, say, stop,
                      terminal_kept)

STATUS_USAGE, STATUS_TIMEOUT, STATUS_ENDED = 2, 124, 125
SETTLE_SECONDS = 5  # from the log's last word to the machine's power-off
UEFI_MEBIBYTES = 192
RECORD_LINES = 80   # of the log, shown when a guest was ended


# ---- what was asked ----

TEXTS = ("--cmdline", "--mem", "--target", "--log", "--hypervisor", "--host-mem", "--chipset", "--cpu", "--boot")
FLAGS = {"--interactive": "interactive", "--no-kernel": "no_kernel", "--points": "points"}
OPTIONS = sorted(("--module", "--vcpus", "--cpus", "--timeout", *TEXTS, *FLAGS))


class Request:
    def __init__(self):
        self.image = None
        self.modules = []  # (file, command line)
        self.cmdline = ""
        self.mem = "1G"
        self.vcpus = 1
        self.target = "qemu-svm"
        self.timeout = None
        self.log = None
        self.interactive = False
        self.hypervisor = ""
        self.cpus = None
        self.host_mem = None
        self.chipset = "pc"
        self.cpu = None
        self.boot = "multiboot"
        self.no_kernel = False
        self.points = False


def parse(words):
    r = Request()
    while words:
        word = words.pop(0)
        if word in FLAGS:
            setattr(r, FLAGS[word], True)
        elif word.partition("=")[0] in FLAGS:
            raise Refused(f"{word.partition('=')[0]} takes no value, as in '{word}'")
        elif word.startswith("--"):
            option, _, value = word.partition("=")
            if option not in OPTIONS:
                raise Refused(f"unknown option {option}; ./run guest takes {' '.join(OPTIONS)}")
            if "=" not in word:
                if not words:
                    raise Refused(f"{option} needs a value")
                value = words.pop(0)
            take_option(r, option, value)
        elif r.image is None:
            r.image = word
        else:
            raise Refused(f"there can be one image only, '{r.image}' or '{word}'; more files come by --module")
    if r.image is None and not r.no_kernel:
        raise Refused("which image? ./run guest FILE, or a name like debian")
    return r


def take_option(r, option, value):
    if option == "--module":
        name, _, cmdline = value.partition(":")
        r.modules.append((name, cmdline))
    elif option == "--vcpus":
        r.vcpus = number(option, value)
    elif option == "--cpus":
        r.cpus = number(option, value)
    elif option == "--timeout":
        r.timeout = number(option, value, float)
    else:
        setattr(r, option[2:].replace("-", "_"), value)


def check_bochs(r):
    check_model(r.target[len("bochs-"):])
    for option, asked in (("--boot", r.boot != "multiboot"), ("--chipset", r.chipset != "pc"), ("--cpu", r.cpu), ("--interactive", r.interactive)):
        if asked:
            raise Refused(f"{option} is for QEMU, and the target {r.target} is Bochs")
    if not shutil.which("bochs"):
        raise Refused(f"the target {r.target} needs Bochs, which is not installed: tools/setup test installs it")


def check_target(r):
    if r.chipset not in ("pc", "q35"):
        raise Refused(f"--chipset is pc or q35, not '{r.chipset}'")
    if r.boot not in BOOTS:
        raise Refused(f"--boot is one of {', '.join(BOOTS)}, not '{r.boot}'")
    if r.target == "qemu-svm-nonpt":
        raise Refused("target qemu-svm-nonpt cannot run yet: it needs shadow paging, and this version has nested paging only")
    if r.target.startswith("bochs-"):
        check_bochs(r)
    elif r.target != "qemu-svm":
        raise Refused(f"unknown target '{r.target}': it is qemu-svm, qemu-svm-nonpt or bochs-MODEL")


# ---- its files ----

def resolve_guest(r):
    """The image's file name, and make's targets for it."""
    userlands = {"debian": "debian.cpio", "debian-membench": "membench.cpio"}
    if r.no_kernel:
        return []
    if r.image in userlands and not os.path.exists(r.image):
        archive = f"build/guests/{userlands[r.image]}"
        target = [f"guest-{r.image}"]
        r.image = KERNEL
        r.modules.insert(0, (os.path.join(TOP, archive), ""))
        words = ["console=ttyS0"] + ([] if "loglevel" in r.cmdline else ["quiet"])
        r.cmdline = " ".join(words + ([r.cmdline] if r.cmdline else []))
        return target
    if not os.path.exists(r.image) and re.fullmatch(r"[a-z0-9_.-]+", r.image):
        for name in (f"build/guests/{r.image}", f"build/guests/{r.image}.elf"):
            known = subprocess.run(["make", "-C", TOP, "-n", name], capture_output=True).returncode == 0
            if known or os.path.exists(os.path.join(TOP, name)):
                r.image = os.path.join(TOP, name)
                return [name]
    return []


def check_folder(r):
    """Where the log is to be put: better said before the machine runs than after."""
    folder = os.path.dirname(os.path.abspath(r.log)) if r.log else None
    if folder and not os.path.isdir(folder):
        raise Refused(f"--log {r.log}: there is no folder '{folder}'")
    if r.log and os.path.isdir(r.log):
        raise Refused(f"--log {r.log}: this is a folder, and it must be a file")


def check_files(r):
    for name in ([] if r.no_kernel else [r.image]) + [m[0] for m in r.modules]:
        if not os.path.isfile(name):
            raise Refused(f"there is no file '{name}'")
        if not os.access(name, os.R_OK):
            raise Refused(f"the file '{name}' cannot be read")


# ---- the machine ----

def host_mebibytes(r):
    if r.host_mem is not None:
        return mebibytes("--host-mem", r.host_mem)
    try:
        guest = mebibytes("--mem", r.mem)
    except Refused:
        guest = 0  # Ringmur itself has the word on what it does not understand
    files = ([] if r.no_kernel else [r.image]) + [m[0] for m in r.modules]
    modules = sum(os.path.getsize(f) for f in files) // MIB
    # Ringmur and its bookkeeping, the monitor, the modules until they are copied. UEFI takes its own, and GRUB beside it.
    need = guest + guest // 64 + modules + 160 + (UEFI_MEBIBYTES if BOOTS[r.boot][0] else 0)
    return (need + 63) // 64 * 64


def ringmur_words(r):
    words = [f"mem={r.mem}", f"vcpus={r.vcpus}", "name=guest", "console=com1", "log=com2", "panic=exit"]
    return " ".join(words + r.hypervisor.split())


def describe(r):
    modules = ([] if r.no_kernel else [(r.image, r.cmdline)]) + r.modules
    host = Host(r.cpus or r.vcpus, host_mebibytes(r), ringmur_words(r), modules)
    host.chipset, host.cpu, host.boot = r.chipset, r.cpu, r.boot
    host.image = "ringmur-points.bin" if r.points else host.image
    return host


# ---- its end ----

LAST_WORD = re.compile(r"^(?:\[[^]]*\] *)?(end|error|panic): *(.*)$", re.M)


def watch(process, r, log, relay):
    """Waits for the end; True if the time limit was what ended it."""
    limit = time.monotonic() + r.timeout if r.timeout else None
    settled = None
    while process.poll() is None:
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            pass
        relay.pump()
        now = time.monotonic()
        if settled is None and LAST_WORD.search(read_text(log)):
            settled = now + SETTLE_SECONDS
        if settled and now > settled and process.poll() is None:
            break
        if limit and now > limit:
            return True
    return False


def run_machine(r, scratch):
    log = os.path.join(scratch, "log")
    open(log, "w").close()
    bochs = r.target.startswith("bochs-")
    host = describe(r)
    if bochs:
        command = bochs_command(host, r.target[len("bochs-"):], scratch, log)
    else:
        command = qemu_command(host, scratch, "stdio,mux=on,signal=off" if r.interactive else "stdio,signal=on", log)
    relay = Relay(os.path.join(scratch, "console") if bochs else None)
    quiet = open(os.path.join(scratch, "stdout"), "w") if bochs else None
    environment = dict(os.environ, TERM="xterm") if bochs else None
    if r.interactive:
        say(f"The guest's console follows. {ESCAPE_WORDS} leaves at once.")
    with terminal_kept() if r.interactive else contextlib.nullcontext():
        process = subprocess.Popen(command, stdin=None if r.interactive else subprocess.DEVNULL, stdout=quiet,
                                   stderr=quiet, env=environment)
        try:
            late = watch(process, r, log, relay)
        finally:
            stop(process)
            relay.pump()
    if r.log:
        shutil.copy(log, r.log)
    return verdict(r, read_text(log), late, process.returncode)


def verdict(r, log, late, status):
    def record():
        say("\n".join(log.splitlines()[-RECORD_LINES:]))

    words = {kind: rest for kind, rest in LAST_WORD.findall(log)}
    if "panic" in words:
        record()
        return STATUS_ENDED
    if "error" in words:
        say("error: " + words["error"])
        return STATUS_USAGE
    if "end" in words:
        match = re.match(r"\S+ (power-off|reset|test|failed|killed)\b:? *(.*)", words["end"])
        how, rest = match.groups() if match else ("", "")
        if how == "power-off":
            return 0
        if how == "test" and rest.isdigit():
            return int(rest) & 0xff
        if how == "failed":
            reason = re.search(r"^\S+ error: (.*)$", log, re.M)
            say("error: " + (reason[1] if reason else "the image cannot be started"))
            return STATUS_USAGE
        if how == "reset":
            say("The guest asked for a reset.")
            return STATUS_ENDED
        record()
        return STATUS_ENDED
    if late:
        record()
        say(f"The time limit of {r.timeout:g} s is over.")
        return STATUS_TIMEOUT
    if status > 0 and not log:
        return STATUS_USAGE  # QEMU has said why
    if r.interactive and status == 0:
        return 0  # left by QEMU's key
    record()
    say("The machine stopped without a word on the guest's end.")
    return STATUS_ENDED


def run_guest(words):
    r = parse(words)
    check_target(r)
    check_folder(r)
    if r.host_mem is not None:
        mebibytes("--host-mem", r.host_mem)
    targets = resolve_guest(r)
    if not targets:
        check_files(r)
    build(["all"] + (["points"] if r.points else []) + targets)
    check_files(r)
    with tempfile.TemporaryDirectory(prefix="ringmur-") as scratch:
        return run_machine(r, scratch)
