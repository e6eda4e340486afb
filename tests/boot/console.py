"""
console: what tests/boot/operator.sh does: a host of 2 processors, four machines, and a person at the console.

The host has 160 MiB; big and more touch 80 MiB each when they are started, later: the second has to wait for the first one's end.
"""
import os
import re
import sys
import time

sys.path.insert(0, "tools")
from lab.host import Host  # noqa: E402
from lab.line import Silence  # noqa: E402
from lab.operator import Wrong  # noqa: E402
from lab.rig import Rig  # noqa: E402

MACHINES = """
vm name=web mem=64M vcpus=2 kernel=talk cmdline="web"
vm name=db  mem=64M kernel=talk cmdline="db" disk=memory:1M weight=200
vm name=big  mem=96M kernel=hold cmdline="big" start=no
vm name=more mem=96M kernel=hold cmdline="more" start=no
vm name=falling mem=16M kernel=triple start=no
vm name=once mem=16M kernel=talk cmdline="once" reset=end
"""
SWITCH, SECONDS, TIMES = "\x1d", 30, 8
failures = 0


def result(title, holds, why=""):
    global failures
    print(f"ok   {title}" if holds else f"FAIL {title}: {why}", flush=True)
    failures += not holds


class Person:
    def __init__(self, rig):
        self.line, self.operator = rig.line, rig.operator

    def has(self, title, command, *patterns):
        """The answer has a line for each pattern."""
        answer = self.operator.command(command)
        missing = [p for p in patterns if not any(re.search(p, line) for line in answer)]
        result(title, not missing, f"{missing} not in {answer}")

    def sound(self, title):
        """Nothing is amiss in any table, and every frame is somewhere."""
        try:
            self.operator.audit()
            self.operator.ledger()
            result(title, True)
        except (Wrong, Silence) as wrong:
            result(title, False, wrong)

    def sees(self, title, regex, mark, absent=None):
        found = self.line.find(regex, mark, SECONDS)
        since = self.line.since(mark)
        result(title, found and not (absent and re.search(absent, since)), f"{regex} in {since!r}")


def consoles(p):
    mark = p.operator.console("web")
    p.sees("the last lines come again at the switch", r"web line 39\n", mark, absent=r"web line 15\n|db")
    p.line.send("hello\r")
    p.sees("what is typed reaches it", r"web heard hello\n", mark)
    mark = p.line.mark()
    p.line.send(SWITCH)
    p.sees("Ctrl-] leads to the next one", r"--- db: Ctrl-\] goes to the next console \(3 of 4\) ---\n(?s:.*)db line 39\n", mark, absent="web")
    p.line.send("there\r")
    p.sees("which alone hears and is heard", r"db heard there\n", mark, absent="web")
    p.operator.front = "db"
    p.operator.home()


def walks(p):
    p.has("a walk ends where the nested tables say", "walk web 101000", r"walk of web, vCPU 0: guest-virtual 101000, 4-level paging",
          r"^ +4 +0 +\w+ +\w+ +\w+ +P W U A", r"= guest-physical 101000,", r"pmap of gpa 101000: present, writable", r"= host-physical \w+$")
    before = p.operator.ledger()
    p.has("of a page that was never touched", "walk db gpa 3f00000", "RAM, never touched", "not filled")
    after = p.operator.ledger()
    result("looking costs no frame", before["guest: resident in machines"] == after["guest: resident in machines"], f"{before} {after}")
    p.has("of a processor that never started", "walk web/1 1000", "walk of web, vCPU 1: guest-virtual 1000, paging is off")
    p.has("of no memory at all", "walk web gpa:fee00000", "not RAM")
    p.has("of a page that the guest does not map", "walk web ffff800000000000", r"= #PF: the entry is not present")


def deeds(p):
    p.has("pause", "pause web", "web: paused")
    p.has("it can be seen", "list", "web .* paused by the operator")
    p.has("a walk of a paused machine", "walk web 101000", "= host-physical")
    mark = p.operator.console("web")
    p.line.send("sleeping?\r")
    p.operator.home()
    result("a paused machine says nothing", not re.search("heard sleeping", p.line.since(mark)))
    p.has("resume", "resume web", "web: goes on")
    mark = p.operator.console("web")
    p.sees("what was typed meanwhile is heard then", r"web heard sleeping\?\n", mark)
    p.operator.home()
    p.has("power-off", "power-off db", "its power button is pressed")
    p.operator.wait_state("db", r"off \(power-off\)", SECONDS)
    p.sound("sound after a power-off")
    p.has("reset", "reset web", "ends and starts again")
    p.operator.wait_state("web", "running", SECONDS)
    p.sound("sound after a reset")
    p.has("start", "start db", "is being made")
    p.operator.wait_state("db", "running", SECONDS)
    mark = p.line.mark()
    p.line.send("start big\rdestroy big\r")
    p.sees("one that is hardly there can be destroyed", r"big: is being made\n(?s:.*)big: is being taken apart\n", mark)
    p.operator.wait_state("big", r"off \(destroyed\)", SECONDS)
    p.has("what runs cannot be started", "start db", "it is not off")
    p.has("... nor forgotten", "forget db", "it is not off")


