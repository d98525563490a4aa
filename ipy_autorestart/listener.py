"""The front's thread that listens to one supervisor."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
from collections.abc import Callable

from ipy_autorestart.link import Link
from ipy_autorestart.record import Record

log = logging.getLogger(__name__)

#: Seconds that it may take to end what is being shown.
STOP_MAX = 2.0


class Listener:
    """Hears what a supervisor says, until it is gone or `stop` is called.

    Parameters
    ----------
    link
        Read by nobody else meanwhile.
    name
        Of the thread.
    on_record
        Called in the thread with each record.
    on_end
        Called in the thread when the other side is gone, at last.
    """

    def __init__(
        self, link: Link, *, name: str, on_record: Callable[[Record], None], on_end: Callable[[], None]
    ) -> None:
        self._link = link
        self._on_record = on_record
        self._on_end = on_end
        self._asleep, self._alarm = os.pipe()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it listens."""
        return self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        """Whether it is this very thread that listens."""
        return self._thread is threading.current_thread()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end and say whether it has come."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Stop listening; the link stays open, and `on_end` is not called if it wasn't already."""
        with contextlib.suppress(OSError):  # the other side was gone first
            os.write(self._alarm, b"x")
        self._thread.join(STOP_MAX)  # a screen of somebody's own may hang

    def _run(self) -> None:
        waiting = select.poll()
        waiting.register(self._link, select.POLLIN)
        waiting.register(self._asleep, select.POLLIN)
        asleep, alarm = self._asleep, self._alarm
        try:
            while all(number != asleep for number, _ in waiting.poll()):
                for record in self._link.receive():
                    self._pass_on(record)
        except EOFError:
            self._on_end()
        finally:
            self._asleep = self._alarm = -1  # first, so that `stop` can't hit what opens these numbers next
            os.close(asleep)
            os.close(alarm)

    def _pass_on(self, record: Record) -> None:
        try:
            self._on_record(record)
        except Exception:  # the border: what shows it may fail, the rest goes on
            log.exception("can't show %s", record)
