"""Gives the proxy, as cells end, the state from which another kernel could go on, should this one die."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipy_autorestart.ipython.ledger import Ledger
from ipy_autorestart.pristine import os, time
from ipy_autorestart.reexec.exec import logged
from ipy_autorestart.reexec.state import Carried
from ipy_autorestart.wire.link import Backup, Link

#: Seconds after a cell until the state is given; at once if so many times as long has passed as it takes to give it.
LATER, SHARE = 0.05, 20

#: The same for the next request, of which the kernel might die: it waits for that unless it comes in a flood.
SHARE_BEFORE = 3

#: Seconds that it takes, until it was measured.
TAKES = 0.002


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
        self._kept: tuple[Ledger, Sequence[object]] | None = None
        self._at, self._took = time.monotonic(), TAKES  # the proxy has that of the kernel before
        self._is_due = False

    def renewed(self, proxy: Link) -> Backups:
        """Return one with another link, in a copy of the kernel; what this one has put off is another kernel's."""
        self._is_due = False
        return Backups(proxy, self._state, call_later=self._call_later)

    def note(self, ledger: Ledger, watches: Sequence[object]) -> None:
        """Note what cells have run by now and what watches, and give the state if that is news.

        At once, if a watch has ended: the next kernel would take it up if this one died before long.
        """
        if self._kept and self._kept[0] is ledger and self._kept[1] == watches:
            return
        has_ended = self._kept is not None and any(one not in watches for one in self._kept[1])
        self._kept = ledger, watches
        was_due, self._is_due = self._is_due, True
        if has_ended or time.monotonic() >= self._at + SHARE * self._took:
            self._give()
        elif not was_due:
            self._call_later(LATER, self._give)

    def before_request(self) -> None:
        """Give what was put off, as a request begins; the loop may have come to nothing else since the last one."""
        if self._is_due and time.monotonic() >= self._at + SHARE_BEFORE * self._took:
            self._give()

    def _give(self) -> None:
        if not self._is_due:  # it was not put off any longer
            return
        self._is_due = False
        began = time.monotonic()
        with logged("the state for a crash"):
            state = self._state()
            carrier = os.memfd_create("ipy_autorestart")
            try:
                state.write(carrier)
                self._proxy.send(Backup(), [carrier, *state.fds])
            finally:
                os.close(carrier)
        self._at = time.monotonic()
        self._took = self._at - began
