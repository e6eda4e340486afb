"""
bad_words: what a person can get wrong in the words of ./run, one line a case: the words, then what the one sentence must hold. It must name the offending
word, which is the last of the case, or stand in the third column. No machine is started: each case is refused before, which is part of the test.
"""
import importlib.machinery
import importlib.util
import os
import sys
import tempfile

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
os.chdir(TOP)
os.environ["RINGMUR_BUILT"] = "1"
import lab.guest
import lab.session
from lab.host import Host, Refused, qemu_command

machine = importlib.util.module_from_spec(importlib.util.spec_from_loader("machine", importlib.machinery.SourceFileLoader("machine", "tools/machine")))
machine.__loader__.exec_module(machine)

HELLO = "build/guests/hello.elf"
POSITIVE, SIZE = "takes a positive number", "takes a size as 512M or 2G"
NUMBERS = ("0", "-1", "many", "", "1.5", "0x10", "1e3", "1_0", " 1", "\u0661", "1000001", "9" * 40)
SECONDS = ("0", "-1", "0.0", "nan", "inf", "-inf", "", "1e3", "1.", ".5", "1000001", "soon")
SIZES = ("", "0M", "0G", "1", "1T", "1GB", "1m", "-1G", "1.5G", "G", "16777217M", "16385G", "9" * 40 + "M")
MODELS = "bochs-ryzen"
WORDS = "./run, ./run --smoke or ./run guest FILE"

CASES = [
    # words, what would be right, the offending word (else the last of the words)
    (["frob"], WORDS),
    (["frob", "guest"], WORDS, "'frob'"),
    (["--guest"], WORDS),
    ([""], WORDS, "''"),
    (["Guest", HELLO], WORDS, "'Guest'"),
    (["--smoke", "x"], "--smoke stands alone"),
    (["--smoke", "--cpus", "2"], "--smoke stands alone", "'--cpus'"),
    (["guest"], "./run guest FILE", "image"),
    (["guest", "--mem", "1G"], "./run guest FILE", "image"),
    (["guest", "nowhere"], "there is no file"),
    (["guest", ""], "there is no file", "''"),
    (["guest", "/"], "there is no file"),
    (["guest", "build"], "there is no file"),
    (["guest", HELLO, "another"], "more files come by --module"),
    (["guest", HELLO, "--module", "nowhere"], "there is no file"),
    (["guest", HELLO, "--module", "nowhere:words"], "there is no file", "'nowhere'"),
    (["guest", HELLO, "--module", ":words"], "there is no file", "''"),
    (["guest", HELLO, "--module", "tests"], "there is no file"),
    (["guest", HELLO, "--frob", "1"], "takes --boot --chipset --cmdline --cpu", "--frob"),
    (["guest", HELLO, "--frob=1"], "takes --boot --chipset --cmdline --cpu", "--frob"),
    (["guest", HELLO, "--Mem", "1G"], "takes --boot", "--Mem"),
    (["guest", HELLO, "--"], "takes --boot"),
    (["guest", HELLO, "--frob"], "takes --boot"),
    (["guest", HELLO, "--interactive=yes"], "--interactive takes no value"),
    (["guest", HELLO, "--no-kernel="], "--no-kernel takes no value"),
    (["guest", HELLO, "--chipset", "i440fx"], "pc or q35"),
    (["guest", HELLO, "--chipset="], "pc or q35", "''"),
    (["guest", HELLO, "--boot", "uefi"], "multiboot, grub, grub-efi, usb, usb-efi"),
    (["guest", HELLO, "--boot", "GRUB"], "multiboot, grub, grub-efi, usb, usb-efi"),
    (["guest", HELLO, "--target", "vax"], "qemu-svm, qemu-svm-nonpt or bochs-MODEL"),
    (["guest", HELLO, "--target", "bochs-"], MODELS, "''"),
    (["guest", HELLO, "--target", "bochs-z80"], MODELS, "z80"),
    (["guest", HELLO, "--target", "qemu-svm-nonpt"], "needs shadow paging"),
    (["guest", HELLO, "--target", "bochs-turion64_tyler"], "needs shadow paging"),
    (["guest", HELLO, "--target", "bochs-corei7_haswell_4770"], "Intel"),
    *((["guest", HELLO, "--target", MODELS, *words], "is for QEMU", words[0])
      for words in (["--boot", "grub"], ["--chipset", "q35"], ["--cpu", "EPYC"], ["--interactive"])),
    (["guest", HELLO, "--log", "/nowhere/log"], "there is no folder '/nowhere'"),
    (["guest", HELLO, "--log", "/tmp"], "it must be a file"),
    *((["guest", HELLO, option], "needs a value") for option in lab.guest.OPTIONS if option not in lab.guest.FLAGS),
    *((["guest", HELLO, option, wrong], POSITIVE, f"{option} takes a positive number, not '{wrong}'")
      for option in ("--vcpus", "--cpus") for wrong in NUMBERS),
    *((["guest", HELLO, "--timeout", wrong], POSITIVE, f"'{wrong}'") for wrong in SECONDS),
    *((["guest", HELLO, "--host-mem", wrong], SIZE, f"--host-mem takes a size as 512M or 2G, not '{wrong}'") for wrong in SIZES),
]
ACCELERATORS = ("kvmm", "TCG", "tcg ", "1")


def refusal(call, *arguments):
    try:
        call(*arguments)
    except Refused as refused:
        return str(refused)
    except BaseException as other:  # a trace instead of a sentence
        return f"not refused but {type(other).__name__}: {other}"
    return "not refused at all"


def wrong_with(said, right, named):
    if said.startswith("not refused"):
        return said
    if "\n" in said:
        return "more than one line"
    return None if right in said and named in said else f"'{right}' or '{named}' is not in it"


def main():
    def no_machine(*_):
        raise AssertionError("a machine was started")

    lab.guest.run_machine = lab.session.qemu_command = no_machine
    failed, count = 0, 0
    results = [(words, refusal(machine.run, words), right, *(rest or [words[-1]])) for words, right, *rest in CASES]
    with tempfile.TemporaryDirectory() as scratch:
        for wish in ACCELERATORS:
            os.environ["RINGMUR_ACCEL"] = wish
            said = refusal(qemu_command, Host(1, 64, "", []), scratch, "null", "log")
            results.append(([f"RINGMUR_ACCEL={wish}"], said, "tcg, kvm or counted", f"'{wish}'"))
    for words, said, right, named in results:
        count += 1
        wrong = wrong_with(said, right, named)
        if wrong:
            failed += 1
            print(f"FAIL {' '.join(words)}: {wrong}: {said}")
    print(f"{count} cases, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