def once(p):
    """A machine of one life has no second."""
    p.has("one whose images were freed cannot be reset", "reset once", r"its images were freed after its first start \(reset=end\)")
    p.operator.command("destroy once")
    p.operator.wait_state("once", r"off \(destroyed\)", SECONDS)
    p.has("... nor started again", "start once", r"its images were freed after its first start \(reset=end\)")
    p.has("what is off cannot be destroyed", "destroy once", "it is off already")
    p.has("... nor reset", "reset once", "it is not running; list tells")
    p.has("... but forgotten", "forget once", "once: forgotten")


def full(p):
    """Two machines that are promised more than there is."""
    p.operator.command("start big")
    p.operator.wait_state("big", "running", SECONDS)
    p.sees("a machine that touches much", r"hold big: 80 MiB written, 0 foreign\n", p.operator.console("big"))
    p.operator.command("start more")
    p.operator.wait_state("more", "paused: the host is full", SECONDS)
    p.sound("sound while the host is full")
    p.has("a person cannot resume what waits for memory", "resume more", "it goes on when the host has memory for it")
    p.sees("its console says why it stands still", r"--- more, paused: ", p.operator.console("more") - 200)
    p.has("destroy", "destroy big", "is being taken apart")
    p.operator.wait_state("big", r"off \(destroyed\)", SECONDS)
    p.sees("what one had feeds the other", r"hold more: 80 MiB written, 0 foreign\n", p.operator.console("more"))
    for name in ("web", "db", "more"):
        p.operator.command(f"destroy {name}")
        p.operator.wait_state(name, r"off \(destroyed\)", SECONDS)
    p.has("forget", "forget big", "big: forgotten")
    p.has("what is forgotten is not there", "info big", "there is no machine big; there are: web db more")
    p.sound("sound with no machine left")
    now = p.operator.ledger()
    result("nothing is held for machines", now["guest: resident in machines"] == 0 and now["private to machines: monitors, registers"] == 0,
           now)


def endless(p):
    """One that resets for ever is nearly always ending in order to start again, or being made."""
    for _ in range(TIMES):  # whatever it is doing at that moment
        mark = p.line.mark()
        p.operator.command("start falling")
        p.line.wait("end: falling triple fault", mark, SECONDS, "the first reset")
        p.has("one that resets for ever can be destroyed", "destroy falling", "is being taken apart")
        p.operator.wait_state("falling", "off", SECONDS)
    time.sleep(1)
    result("... and stays so", p.operator.state("falling").startswith("off"))


def bad_input(p):
    p.has("a command that is none", "consloe web", "there is no command consloe; help lists them")
    p.has("a machine that is none", "info wbe", "there is no machine wbe; there are: web db big more")
    p.has("a word too few", "pause", "usage: pause VM")
    p.has("an address that is none", "walk web 12345x", "an address is up to 16 hexadecimal digits")
    p.has("a processor that is none", "walk web/2 0", "web/2 0: it has no such processor; info lists those that it has")
    p.has("a console of what does not run", "console big", "big: it does not run")


def unread(p):
    """A person whose terminal stands still: what they miss is lost, and nothing else."""
    with p.line.news:  # its reader waits for this
        p.line.send("help\r" * 300)
        time.sleep(5)
    time.sleep(3)  # what was on its way comes
    p.has("a line that nobody reads for a while is heard again", "list", "0  web ", "1  db ")


def person(rig):
    p = Person(rig)
    rig.operator.ready(SECONDS)
    for name in ("web", "db"):
        rig.operator.wait_state(name, "running", SECONDS)
        p.sees(f"{name} is heard on its console only", f"{name} line 39", p.operator.console(name))
    rig.operator.home()
    p.has("help", "help", "^list ", "^quit ")
    p.has("list", "list", r"0  web +2 +64 ", r"1  db +1 +64 ", r"3  more .* off$")
    p.has("info", "info web", "web, number 0: running", r"promised 65536 KiB = resident \d+ \+ untouched \d+;", "vCPU 1 +not started")
    p.has("exits", "exits web", r"\d+  io$", r"\d+  of all kinds$")
    p.sound("sound while they run")
    bad_input(p)
    consoles(p)
    walks(p)
    deeds(p)
    once(p)
    unread(p)
    endless(p)
    full(p)
    rig.line.send("quit\r")
    result("quit", rig.ended(SECONDS) == 0 and not rig.panicked(), rig.log_text()[-500:])


def main():
    scratch = sys.argv[1]
    vms = os.path.join(scratch, "vms")
    with open(vms, "w", encoding="ascii") as f:
        f.write(MACHINES)
    modules = [(vms, "vms"), ("build/guests/talk.elf", "talk"), ("build/guests/hold.elf", "hold"), ("build/guests/triple.elf", "triple")]
    with Rig(Host(2, 160, "console=com1 log=com2 panic=exit", modules), scratch, os.path.join(scratch, "kept")) as rig:
        try:
            person(rig)
        except (Silence, Wrong) as wrong:
            result("the operator's console", False, f"{wrong}\n{rig.line.since(0)[-3000:]}\n{rig.log_text()[-1500:]}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
