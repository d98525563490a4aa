"""Make a running kernel's process a proxy, while a copy of the kernel goes on behind it with its whole memory.

`Arming` copies the kernel and, in the copy, connects it to the proxy as soon as that is there; `KernelArming` makes the
process that was copied the proxy.
"""

from __future__ import annotations

import atexit
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NoReturn

from ipy_autorestart.kernel.copy import Copy
from ipy_autorestart.kernel.handover import KernelHandover
from ipy_autorestart.kernel.inherited import CantCopy
from ipy_autorestart.kernel.standby import end_with, say_ready
from ipy_autorestart.kernel.trust import Known, Trust
from ipy_autorestart.pristine import os, signal, time
from ipy_autorestart.reexec.exec import SupervisorHandle
from ipy_autorestart.reexec.state import KernelState
from ipy_autorestart.reexec.trackers import trackers
from ipy_autorestart.wire.link import ATTRIBUTE, Connect, Link, TakeOver, TookOver, make_folder

#: Seconds in which the proxy must have begun, and between two looks whether it has.
PROXY_MAX, LOOKED_AT = 20.0, 0.002


class CantArm(Exception):  # noqa: N818  # a refusal
    """The process can't become a proxy while the kernel goes on, for this reason; it can at the next restart."""


class Arming:
    """The way of a running kernel behind a proxy; to be used in its main thread, while it is idle and its gate closed.

    Parameters
    ----------
    kernel
        An ipykernel ``Kernel``.
    lives
        Called in the copy, with the link to the proxy, as soon as it is a kernel there.
    """

    def __init__(self, kernel: Any, *, lives: Callable[[Link], None]) -> None:
        self._kernel = kernel
        self._lives = lives
        self._trust = Trust(kernel)
        self._copy: Copy | None = None
        self._pid = 0
        self._link: Link | None = None
        self.folder = ""

    def begin(self, supervisors: Iterable[SupervisorHandle]) -> int:
        """Copy the kernel; return the process id of the copy, and 0 in that. Raises `CantArm`; all is as it was then.

        Nobody may be listening to the supervisors.
        """
        ours = list(supervisors)
        known = Known(
            fds=frozenset(fd for one in ours for fd in one.fds()),
            children=frozenset(one.pid for one in ours) | trackers(),
        )
        if doubts := self._trust.doubts(known):
            raise CantArm("; ".join(doubts))
        try:
            self.folder = make_folder()
            self._copy = Copy(self._kernel.parent)
            self._pid = self._copy.fork(self._live, repair=self._repair)
        except (CantCopy, OSError) as error:
            self.undo()
            raise CantArm(str(error)) from error
        if self._pid and (doubts := self._trust.survivors()):
            self.undo()
            raise CantArm("; ".join(doubts))
        return self._pid

    def undo(self) -> None:
        """End the copy, if there is one, and go on as before."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
        if self._copy:
            self._copy.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- in the copy ---------------------------------------------------------------------------------------------------

    def _repair(self) -> None:
        if doubts := self._trust.repair():
            raise CantArm("; ".join(doubts))

    def _live(self) -> None:
        assert self._copy
        end_with(os.getppid())
        self._link = _connected(self.folder)
        word, _ = self._link.receive()
        assert isinstance(word, Connect)
        number = word.number
        self._copy.revive(lambda channel: f"ipc://{self.folder}/{number}-{channel}")
        setattr(self._kernel, ATTRIBUTE, self._link)
        atexit.register(self._link.say_goodbye)
        loop = self._kernel.io_loop
        loop.add_handler(self._link.fileno(), lambda *_: self._hear(), loop.READ)
        self._lives(self._link)
        say_ready(self._link, modules=_installed())

    def _hear(self) -> None:
        assert self._link
        try:
            word, fds = self._link.receive()
        except EOFError:  # the proxy is gone
            os._exit(1)  # noqa: SLF001  # its name
        for fd in fds:
            os.close(fd)
        if isinstance(word, TakeOver):  # what comes with it is here
            self._link.send(TookOver())


def _connected(folder: str) -> Link:
    """Connect to the proxy as soon as it listens."""
    deadline = time.monotonic() + PROXY_MAX
    while True:
        try:
            return Link.to_proxy(folder)
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOKED_AT)


def _installed() -> list[str]:
    """Return the files of installed modules, in the order in which they were imported; a project's own may change."""
    library = os.path.dirname(shutil.__file__) + os.sep
    packages = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
    found = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    files = (file for file in found if isinstance(file, str))
    return [file for file in files if file.startswith(library) or any(part in file for part in packages)]


class KernelArming(KernelHandover):
    """Makes the process of a kernel that was copied the proxy; no life ends here."""

    def __init__(self, *args: Any, arming: Arming, **options: Any) -> None:
        super().__init__(*args, folder=arming.folder, no_proxy="", **options)
        self._arming = arming
        self._copied = 0
        if self._sockets is None:
            self.give_up()
            raise CantArm(self._no_proxy or "the sockets aren't as expected")

    def become(self, pid: int, supervisors: Iterable[SupervisorHandle], *, hangup_ignored: bool) -> NoReturn:
        """Become the proxy of the copy with this process id, to which the supervisors belong from now on."""
        self._copied = pid
        self.exec_with(tuple(filter(None, (one.snapshot() for one in supervisors))), hangup_ignored=hangup_ignored)

    def end_life(self) -> None:
        """Leave everything to the copy, whose it is."""

    def end_children(self) -> None:
        """Leave the children to the copy."""

    def own(self) -> KernelState:
        """Return what the proxy needs."""
        return replace(super().own(), copied=self._copied)
