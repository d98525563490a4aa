"""Gives the proxy, as cells end, the state from which another kernel could go on, should this one die.

The whole of it is put off until nothing waits. What cells have run since is added to the file in which the proxy has
it: the proxy need not be told, and the next kernel finds it there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import NamedTuple

from ipy_autorestart.ipython.ledger import Ledger, step_between, to_plain
from ipy_autorestart.pristine import os
from ipy_autorestart.protocol.plain import to_json
from ipy_autorestart.reexec.exec import logged
from ipy_autorestart.reexec.state import Carried, KernelState
from ipy_autorestart.wire.at_work import AtWork
from ipy_autorestart.wire.link import Backup, Link, Working

#: Seconds until the whole state is given.
LATER = 0.05

#: Bytes that may be added to a state, or as many as it has; then another is given.
ADDED_MAX = 1 << 16


class News(NamedTuple):
    """What the state consists of, as far as it changes."""

    ledger: Ledger
    watches: tuple[object, ...]
    others: tuple[object, ...] = ()


class Backups:
    """Keeps the proxy's knowledge of a kernel up to date; for the main thread.

    Parameters
    ----------
    proxy
        The link to it.
    state
        Returns the state of now.
    call_later
        Calls a function after so many seconds.

    Attributes
    ----------
    at_work
        What the kernel is at work on.
    """

    def __init__(
        self,
        proxy: Link,
        state: Callable[[], Carried],
        *,
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._proxy = proxy
        self._state = state
        self._call_later = call_later
        self._latest: News | None = None
        self._given: News | None = None  # as it is in the file; at first, the proxy has that of the kernel before
        self._file, self._size_bytes, self._size_max = -1, 0, 0
        self._is_due = False
        self.at_work = self._tell()

    def _tell(self) -> AtWork:
        at_work = AtWork()
        self._proxy.send(Working(), [at_work.fd])
        return at_work

    def fds(self) -> Collection[int]:
        """Return the descriptors that this kernel has for it."""
        return [fd for fd in (self.at_work.fd, self._file) if fd >= 0]

    def leave(self) -> None:
        """Let go of it, in a copy of the kernel."""
        self.at_work.close()
        self._is_due = False
        self._let_go()

    def _let_go(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def renew(self, proxy: Link) -> None:
        """Go on with another link, in a copy of the kernel that has let go of this one."""
        self._proxy, self._latest, self._given = proxy, None, None
        self.at_work = self._tell()

    def note(self, news: News) -> None:
        """Note what is so by now, and have the proxy know it.

        At once, if a watch has ended: the next kernel would take it up if this one died before long.
        """
        before, self._latest = self._latest, news
        if before and (before.ledger is news.ledger and before[1:] == news[1:]):
            return
        if before and any(one not in news.watches for one in before.watches):
            self._is_due = True
            self._give()
        elif not self._is_due and not self._add(news):
            self._is_due = True
            self._call_later(LATER, self._give)

    def before_request(self) -> None:
        """Give what was put off, as a request begins; the loop may have come to nothing else since the last one."""
        if self._is_due:
            self._give()

    def _add(self, news: News) -> bool:
        """Add what cells have run since; return whether that is all."""
        given = self._given
        if given is None or given[1:] != news[1:]:
            return False
        with logged("the state for a crash"):
            step = to_json(to_plain(step_between(given.ledger, news.ledger)), []).encode() + b"\n"
            if self._size_bytes + len(step) > self._size_max:
                return False
            self._size_bytes += os.pwrite(self._file, step, self._size_bytes)
            self._given = news
            return True
        return False

    def _give(self) -> None:
        if not self._is_due:  # it was not put off any longer
            return
        self._is_due = False
        self._let_go()
        self._given = None
        with logged("the state for a crash"):
            news, state = self._latest, self._state()
            if isinstance(state.own, KernelState):
                state = replace(state, own=replace(state.own, grows=True))
            self._file = os.memfd_create("ipy_autorestart")
            state.write(self._file)
            self._size_bytes = os.fstat(self._file).st_size
            self._size_max = self._size_bytes + max(self._size_bytes, ADDED_MAX)
            self._proxy.send(Backup(), [self._file, *state.fds])
            self._given = news
