"""build: brings what is needed up to date by make, showing how far it is; one of several runs at a time. What was built has symbols."""
import fcntl
import os
import re
import subprocess
import sys

from lab.host import BUILD, TOP, Refused, say


def build(targets):
    if os.environ.get("RINGMUR_BUILT"):
        return
    os.makedirs(BUILD, exist_ok=True)
    make = ["make", "-C", TOP, "--no-print-directory"]
    with open(os.path.join(BUILD, ".lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another build")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if subprocess.run(make + ["-q"] + targets, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
            return
        say("Building Ringmur and the guest (the first time takes about a minute)")
        show = sys.stderr.isatty()
        output = []
        with subprocess.Popen(make + [f"-j{os.cpu_count() or 1}"] + targets, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
            for line in process.stdout:
                output.append(line)
                made = re.match(r"  [A-Z]+ +(\S+)", line)
                if show and made:
                    print(f"\r\033[K[{len(output):4}] {made[1]}", end="", file=sys.stderr, flush=True)
                elif line.startswith(("Fetching", "Updating", "Installing")):
                    say(line.rstrip())
        if show:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        if process.returncode:
            say("".join(output[-40:]).rstrip())
            raise Refused("the build failed")


def symbols():
    """{name: address} of Ringmur's image."""
    listed = subprocess.run(["nm", os.path.join(BUILD, "ringmur.elf")], capture_output=True, text=True, check=True).stdout
    return {words[2]: int(words[0], 16) for words in map(str.split, listed.splitlines()) if len(words) == 3}
