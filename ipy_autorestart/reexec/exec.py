"""The way out of a process: exec, in the state in which it was started, with what is handed over."""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import logging
import os
import posix
import signal
import sys
import termios
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, Protocol

from ipy_autorestart.protocol.messages import Record
from ipy_autorestart.reexec.start import STATE, Start

log = logging.getLogger(__name__)

#: Seconds that the user's exit functions may take.
LAST_ACTS = 5.0

#: Seconds that may pass from there to exec.
DEPART_MAX = 10.0

#: Seconds in which what C code has written last is heard.
HEARD_MAX = 0.2

#: Where a new image goes on, as module and function; by its name, since it imports all of this.
ENTRY = "ipy_autorestart.extension:arrive"

#: Exit status after an internal error, see sysexits.h.
EX_SOFTWARE = 70


class Guest(Protocol):
    """A supervisor, as its host sees it."""

    def send(self, record: Record) -> None:
        """Say something to its process."""

    def show_again(self, request_id: str) -> None:
        """Show its status once more if it stands in the cell of this request, which was cleared."""

    def detach(self) -> Mapping[str, Any] | None:
        """Return what is needed to go on in another image of this process."""


class Departure:
    """Replaces this process by a new image of itself. From `go` on there is no way back.

    An error then ends the process with a status and the reason on its real standard error, so that whoever started it,
    the server's restarter say, takes over.

    Parameters
    ----------
    start
        What the new image is started with.
    state
        What is carried, as plain data; what the acts add to it goes along.
    descriptors
        Those that stay open.
    last_acts
        Done first, in the main thread: what belongs to the user, and may take long or hang.
    part
        Done then, whichever thread this is.

    Raises
    ------
    OSError
        If there is no place for the state.
    """

    def __init__(
        self,
        start: Start,
        state: dict[str, Any],
        *,
        descriptors: list[int],
        last_acts: Callable[[], None],
        part: Callable[[], None],
    ) -> None:
        self._start = start
        self._state = state
        self._descriptors = descriptors
        self._last_acts = last_acts
        self._part = part
        self.attachment: list[bytes] = []  # what follows the state, raw
        self._once = threading.Lock()
        self._carrier = _carrier()
        self._late = threading.Timer(LAST_ACTS, self._depart)
        self._late.daemon = True

    def go(self) -> NoReturn:
        """Leave."""
        # From here to the new image's own handler a SIGHUP stays pending; its default would end the process.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        self._late.start()
        try:
            self._last_acts()
        finally:
            self._depart()

    def _depart(self) -> NoReturn:
        """Go on in the main thread, or in the timer's while an exit function hangs in that."""
        if not self._once.acquire(blocking=False):
            threading.Event().wait()  # the other thread ends this one
        self._late.cancel()
        guard = threading.Timer(DEPART_MAX, self._exec_or_die)
        guard.daemon = True
        guard.start()
        try:
            self._part()
        except Exception as error:  # the border: told by the new image, which is heard
            log.exception("can't part properly")
            self._state["trouble"] = f"{type(error).__name__}: {error}"
        finally:
            self._exec_or_die()

    def _exec_or_die(self) -> NoReturn:
        try:
            self._exec()
        except BaseException:  # noqa: BLE001  # the border: half a process must not go on
            os.write(self._start.outputs[1], traceback.format_exc().encode())
        finally:
            os._exit(EX_SOFTWARE)

    def _exec(self) -> NoReturn:
        start = self._start
        with open(self._carrier, "wb", closefd=False) as file:
            file.write(json.dumps(self._state).encode() + b"\n")
            file.writelines(self.attachment)
        os.lseek(self._carrier, 0, os.SEEK_SET)
        environment = {**start.environment, STATE.encode(): str(self._carrier).encode()}
        kept = {*self._descriptors, self._carrier}
        for number in map(int, os.listdir("/dev/fd")):
            if number > 2:
                _set_inheritable(number, inheritable=number in kept)
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        os.chdir(start.folder if os.path.isdir(start.folder) else os.path.expanduser("~"))
        # An attached debugger replaces os.exec* by functions of its own.
        posix.execve(start.executable, start.command(), environment)


def restore_outputs(start: Start) -> None:
    """Put descriptors 1 and 2 back; ipykernel's pipes, which take their place, end with this image."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.flush()  # type: ignore[union-attr]
    for original, number in zip(start.outputs, (1, 2), strict=True):
        if original != number:
            os.dup2(original, number)
    deadline = time.monotonic() + HEARD_MAX
    while any(map(_waiting_bytes, (sys.stdout, sys.stderr))) and time.monotonic() < deadline:
        time.sleep(0.002)  # the last round for what a thread of ipykernel's has just taken


def _waiting_bytes(stream: object) -> int:
    """Return what C code has written and ``iostream.OutStream._watch_pipe_fd`` has not read."""
    found = array.array("i", [0])
    with contextlib.suppress(AttributeError, OSError, TypeError):
        fcntl.ioctl(stream._fid, termios.FIONREAD, found)  # type: ignore[attr-defined]  # noqa: SLF001
    return found[0]


@contextlib.contextmanager
def logged(what: str) -> Iterator[None]:
    """Log what fails, and go on: a new image mends it, a half-ended one doesn't."""
    try:
        yield
    except Exception:  # the border
        log.exception("can't end %s properly", what)


def _carrier() -> int:
    """Return the descriptor of a file without a name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("ipy_autorestart")
    import tempfile

    number, path = tempfile.mkstemp()
    os.unlink(path)
    return number


def _set_inheritable(number: int, *, inheritable: bool) -> None:
    try:
        os.set_inheritable(number, inheritable)
    except OSError:  # closed meanwhile, as the listing's own
        return


def detached(guests: Sequence[Guest]) -> list[Mapping[str, Any]]:
    """Return what each guest needs to go on; one that fails to tell is left behind, and ends."""
    states = []
    for guest in list(guests):
        with logged("a watch"):
            if state := guest.detach():
                states.append(state)
    return states


def carried(
    guests: list[Mapping[str, Any]], start: Start, *, cells: Mapping[str, Any] | None, hangup_ignored: bool
) -> dict[str, Any]:
    """Return the part of the state that every new image needs."""
    return {
        "entry": ENTRY,
        "guests": guests,
        "cells": cells,
        "words": start.words,
        "hangup_ignored": hangup_ignored,
        "ignored": sorted(start.ignored),
        "blocked": sorted(start.blocked),
    }
