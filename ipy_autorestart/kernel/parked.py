"""A parked copy of a kernel: a checkpoint, which waits and makes kernels that go on from its state.

It runs no code of the user's: it waits for words of the proxy, with all signals blocked, and forks. A kernel that it
has made connects to the proxy at once, and waits for its turn in the same way: neither the user's tasks nor timers go
on before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from ipy_autorestart.kernel.copy import Copy
from ipy_autorestart.kernel.inherited import CantCopy
from ipy_autorestart.kernel.standby import Folder, end_with, say_ready
from ipy_autorestart.pristine import os, select, signal, socket, time
from ipy_autorestart.reexec.exec import FAILED
from ipy_autorestart.reexec.trackers import forget_trackers
from ipy_autorestart.wire.link import Connect, Fork, Forked, Link, TakeOver, Word

log = logging.getLogger(__name__)

#: Seconds in which a kernel has its turn that was not made ahead.
AT_ONCE = 0.05

#: Seconds in which the process in between must have ended, and between two looks.
ADOPTED_MAX, LOOKED_AT = 10.0, 0.0002


class Turn(NamedTuple):
    """The turn of a kernel that was made of a checkpoint: the word with its descriptors, and the link to the proxy."""

    word: TakeOver
    fds: list[int]
    link: Link


class ParkedKernel:
    """The checkpoint, in its process.

    Parameters
    ----------
    copy
        Made this process.
    repair
        Makes anew what is the user's, in each process that is forked; returns why that can't be trusted, if so.
    rehearse
        Called in a kernel that is made of it, if that has to wait for its turn.
    link
        To the proxy.
    proxy, folder
        The proxy's process, and where it has its sockets.
    """

    def __init__(
        self,
        copy: Copy,
        *,
        repair: Callable[[], tuple[str, ...]],
        rehearse: Callable[[], None],
        link: Link,
        proxy: int,
        folder: str,
    ) -> None:
        self._copy = copy
        self._repair = repair
        self._rehearse = rehearse
        self._link = link
        self._proxy = proxy
        self._folder = folder
        self._current = Folder()
        self._blocked: set[Any] = set()
        self._turn: Turn | None = None

    def wait(self) -> Turn:
        """Wait as long as there is a proxy, and make kernels; return in one of those, when its turn has come."""
        forget_trackers()  # they clean up after the kernel that was copied, which may wait for that at its end
        be_adopted(self._proxy, self._link)
        self._blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            word, fds = _hear(self._link)
            if isinstance(word, Fork):
                self._make(word.number, fds[0])
                if self._turn:
                    return self._turn
            for fd in fds:
                os.close(fd)

    def _make(self, number: int, fd: int) -> None:
        """Make a kernel, and tell the proxy; return in both processes."""
        try:
            pid = self._copy.fork(lambda: self._become(fd), repair=or_leave(self._repair), apart=True)
        except CantCopy:
            pid = 0
        if self._turn is None:
            self._link.send(Forked(number, pid))

    def _become(self, fd: int) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)
        self._link.close()
        link = Link(socket.socket(fileno=fd), self._folder)
        link.waits = True
        be_adopted(self._proxy, link)
        word, _ = _hear(link)
        number = word.number if isinstance(word, Connect) else 0
        self._copy.revive(lambda channel: f"ipc://{self._folder}/{number}-{channel}")
        say_ready(link)
        if not _comes(link, AT_ONCE):
            try:
                self._rehearse()
            except Exception:  # the border: it can have its turn all the same
                log.exception("the turn of a kernel can't be rehearsed")
        while self._turn is None:
            word, fds = _hear(link)
            if isinstance(word, TakeOver):
                self._current.enter()
                self._turn = Turn(word, fds, link)


def _comes(link: Link, within: float) -> bool:
    """Return whether a word, or the end, comes within so many seconds."""
    coming = select.poll()
    coming.register(link.fileno(), select.POLLIN)
    return bool(coming.poll(within * 1000))


def _hear(link: Link) -> tuple[Word, list[int]]:
    try:
        return link.receive()
    except EOFError:  # it isn't wanted any more, or the proxy is gone
        os._exit(0)  # noqa: SLF001  # its name


def or_leave(repair: Callable[[], tuple[str, ...]]) -> Callable[[], None]:
    """Return what does this in a copy, and ends the copy if it can't be trusted: a refusal is no error to be shown."""

    def act() -> None:
        if repair():
            os._exit(FAILED)  # noqa: SLF001  # its name

    return act


def be_adopted(proxy: int, link: Link) -> None:
    """Wait until this process, whose parent is ending, is a child of the proxy, and end with that from then on."""
    deadline = time.monotonic() + ADOPTED_MAX
    gone = select.poll()
    gone.register(link.fileno(), 0)  # the end of the other side is told all the same
    while os.getppid() != proxy and time.monotonic() < deadline:
        if gone.poll(0):  # so is the proxy, perhaps, and this process somebody else's child
            os._exit(0)  # noqa: SLF001  # its name
        time.sleep(LOOKED_AT)
    end_with(proxy)
