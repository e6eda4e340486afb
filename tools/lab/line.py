"""
line: the other end of a serial line. A thread reads what comes, so that nothing waits for us; `wait` looks for a pattern in what has come
since a mark. Times are for a machine that has nothing else to do: RINGMUR_PATIENCE=N in the environment makes them N times as long.
"""
import os
import re
import socket
import subprocess
import sys
import threading
import time

from lab.host import Refused, number

CONNECT_SECONDS = 20
EXIT_SECONDS = 20  # in which a process that has closed its line is over
LAST_LINES = 15  # of what came, shown when something else was waited for


def patience():
    text = os.environ.get("RINGMUR_PATIENCE", "1")
    try:
        return number("RINGMUR_PATIENCE", text, float)
    except Refused as refused:
        sys.exit(str(refused))


PATIENCE = patience()


def after(seconds):
    """The time by the monotonic clock at which patience is at its end."""
    return time.monotonic() + seconds * PATIENCE


class Silence(Exception):
    """What was waited for did not come: one sentence, and what came instead."""


def ended(process, seconds):
    """Waits for a process's end; its status."""
    try:
        return process.wait(seconds * PATIENCE)
    except subprocess.TimeoutExpired:
        raise Silence(f"QEMU is not over within {seconds:g} s, and should be") from None


def connect(path, process=None):
    """A Unix socket that someone is about to open."""
    limit = after(CONNECT_SECONDS)
    while True:
        try:
            end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            end.connect(path)
            return end
        except OSError:
            end.close()
            if time.monotonic() > limit or (process and process.poll() is not None):
                raise Silence(f"nobody listens at {path}") from None
            time.sleep(0.05)


class Line:
    def __init__(self, end, transcript=None, process=None):
        self.end, self.text, self.closed, self.process = end, "", False, process
        self.transcript = open(transcript, "wb") if transcript else None
        self.news = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            try:
                data = self.end.recv(65536)
            except OSError:
                data = b""
            if data and self.transcript:
                self.transcript.write(data)
                self.transcript.flush()
            with self.news:
                self.text += data.decode(errors="replace").replace("\r", "")
                self.closed = not data
                self.news.notify_all()
            if not data:
                return

    def mark(self):
        with self.news:
            return len(self.text)

    def since(self, mark):
        with self.news:
            return self.text[mark:]

    def gone(self):
        status = ended(self.process, EXIT_SECONDS) if self.process else None
        return "the machine has gone" + ("" if status is None else f" (QEMU's status is {status})")

    def send(self, text):
        try:
            self.end.sendall(text.encode())
        except OSError:
            raise Silence(self.gone()) from None

    def find(self, regex, mark, seconds):
        """The first match after the mark, or None when so much time has passed."""
        pattern, limit = re.compile(regex, re.M), after(seconds)
        with self.news:
            while True:
                match = pattern.search(self.text, mark)
                left = limit - time.monotonic()
                if match or left <= 0 or self.closed:
                    return match
                self.news.wait(left)

    def wait(self, regex, mark, seconds, what):
        """The same, for what must come."""
        match = self.find(regex, mark, seconds)
        if match:
            return match
        why = self.gone() if self.closed else f"not within {seconds:g} s"
        last = "\n".join("    | " + line for line in self.since(mark).splitlines()[-LAST_LINES:])
        raise Silence(f"{what}: {why}" + (f"; it said\n{last}" if last else "; it said nothing"))
