"""
machines: what several VMs on one processor cost, counted like everything in bench/run, which imports this.

  world-switch       two guests (tests/guests/switch.c) note when they did not run; from the last look of the one to the first of the other,
                     less the round of the loop that lies in between on average: ops switches, and world-switch-most, the longest one
  interrupts-off     the most by which an interrupt came late while one was always due within PROBE ticks (Ringmur's probe=), and PROBE
  start-1st, -10th   the VM's own busy ticks from its start to its userland's first program: alone, and as the tenth, nine being there
  memory-*, metadata-*   bytes, from the frames that the audit at an ending tells
"""
import os
import re
import subprocess

FRAME, GIB = 4096, 1 << 30
PROBE, MARK_PORT, SECONDS, TENTH = 500, 0xe8, 300, 10
KERNEL, USERLAND = "build/deps/kernel/vmlinuz", "build/guests/membench.cpio"
LINUX = f'console=ttyS0 quiet nokaslr norandmaps bench.phaseport={MARK_PORT:#x} bench.only=spin'
GUESTS = ["hello", "idle", "memory", "exceptions", "switch"]
BIG_HOST, BIG_GUEST = "4G", 3  # GiB

LINUX_LINE = f'vm name=linux mem=256M kernel=vmlinuz initrd=userland reset=end cmdline="{LINUX}"'
IDLE_LINE = "vm name=idle{} mem=16M kernel=idle reset=end"
SCENARIOS = {
    # name: the host's memory, Ringmur's own words, definitions
    "switch": ("256M", "", ["vm name=a mem=16M kernel=switch reset=end", 'vm name=b mem=16M kernel=switch cmdline="late" reset=end']),
    "probe": ("512M", f"probe={PROBE}", ["vm name=a mem=64M vcpus=2 kernel=hello reset=end",
                                         "vm name=b mem=64M kernel=exceptions reset=end", "vm name=c mem=64M kernel=memory reset=end"]),
    "first": (BIG_HOST, f"mark-port={MARK_PORT:#x}", [LINUX_LINE]),
    "tenth": (BIG_HOST, f"mark-port={MARK_PORT:#x}", [IDLE_LINE.format(i) for i in range(1, TENTH)] + [LINUX_LINE]),
    "small": (BIG_HOST, "", ["vm name=a mem=1G kernel=hello reset=end"]),
    "large": (BIG_HOST, "", [f"vm name=a mem={BIG_GUEST}G kernel=hello reset=end"]),
    "touched": (BIG_HOST, "", [f"vm name=a mem={BIG_GUEST}G kernel=memory reset=end"]),
}


class Failed(Exception):
    pass


def run(qemu, top, name, number):
    """Console and log of one scenario."""
    memory, words, definitions = SCENARIOS[name]
    base = os.path.join(top, f"build/bench-machines-{name}-{number}")
    with open(base + ".vms", "w") as f:
        f.write("\n".join(definitions) + "\n")
    modules = [f"{KERNEL} vmlinuz", f"{USERLAND} userland", f"{base}.vms vms"] + [f"build/guests/{g}.elf {g}" for g in GUESTS]
    open(base + ".log", "w").close()
    command = qemu + ["-serial", f"file:{base}.log", "-m", memory, "-kernel", "build/ringmur.bin",
                      "-append", f"operator=no scrub=0 console=com1 log=com2 panic=exit {words}", "-initrd", ",".join(modules)]
    with open(base + ".out", "w") as out:
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=top, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed(f"machines, {name}: no end within {SECONDS} s; see {base}.log") from None
    with open(base + ".out", errors="replace") as out, open(base + ".log", errors="replace") as log:
        return out.read(), log.read()


# ---- what the texts say ----

def need(name, pattern, text):
    match = re.search(pattern, text)
    if not match:
        raise Failed(f"machines, {name}: the log has no match for {pattern}")
    return match


