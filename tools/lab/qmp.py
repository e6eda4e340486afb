"""qmp: QEMU's machine protocol: one JSON object a line, each command answered in order, events in between."""
import json

from lab.line import connect


class Qmp:
    def __init__(self, path, process=None):
        self.stream = connect(path, process).makefile("rwb")
        self.stream.readline()  # the greeting
        self.execute("qmp_capabilities")

    def execute(self, command, **arguments):
        request = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        self.stream.write(json.dumps(request).encode() + b"\n")
        self.stream.flush()
        while True:
            line = self.stream.readline()
            if not line:
                raise RuntimeError(f"QEMU has gone during {command}")
            answer = json.loads(line)
            if "error" in answer:
                raise RuntimeError(f"QEMU: {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
