"""
monitor: the work of monitor.sh. Machines whose monitor is tests/monitors/hostile.c are started, told by their consoles what to do (by the
power button, when), and must end as the table says, several at a time beside two neighbours: one holds keyed memory, one compares registers. HOSTILE_SEEDS=N takes N seeds
instead of a few.
"""
import os
import re
import sys
import tempfile
import time

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
from lab.build import symbols
from lab.host import BUILD, Host
from lab.line import Silence
from lab.operator import Wrong
from lab.rig import Rig
from lab.session import WORDS
from lab.trial import right

BAD = tuple(f"bad{i}" for i in range(6))
HOLD, REGISTERS = "amber", "witness"
HOST_MEBIBYTES = 256
MEBIBYTES = 32  # of a bad machine
SECONDS, END_SECONDS = 60, 120
SEEDS = int(os.environ.get("HOSTILE_SEEDS", "4"))
CALLS = 0x800
LOG_LINES = 30

TEXT, INFO, STACK, HEAP, HEAP_SIZE = 0x400000, 0x10000000, 0x20000000, 0x30000000, 0x400000
DISK, MODULES, WINDOW, WINDOW_END = 1 << 37, 1 << 38, 1 << 39, 1 << 40
POOL, FRAMES, DEVICES = 0xffff800000000000, 0xffff808000000000, 0xffff810000000000
PRIVATE_VM, PRIVATE_COMM, PRIVATE_CPU = 0xfffffe8000000000, 0xfffffe8001000000, 0xffffff0000000000
EDGES = (0, 1, 8, 1 << 31, 1 << 32, 1 << 52, 1 << 63, (1 << 64) - 1)
CALL = {name: number for number, name in enumerate(
    ("next reply get-vcpu set-vcpu run emulated retry fault gva-read gva-write lapic-read lapic-write send-msi pic-line set-timer console-write log"
     " modules-done end mark none").split(), 1)}
FRESH, IO, EMULATE, ANSWERED = range(4)

SURVIVED = r"power-off"
NOT_WAITING, NOT_ASKED = "it named a vCPU that does not wait for it", "it answered what was not asked"


def broke(what):
    return f"killed: its monitor broke the rules: {what}"


def touched(address):
    return rf"killed: its monitor touched {address:x} at [0-9a-f]+ \(.*\)"


def exception(vectors):
    return rf"killed: its monitor took exception ({vectors}) at"


def addresses():
    """Whatever there is in the space, and nobody there; each alone ends the machine."""
    image = symbols()
    own = ((INFO, "write"), (TEXT, "write"), (HEAP, "jump"), (HEAP + HEAP_SIZE, "write"), (STACK, "read"), (STACK - 0x10001, "write"), (DISK, "read"),
           (MODULES, "read"), (WINDOW + MEBIBYTES * (1 << 20), "write"), (WINDOW + 0xfee00000, "read"), (WINDOW_END - 1, "read"), (WINDOW_END, "write"),
           (WINDOW + 0x1000, "jump"), (0, "read"), (0, "jump"))
    ring0 = ((image["mm"], "read"), (image["vms"], "write"), (image["cpus"], "read"), (image["syscall_entry"], "jump"), (POOL, "read"), (FRAMES, "write"),
             (DEVICES, "read"), (PRIVATE_VM, "read"), (PRIVATE_COMM, "write"), (PRIVATE_CPU + 0xff000, "write"), ((1 << 64) - 4096, "read"))
    for address, how in own + ring0:
        yield f"{how} {address:x}", touched(address)
    yield f"code 48b8{HEAP.to_bytes(8, 'little').hex()}c600c3ffd0", touched(HEAP)  # a RET written there, and called
    for address in (1 << 47, 0xffff7fffffffffff):
        yield f"write {address:x}", exception("13")


def instructions():
    """Not F1 (ICEBP), at which QEMU stops the machine for a debugger that is not there."""
    general = ("fa", "fb", "f4", "ec", "ee", "6c", "6e", "0f30", "0f32", "0f22c0", "0f20d8", "0f23f8", "0f0110", "0f0118", "0f00d8", "0f00d0", "0f01f0", "0f06",
               "0f0138", "0f09", "0f08", "0f01f8", "480f07", "0f33", "0f01d1", "cc", "cd02", "cd08", "cd20", "cdff",
               "b8100000008ee0", "b8100000008ed8", "b8300000008ee8", "b80b0000008ed0", "31c08ed0", "b8180000008ec0")  # segments of ring 0 and none
    # Returns to ring 0. QEMU reads the stack with ring 0's rights there, which SMAP refuses.
    returns = ("6a08488d05030000005048cb", "6a106a006a026a08488d05020000005048cf")
    refused = ("0f01d8", "0f01da", "0f01db", "0f01dc", "0f01dd", "0f01de", "0f01df", "0f34", "0f35", "0f0b", "f3480faed8", "f3480faec0", "0f01c8", "0f01c9", "0f01d9")
    for code in general:
        yield f"code {code}", exception("13")
    for code in returns:
        yield f"code {code}", exception("13") + r"|killed: its monitor touched 1fff[0-9a-f]{4} "
    for code in refused:
        yield f"code {code}", exception("6|13")
    yield "code 31c931d2f7f1", exception("0")
    yield "code 48b800000000000080004889c450", exception("12|13")  # a stack that no address is
    yield "code 31e40f0b", exception("6")           # a fault on no stack
    yield "code 31e450", touched((1 << 64) - 8)      # a push below 0