def switches(out, log):
    """Instructions of each switch between the two, as both noted it, and the length of their loop."""
    started = {n: int(t) for n, t in re.findall(r"\bstats: vm=([ab]) .*\bstarted-tick=(\d+)", log)}
    gaps = {"a": [], "b": []}
    for n, last, first in re.findall(r"^gap ([ab]) (\d+) (\d+)$", out, re.M):
        gaps[n].append((int(last) + started[n], int(first) + started[n]))
    found = [back - last for one, other in ("ab", "ba") for last, first in gaps[one] for away, back in gaps[other]
             if away < last < back < first]
    if len(found) < 100:
        raise Failed(f"machines, switch: {len(found)} switches are too few")
    return found, int(need("switch", r"(?m)^round (\d+)$", out)[1])


def frames(name, log):
    """Frames by kind at the first ending, when everything is still there, and at the last, when nothing is."""
    lines = re.findall(r"audit: clean; frames: guest (\d+) private (\d+) tables (\d+) pool (\d+) image (\d+) boot (\d+) free (\d+)", log)
    if not lines:
        raise Failed(f"machines, {name}: no audit in the log")
    kinds = ("guest", "private", "tables", "pool", "image", "boot", "free")
    return [dict(zip(kinds, map(int, line))) for line in (lines[0], lines[-1])]


def own_bytes(nm, top):
    """Of the image, what is kept for each definition, used or not."""
    text = subprocess.run([nm, "-S", "build/ringmur.elf"], cwd=top, capture_output=True, text=True, check=True).stdout
    size = int(need("image", r"\b[0-9a-f]{16} ([0-9a-f]{16}) . vms\b", text)[1], 16)
    with open(os.path.join(top, "x86/boot/machines.h")) as f:
        return size // int(need("image", r"#define MACHINES_MAX (\d+)", f.read())[1])


# ---- rows ----

def counted(system, case, ops, instructions, exits=None):
    return {"system": system, "case": case, "ops": ops, "instructions": instructions, "exits": exits}


def in_bytes(system, case, amount):
    return {"system": system, "case": case, "ops": 1, "instructions": None, "exits": None, "bytes": amount}


def switch_rows(system, texts):
    found, round_ticks = switches(*texts["switch"])
    return [counted(system, "world-switch", len(found), sum(found) - round_ticks * len(found), len(found)),
            counted(system, "world-switch-most", 1, max(found), 1)]


def probe_rows(system, texts):
    late = int(need("probe", r"\bstats: interrupts-off-most=(\d+)", texts["probe"][1])[1])
    return [counted(system, "interrupts-off", 1, late + PROBE)]


def start_rows(system, texts):
    return [counted(system, f"start-{which}", 1, int(need(name, r"\bmark \d+ .*vm=linux busy-ticks=(\d+)", texts[name][1])[1]))
            for which, name in (("1st", "first"), ("10th", "tenth"))]


def tables(name, texts):
    then, after = frames(name, texts[name][1])
    return (then["tables"] - after["tables"]) * FRAME


def memory_rows(system, texts, vm_bytes):
    first, end = frames("first", texts["first"][1])
    tenth = frames("tenth", texts["tenth"][1])[0]
    own = sum(end[kind] for kind in ("tables", "pool", "image", "boot"))
    idle = (tenth["private"] - first["private"]) * FRAME / (TENTH - 1) + vm_bytes
    promised = (tables("large", texts) - tables("small", texts)) / (BIG_GUEST - 1)
    touched = (tables("touched", texts) - tables("large", texts)) / (BIG_GUEST - 1)  # both have the first one's
    return [in_bytes(system, "memory-hypervisor", own * FRAME), in_bytes(system, "memory-idle-vm", round(idle)),
            in_bytes(system, "metadata-promised", round(promised)), in_bytes(system, "metadata-touched", round(touched))]


def rows(system, texts, top, nm="nm"):
    return (switch_rows(system, texts) + probe_rows(system, texts) + start_rows(system, texts)
            + memory_rows(system, texts, own_bytes(nm, top)))


# What the issue asks: case, words, limit, field.
HOST_BYTES = 4 * GIB
ASKED = [
    ("world-switch", "instructions of a world switch, on average", 800, "instructions"),
    ("interrupts-off", "instructions with interrupts off, at most", 20000, "instructions"),
    ("memory-hypervisor", "bytes of the hypervisor on a host of 4 GiB", 4 * (1 << 20) + HOST_BYTES // 200, "bytes"),
    ("memory-idle-vm", "bytes of an idle VM besides its tables", 1 << 20, "bytes"),
]
