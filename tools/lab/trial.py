"""
trial: what tests of a driven host share: words that are new in each run, checks that say themselves, the machines of the guest `hold`.
"""
import re
import secrets
import tempfile
import time

from lab.line import Silence
from lab.operator import Wrong
from lab.rig import Rig

SEED = secrets.token_hex(4)
LOG_LINES = 30


def word(name):
    return f"{name}-{SEED}"


def right(what, holds):
    print(f"{'ok  ' if holds else 'FAIL'} {what}", flush=True)
    if not holds:
        raise Wrong(what)


def wait_log(rig, regex, mark, seconds):
    """Until Ringmur's log has such a line behind the mark."""
    limit = time.monotonic() + seconds
    while not re.search(regex, rig.log_text()[mark:], re.M):
        if time.monotonic() > limit:
            raise Silence(f"the log has no line {regex} after {seconds:g} s")
        time.sleep(0.2)


def hold_says(rig, name, regex, seconds):
    """A line of a `hold` machine's console, of now or before."""
    rig.operator.wait_state(name, "running", seconds)
    return rig.line.wait(f"^hold {word(name)}: {regex}\n", rig.operator.console(name), seconds, f"{name}: {regex}")


def hold_ends(rig, name, seconds):
    """Its memory is as it was; then it is told to end, and does."""
    rig.operator.console(name)
    rig.line.send("x")
    right(f"{name}'s memory is as it was", hold_says(rig, name, r"\d+ MiB verified, (\d+) wrong", seconds)[1] == "0")
    rig.operator.console(name)
    rig.line.send("q")
    right(f"{name} ends", rig.operator.wait_state(name, "off", seconds) == "off (test 0)")


def run(describe, test):
    """test(rig, scratch) on the host that describe(scratch) tells; the status of the whole."""
    with tempfile.TemporaryDirectory(prefix="ringmur-") as scratch, Rig(describe(scratch), scratch, scratch) as rig:
        try:
            test(rig, scratch)
        except (Wrong, Silence, RuntimeError) as wrong:
            print(f"FAIL: {wrong}")
            print("\n".join(rig.log_text().splitlines()[-LOG_LINES:]))
            return 1
    return 0
