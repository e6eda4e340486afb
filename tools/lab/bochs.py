"""bochs: the other emulator: its models, its configuration, its console, which is a file."""
import os
import re
import sys

from lab.host import TOP, Refused, make_disc, say

# The models by what Ringmur needs of them.
NESTED = ("ryzen", "phenom_8650_toliman")
LACKING = {"turion64_tyler": "shadow paging, which this version does not have (the model has no nested paging)"}
INTEL = ("corei7_haswell_4770", "corei7_skylake_x", "corei7_icelake_u", "corei5_lynnfield_750", "corei7_sandy_bridge_2600k",
         "core2_penryn_t9600")
MOST_MEMORY = 2048  # MiB that it takes from its own host


def check_model(model):
    if model in NESTED:
        return
    if model in LACKING:
        raise Refused(f"target bochs-{model} cannot run yet: it needs {LACKING[model]}")
    if model in INTEL:
        raise Refused(f"target bochs-{model} cannot run yet: it is an Intel processor, and this version has AMD-V only")
    raise Refused(f"Bochs has no model '{model}' that Ringmur knows; these can run: " + ", ".join("bochs-" + m for m in NESTED))


def bochs_command(host, model, scratch, log):
    say(f"Machine: Bochs, model {model}")
    values = {
        "MODEL": model, "CPUS": str(host.cpus), "MEMORY": str(host.mebibytes), "HOST_MEMORY": str(min(host.mebibytes, MOST_MEMORY)),
        "DISC": make_disc(host, scratch), "CONSOLE": os.path.join(scratch, "console"), "LOG": log,
        "BOCHS_LOG": os.path.join(scratch, "bochs.log"),
        "CPU_PANICS": "".join(f", cpu{i}=report" for i in range(host.cpus)),
    }
    with open(os.path.join(TOP, "tools/bochsrc.in")) as f:
        text = re.sub(r"@([A-Z_]+)@", lambda m: values[m[1]], f.read())
    with open(os.path.join(scratch, "bochsrc"), "w") as f:
        f.write(text)
    # Debian's Bochs has its debugger built in, which stops at the start and at some events: go on each time.
    with open(os.path.join(scratch, "continue"), "w") as f:
        f.write("c\n" * 1000)
    open(values["CONSOLE"], "w").close()
    return ["bochs", "-q", "-f", os.path.join(scratch, "bochsrc"), "-rc", os.path.join(scratch, "continue")]


class Relay:
    """Bochs writes the console to a file; this passes on what has been added to it."""

    def __init__(self, name):
        self.file = open(name, "rb") if name else None

    def pump(self):
        data = self.file.read() if self.file else b""
        if data:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
