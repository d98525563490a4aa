"""Runs in a kernel under test: copies it, as its gate is closed."""

import asyncio
import contextvars

from ipykernel.kernelapp import IPKernelApp

from ipy_autorestart.ipython.history import begin_session_later
from ipy_autorestart.kernel.copy import Copy
from ipy_autorestart.kernel.gate import Gate
from ipy_autorestart.kernel.inherited import CantCopy
from ipy_autorestart.kernel.ipykernel import channels_of
from ipy_autorestart.kernel.trust import Known, Trust


class Generations:
    """The copies of this kernel, and what the kernel goes on with in one."""

    def __init__(self):
        self.app = IPKernelApp.instance()
        self.copy = Copy(self.app)
        self.trust = Trust(self.app.kernel)
        self.pids = []
        self.refusals = []

    def begin(self, live, *, known=(), **how):
        """Copy the kernel when this cell has ended; some descriptors are for both."""
        task = self._begin(live, Known(fds=frozenset(known)), how)
        self.task = asyncio.get_running_loop().create_task(task, context=contextvars.Context())

    async def _begin(self, live, known, how):
        kernel = self.app.kernel
        channels = channels_of(kernel)
        assert channels
        gate = Gate(kernel, channels, admits=lambda *, is_cell: True, on_end=lambda: None)
        await gate.close()
        try:
            self.doubts = self.trust.doubts(known)
            pid = self.copy.fork(live, repair=self.trust.repair, **how)
            self.pids.append(pid)
            if not pid:
                gate.held.clear()  # the one that was copied answers these
        except CantCopy as refusal:
            self.refusals.append(str(refusal))
        finally:
            gate.reopen()
            gate.remove()

    def revive(self, folder):
        """In a copy: go on behind the front that has this folder."""
        self.copy.revive(lambda channel: f"ipc://{folder}/{channel}")
        assert self.app.shell
        begin_session_later(self.app.shell)
