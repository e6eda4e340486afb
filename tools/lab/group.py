"""
group: a command with all that it starts is ended as one: at its time limit, and when whoever started it is ended. First by SIGTERM, so that machines
and temporary folders go with it. What it starts may be in groups of its own (tools/test-runner under tools/mutations): then it passes the signal on.
"""
import glob
import os
import signal
import subprocess
import threading
import time

# In which a group that is asked to end does; those that it has started itself get half of that.
END_SECONDS = float(os.environ.get("RINGMUR_END_SECONDS", 16))
os.environ["RINGMUR_END_SECONDS"] = str(END_SECONDS / 2)

running = set()
starting = threading.RLock()
over = False  # nothing is to begin any more


def hold():
    while over:
        time.sleep(END_SECONDS)  # the process is about to exit


def start(words, **how):
    while True:
        hold()
        with starting:
            if not over:
                process = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True, **how)
                running.add(process)
                return process


def send(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def lives(process):
    """Whether any of its group does; who is dead and waits to be asked for does not."""
    for name in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(name) as f:
                state, _, group = f.read().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(group) == process.pid and state != "Z":
            return True
    return False


def end(processes):
    for process in processes:
        send(process, signal.SIGTERM)
    until = time.monotonic() + END_SECONDS
    while time.monotonic() < until and any(lives(process) for process in processes):
        time.sleep(0.05)
    for process in processes:
        send(process, signal.SIGKILL)
        process.wait()


def end_by(handler):
    """What ends this: ^C, a request, and a terminal that is gone (but under nohup). Once: who asks twice does not disturb the ending."""
    signals = [one for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) != signal.SIG_IGN]

    def once(number, _):
        for one in signals:
            signal.signal(one, signal.SIG_IGN)
        handler(number)

    for one in signals:
        signal.signal(one, once)


def run(words, seconds, **how):
    """Its status, or None at the time limit."""
    process = start(words, **how)
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        end([process])
        status = None
    hold()  # else it would be told as a failure
    running.discard(process)
    return status


def end_by_signal():
    """A signal ends this and all that it has started."""
    def handler(number):
        global over
        with starting:
            over = True
        end(list(running))
        os._exit(128 + number)

    end_by(handler)
