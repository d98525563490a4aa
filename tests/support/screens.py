"""A screen that remembers what a supervisor has shown on it."""

import collections
import time


class Screen:
    """Keeps statuses, and what each run printed.

    Parameters
    ----------
    keep
        Number of statuses and runs, the last ones.
    """

    takes_all = False

    def __init__(self, keep=1 << 30):
        self.statuses = collections.deque(maxlen=keep)
        self.texts = {0: ""}
        self.at = time.monotonic()
        self._keep = keep

    def show(self, status):
        self.at = time.monotonic()
        self.statuses.append(status)

    def begin(self, run):
        self.at = time.monotonic()
        self.texts[run] = ""
        self.texts.pop(0, None)
        if len(self.texts) > self._keep:
            del self.texts[min(self.texts)]

    def write(self, stream, text):
        self.at = time.monotonic()
        self.texts[self.run] += text

    def to_state(self):
        return {}

    @property
    def status(self):
        """The last one."""
        return self.statuses[-1] if self.statuses else None

    @property
    def run(self):
        """The number of the last run, 0 before the first."""
        return max(list(self.texts))  # the listening thread may begin another one meanwhile

    @property
    def text(self):
        """What the last run printed."""
        texts = dict(self.texts)  # as above
        return texts[max(texts)]

    @property
    def printed(self):
        """What all runs printed."""
        return "".join(list(self.texts.values()))