def with_flags(flags, before="", after=""):
    """POPF, then MON_SET_TIMER(0)."""
    return f"code 31ffb80f00000068{flags.to_bytes(4, 'little').hex()}9d{before}0f05{after}fc"


def flags():
    tf, rest = 1 << 8, 0x4ed5 | 1 << 18 | 1 << 21  # all that ring 3 may set: AC, NT, DF, ID and the arithmetic ones
    yield with_flags(tf | 2), exception("1")
    yield with_flags(rest | 0x3000), SURVIVED
    yield with_flags(rest, "4989e431e4", "4c89e4"), SURVIVED  # the same on no stack
    yield f"code bf08000000b8{CALL['console-write']:02x}00000068020400009d0f05fc", SURVIVED  # backwards, where ring 0 copies
    yield "code b8030000008ed88ec08ee08ee8b8230000008ed88ee8", SURVIVED


def calls():
    for vcpu in EDGES:
        verdict = broke(NOT_WAITING) if vcpu else broke(NOT_ASKED)
        yield f"call {FRESH} {CALL['reply']:x} {vcpu:x} 0 0 0", verdict
    yield f"call {IO} {CALL['emulated']:x} 0 0 0 0", broke(NOT_ASKED)
    yield f"call {IO} {CALL['gva-read']:x} 0 0 10 0", broke(NOT_ASKED)
    yield f"call {EMULATE} {CALL['reply']:x} 0 0 0 0", broke(NOT_ASKED)
    for name in ("reply", "get-vcpu", "set-vcpu", "run", "retry"):
        yield f"call {ANSWERED} {CALL[name]:x} 0 0 0 0", broke(NOT_WAITING)
    for length in (0, 257, 1 << 32, 1 << 63):
        yield f"call {EMULATE} {CALL['gva-write']:x} 0 0 {length:x} 0", broke("a guest-virtual access of that length")
    for vector in (2, 32, 1 << 32):
        yield f"call {EMULATE} {CALL['fault']:x} 0 {vector:x} 0 0", broke("an exception that is none")
    for length in (2049, 1 << 32, 1 << 63):
        yield f"call {FRESH} {CALL['console-write']:x} {length:x} 0 0 0", broke("a console write of that length")
    for how in (4, 1 << 32, 1 << 63):
        yield f"call {FRESH} {CALL['end']:x} {how:x} 0 0 0", broke("an ending that is none")
    for number in (0, CALL["none"], 1 << 31, 1 << 32 | 1, (1 << 64) - 1):
        yield f"call {FRESH} {number:x} 0 0 0 0", broke("a call that is none")
    yield f"call {FRESH} {CALL['log']:x} ffffffffffffffff 0 0 0", SURVIVED
    yield f"call {FRESH} {CALL['send-msi']:x} ffffffffffffffff ffffffffffffffff 0 0", SURVIVED
    yield f"call {FRESH} {CALL['mark']:x} 1 0 0 0", SURVIVED


def long_ones():
    yield "loop", "killed: its monitor computed for 2000 ms without an answer"
    yield "storm", "killed: its monitor computed for 2000 ms without an answer"
    yield "exits 1000", SURVIVED
    yield "timers 1000", SURVIVED
    for seed in range(1, SEEDS + 1):
        yield f"random {seed:x} {CALLS:x}", r"power-off|reset|triple fault|killed: "
        yield f"bytes {seed:x}", r"killed: its monitor "


def describe(scratch, cpus):
    text = os.path.join(scratch, "vms")
    with open(text, "w") as f:
        f.write(f'vm name={HOLD} mem=32M kernel=hold cmdline="{HOLD}" start=no\n')
        f.write(f"vm name={REGISTERS} mem=32M kernel=witness start=no\n")
        for name in BAD:
            f.write(f"vm name={name} mem={MEBIBYTES}M kernel=hold monitor=hostile start=no reset=end\n")
    modules = [(text, "vms"), (os.path.join(BUILD, "monitors/hostile.elf"), "hostile")]
    return Host(cpus, HOST_MEBIBYTES, WORDS, modules + [(os.path.join(BUILD, f"guests/{name}.elf"), name) for name in ("hold", "witness")])


