"""
operator: a program at the operator's console (docs/operator.md): types commands and reads their answers, goes to machines' consoles and
types there.

There is one line for all, so this keeps in mind who is in the foreground. What a machine says in the background is shown again when its
console comes to the foreground; whoever waits for something there should wait for words that come once only.
"""
import re
import time

from lab.line import Silence, after

PROMPT = "ringmur> "
# A command, then perhaps what was noted just then and the command once more, then at least one line and the prompt with nothing behind it.
ANSWER = r"{}\n(?:(?:\* |ringmur> )[^\n]*\n)*((?!\* |ringmur> )[^\n]+\n(?:[^\n]*\n)*?)ringmur> (?=\n|\Z)"
SWITCH = "\x1d"
SWITCH_SECONDS, ANSWER_SECONDS = 40, 60
CONSOLES_MOST = 20


class Wrong(Exception):
    """Something is not as it must be: one sentence."""


class Operator:
    def __init__(self, line):
        self.line, self.front = line, None
        self.audits = 0

    def ready(self, seconds):
        self.line.wait(f"^{PROMPT}", 0, seconds, "the operator's prompt")

    # ---- switching ----

    def next_console(self):
        """To whoever is next; answers the mark from which on its words come, and who it is."""
        mark = self.line.mark()
        self.line.send(SWITCH)
        self.front = self.line.wait(r"^--- ([^\s:,]+)[^\n]*Ctrl-\][^\n]*---\n", mark, SWITCH_SECONDS, "a console after Ctrl-]")[1]
        return mark, self.front

    def home(self):
        """To the operator's own console."""
        for _ in range(CONSOLES_MOST):
            if self.front is None:
                return
            mark, _ = self.next_console()
            if self.front == "operator":
                self.line.wait(f"^{PROMPT}", mark, SWITCH_SECONDS, "the operator's prompt")
                self.front = None
        raise Wrong("Ctrl-] does not lead back to the operator")

    def console(self, name):
        """To a machine's console; answers the mark from which on its words come."""
        self.home()
        mark = self.line.mark()
        self.line.send(f"console {name}\r")
        found = self.line.wait(rf"^--- ({re.escape(name)})\b[^\n]*---\n|^{re.escape(name)}: [^\n]*\n{PROMPT}", mark, SWITCH_SECONDS,
                               f"the console of {name}")
        if not found[1]:
            raise Wrong(f"no console: {found[0].splitlines()[0]}")
        self.front = name
        return found.end()

    # ---- commands ----

    def command(self, text, seconds=ANSWER_SECONDS):
        """The lines of its answer; what was noted meanwhile is left out."""
        self.home()
        mark = self.line.mark()
        self.line.send(text + "\r")
        found = self.line.wait(ANSWER.format(re.escape(text)), mark, seconds, f"the answer to `{text}`")
        return [line for line in found[1].splitlines() if not line.startswith("* ")]

    def states(self):
        """{name: its row of `list` as words, the state in one piece}"""
        rows = {}
        for line in self.command("list"):
            words = line.split(None, 8)  # number, name, processors, promised, resident, seconds, `s`, exits, state
            if len(words) == 9 and words[0].isdigit():
                rows[words[1]] = words
        if not rows:
            raise Wrong("`list` shows no machine")
        return rows

    def state(self, name):
        rows = self.states()
        if name not in rows:
            raise Wrong(f"`list` does not show {name}")
        return rows[name][8]

    def seconds_of(self, name):
        """The processor time that it has had."""
        return float(self.states()[name][5])

    def wait_state(self, name, regex, seconds):
        limit = after(seconds)
        while True:
            state = self.state(name)
            if re.match(regex, state):
                return state
            if time.monotonic() > limit:
                raise Silence(f"{name} is `{state}` after {seconds:g} s, and should be `{regex}`")
            time.sleep(0.3)

    def audit(self, seconds=60):
        answer = self.command("audit", seconds)
        if not any(re.match(r"audit: (clean|0 findings)", line) for line in answer):
            raise Wrong("the audit is not clean: " + " / ".join(answer))
        self.audits += 1

    def free(self):
        """KiB that belong to nobody, those that a processor is just scrubbing too."""
        return sum(kib for what, kib in self.ledger().items() if what == "free" or what.startswith("being scrubbed"))

    def ledger(self):
        """{what: KiB} of the host's part; it must add up."""
        answer = self.command("ledger")
        if "ledger: adds up" not in answer:
            raise Wrong("the ledger: " + " / ".join(answer[-3:]))
        return {match[2]: int(match[1]) for match in (re.match(r" *(\d+)  =? ?(\D.*)$", line) for line in answer) if match}
