"""
erred: whether a record of the log looks like QEMU's own fault, which no hypervisor can keep its guests from (docs/svm.md, "An interrupt while GIF is 0").

Where each emulated processor has its thread, any of them may undo what the first has just noted of its entry to a guest, or of its exit. With KVM
there is no such excuse.
"""
import re

from lab.build import symbols
from lab.host import choose_accelerator, read_text

DOUBLE_FAULT_GATE = 8 * 16  # in a 64-bit IDT
SHUTDOWN = "7f"
SENTENCE = "The emulator led a processor astray where it entered or left a guest, as QEMU sometimes does (docs/svm.md)"


def emulator_erred(log, resets=None):
    """A guest has ended with Ringmur's IDT, or because its own could not be read; or the host, by `resets`, at the instruction behind VMRUN."""
    if choose_accelerator()[0] == "kvm":
        return False
    image = symbols()
    for code, cr2, idt in re.findall(r"^record of \S+, vCPU \d+: exit (\w+)\n(?:  .*\n)*?  cr0 \S+ cr2 (\S+) .*\n(?:  .*\n)*?  idtr \S+ base (\S+) ", log, re.M):
        idt = int(idt, 16)
        if idt == image["idt"] or (code == SHUTDOWN and int(cr2, 16) == idt + DOUBLE_FAULT_GATE):
            return True
    return bool(resets and re.search(rf"^RIP={image['svm_left_guest']:016x} ", read_text(resets), re.M))
