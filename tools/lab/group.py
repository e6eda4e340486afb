"""
group: a command with all that it starts is ended as one: at its time limit, and when whoever started it is ended. First by SIGTERM, so that machines
and temporary folders go with it. What it starts may be in groups of its own (tools/test-runner under tools/mutations): then it passes the signal on.
"""
import os
import signal
import subprocess
import time

END_SECONDS = 10  # in which a group that is asked to end does

running = set()
over = False  # nothing is to begin any more


def hold():
    while over:
        time.sleep(END_SECONDS)  # the process is about to exit


def start(words, **how):
    hold()
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True, **how)
    running.add(process)
    return process


def send(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def end(processes):
    for process in processes:
        send(process, signal.SIGTERM)
    for process in processes:
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        send(process, signal.SIGKILL)  # also who outlived the first of the group
        process.wait()


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
    """SIGINT and SIGTERM end this and all that it has started."""
    def handler(number, _):
        global over
        over = True
        end(list(running))
        os._exit(128 + number)

    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, handler)
