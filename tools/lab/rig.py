"""
rig: a host that a program drives: Ringmur in QEMU, its console and its log at hand, its memory open to a search from outside.
"""
import os
import signal
import subprocess

from lab.host import qemu_command, read_text, stop
from lab.line import Line, connect
from lab.operator import Operator
from lab.qmp import Qmp


class Rig:
    """Use with `with`; `folder` keeps what the console and the log said."""

    def __init__(self, host, scratch, folder):
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
        signal.signal(signal.SIGTERM, lambda *_: (stop(self.process), os._exit(128 + signal.SIGTERM)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.process)

    def log_text(self):
        return read_text(self.log)
