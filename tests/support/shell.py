"""A shell in a real terminal, and what is seen of it."""

import os
import re
import shlex
import sys
import time

import pexpect
import pyte
from waiting import DEADLINE

#: It waits for no kernel that hasn't answered a heartbeat for a second, as on a busy machine, and shows nothing of the
#: cell that it has sent.
PATIENT_CONSOLE = (
    "from jupyter_client.channels import HBChannel; HBChannel.time_to_dead = 60.0; "
    "from jupyter_console.app import main; main()"
)


class Shell:
    """A shell in a terminal, and its screen."""

    def __init__(self):
        environment = {**os.environ, "PROMPT_TOOLKIT_NO_CPR": "1", "TERM": "xterm", "PS1": "shell> "}
        rows, columns = 60, 150
        self.shell = pexpect.spawn("bash --norc --noprofile -i", env=environment, dimensions=(rows, columns))
        self.shell.delaybeforesend = None  # each line is sent to a prompt
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.wait("shell> $")

    @property
    def text(self):
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def wait(self, pattern, timeout=DEADLINE):
        """Wait until what is seen matches, and return the match."""
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self.text + " " * pattern.endswith(" $"))):
            assert time.monotonic() < deadline, f"waited for {pattern!r}, and there is:\n{self.text}"
            try:
                self._stream.feed(self.shell.read_nonblocking(65536, timeout=0.05))
            except pexpect.TIMEOUT:
                continue
        return found

    def clear(self):
        self._screen.reset()

    def run(self, line, until):
        self.shell.send(line + "\r")
        return self.wait(until)

    def start_console(self, file, *options):
        """Connect Jupyter's console to a kernel."""
        patience = "--ZMQTerminalInteractiveShell.kernel_is_complete_timeout=60"  # it gives up after 1 s, for good
        words = [sys.executable, "-c", PATIENT_CONSOLE, "--existing", file, patience, *options]
        self.run(shlex.join(words), r"In \[\d+\]:")

    def close(self):
        self.shell.close(force=True)
