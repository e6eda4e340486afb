"""
rig: a host that a program drives: Ringmur in QEMU, its console and its log at hand, its memory open to a search from outside.
"""
import os
import re
import subprocess

from lab.host import end_by_signal, qemu_command, read_text, stop
from lab.line import Line, connect, ended
from lab.operator import Operator
from lab.qmp import Qmp


class Rig:
    """Use with `with`; `folder` keeps what the console and the log said."""

    def __init__(self, host, scratch, folder):
        end_by_signal()
        self.host, self.scratch = host, scratch
        self.log = os.path.join(folder, "log")
        console, control = os.path.join(scratch, "console.socket"), os.path.join(scratch, "qmp.socket")
        os.makedirs(folder, exist_ok=True)
        command = qemu_command(host, scratch, f"socket,path={console},server=on,wait=off", self.log)
        command += ["-qmp", f"unix:{control},server=on,wait=off", "-S"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            self.line = Line(connect(console, self.process), os.path.join(folder, "console"), self.process)
            self.qmp = Qmp(control, self.process)
            self.qmp.execute("cont")  # now that nothing can be missed
        except BaseException:
            stop(self.process)
            raise
        self.operator = Operator(self.line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.process)

    def ended(self, seconds):
        """Waits for the host's end; its status."""
        return ended(self.process, seconds)

    def log_text(self):
        return read_text(self.log)

    def panicked(self):
        return re.search(r"^panic: ", self.log_text(), re.M) is not None