class Attack:
    def __init__(self, rig):
        self.rig, self.operator, self.line = rig, rig.operator, rig.line

    def tell(self, name, words, mark=None):
        mark = self.operator.console(name) if mark is None else mark
        self.line.wait("^ready\n", mark, SECONDS, f"{name} is ready")
        self.line.send(words + "\r")

    def all_are(self, names, state):
        """{name: its state}, when all begin so."""
        limit = time.monotonic() + END_SECONDS
        while True:
            states = {name: row[8] for name, row in self.operator.states().items() if name in names}
            if all(now.startswith(state) for now in states.values()):
                return states
            if time.monotonic() > limit:
                raise Wrong(f"not {state} after {END_SECONDS} s: {states}")
            time.sleep(0.1)

    def several(self, attacks):
        """As many at a time as there are bad machines."""
        names = BAD[:len(attacks)]
        for name in names:
            self.operator.command(f"start {name}")
        self.all_are(names, "running")
        mark = self.operator.console(names[0])
        for name, (words, _) in zip(names, attacks):
            if name != names[0]:
                mark, front = self.operator.next_console()
                if front != name:
                    raise Wrong(f"Ctrl-] leads to {front} instead of {name}")
            self.tell(name, words, mark)
        for name in names:
            self.operator.command(f"power-off {name}")
        states = self.all_are(names, "off (")
        for name, (words, wanted) in zip(names, attacks):
            ending = states[name][len("off ("):-1]
            right(f"{words}: {ending}", re.match(wanted, ending) is not None)

    def ask(self, name, words):
        """What a neighbour answers to a typed byte."""
        mark = self.operator.console(name)
        self.line.send("x")
        return self.line.wait(words, mark, SECONDS, f"{name}'s answer")

    def neighbours(self):
        right("the neighbour's memory stays", self.ask(HOLD, rf"^hold {HOLD}: \d+ MiB verified, (\d+) wrong\n")[1] == "0")
        found = self.ask(REGISTERS, r"^witness: (\d+) rounds, (\d+) wrong\n")
        right(f"the neighbour's registers stay: {found[1]} rounds", int(found[1]) > 0 and found[2] == "0")

    def run(self, attacks):
        self.operator.ready(SECONDS)
        free = self.operator.free()
        for name, says in ((HOLD, rf"^hold {HOLD}: \d+ MiB written"), (REGISTERS, "^witness: begins")):
            self.operator.command(f"start {name}")
            self.operator.wait_state(name, "running", SECONDS)
            self.line.wait(says, self.operator.console(name), SECONDS, f"{name} begins")
        for i in range(0, len(attacks), len(BAD)):
            self.several(attacks[i:i + len(BAD)])
        self.neighbours()
        for name in (HOLD, REGISTERS):
            self.operator.command(f"destroy {name}")
            self.operator.wait_state(name, "off", SECONDS)
        self.operator.audit()
        right("every frame is home", self.operator.free() == free)

    def leaks(self):
        """On one processor, where nothing runs between the two: what the one leaves the other must not find."""
        self.operator.ready(SECONDS)
        marker, spy = BAD[:2]
        for name in (marker, spy):
            self.begin(name)
        self.tell(marker, "mark")
        self.operator.command(f"power-off {marker}")
        self.operator.console(marker)
        self.line.wait("^marked\n", 0, SECONDS, "the mark")
        self.look(spy)
        for name in (marker, spy):
            self.operator.command(f"destroy {name}")
            self.operator.wait_state(name, "off", SECONDS)
        self.begin(spy)  # with the frames that the other one had
        self.look(spy)
        self.operator.audit()

    def begin(self, name):
        self.operator.command(f"start {name}")
        self.operator.wait_state(name, "running", SECONDS)
        self.line.wait("^ready\n", self.operator.console(name), SECONDS, f"{name} is ready")

    def look(self, spy):
        self.tell(spy, "spy")
        self.operator.command(f"power-off {spy}")
        mark = self.operator.console(spy)
        found = self.line.wait(r"((?:^\w+ *: [0-9a-f]{16}\n)+)spied\n", mark, SECONDS, "what the spy finds")[1]
        for line in found.splitlines():
            right(f"nothing of the other: {line}", line.endswith(": " + "0" * 16))


def with_rig(cpus, work):
    with tempfile.TemporaryDirectory(prefix="ringmur-") as scratch, Rig(describe(scratch, cpus), scratch, scratch) as rig:
        try:
            work(Attack(rig))
            for word in ("panic", "mark"):  # nobody asked for marks
                if re.search(rf"^(\[[^]]*\] *)?{word}\b", rig.log_text(), re.M):
                    raise Wrong(f"the log has a {word}")
        except (Wrong, Silence, RuntimeError) as wrong:
            print(f"FAIL: {wrong}")
            print("\n".join(rig.log_text().splitlines()[-LOG_LINES:]))
            return False
    return True


def main():
    began = time.monotonic()
    attacks = [attack for kind in (long_ones, addresses, flags, calls, instructions) for attack in kind()]
    good = with_rig(1, lambda attack: attack.leaks()) and with_rig(2, lambda attack: attack.run(attacks))
    print(f"{len(attacks)} attacks, {time.monotonic() - began:.0f} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
