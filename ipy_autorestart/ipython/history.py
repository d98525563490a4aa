"""Sessions of IPython's history: each life of a shell has one, with a number of its own.

They begin and end in a file, for which a change of kernels need not wait. This relies, in IPython 8.20 to 9, on
``HistoryManager.new_session``, ``end_session``, ``session_number``, what is in `NEED_NUMBER`, and the table
``sessions``.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ipy_autorestart.pristine import Event, Lock, Thread
from ipy_autorestart.reexec.exec import logged

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

log = logging.getLogger(__name__)

#: Methods of a ``HistoryManager`` that do something with the number of the session.
NEED_NUMBER = ("writeout_cache", "end_session", "name_session", "get_session_info", "get_tail", "get_range", "reset")


def end_session(shell: InteractiveShell) -> None:
    """End the session, whose file remembers when it ended."""
    with logged("the history"):
        if shell.history_manager is not None:
            shell.history_manager.end_session()


def end_session_later(shell: InteractiveShell) -> Callable[[], None]:
    """Return what ends the session; that may be called when IPython has closed the file at its exit."""
    history = shell.history_manager
    if history is None or not history.enabled or not history.session_number:
        return lambda: None
    history.writeout_cache()
    number, count, ended = history.session_number, len(history.input_hist_parsed) - 1, datetime.now(UTC)
    history.session_number = 0  # so IPython ends none itself

    def end() -> None:
        with _opened(history) as db:
            db.execute("UPDATE sessions SET end=?, num_cmds=? WHERE session==?", (ended.isoformat(" "), count, number))

    return end


def begin_session_later(
    shell: InteractiveShell, later: Callable[[Callable[[], object]], object] = lambda begin: begin()
) -> None:
    """Begin the session of a shell that has none, in a thread; whatever needs its number waits for that.

    ``later`` is given what begins it, and may call that when there is time; what needs the number does so before.
    """
    history: Any = shell.history_manager
    if history is None or not history.enabled or history.session_number:
        return
    if str(history.hist_file) == ":memory:":
        history.new_session()
        return
    began, once = Event(), Lock()

    def wait_for(name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            start()
            began.wait()
            return getattr(type(history), name)(history, *args, **options)

        return call

    def begin() -> None:
        try:
            with _opened(history) as db:
                row = db.execute("INSERT INTO sessions VALUES (NULL, ?, NULL, NULL, '')", (since,))
            history.session_number = row.lastrowid
        except Exception:  # the border: the shell goes on
            log.exception("the session of the history can't be begun")
        finally:
            began.set()
            for name, method in waiting.items():
                if vars(history).get(name) is method:
                    delattr(history, name)

    def start() -> None:
        if vars(history).get(NEED_NUMBER[0]) is not waiting[NEED_NUMBER[0]] or not once.acquire(blocking=False):
            return  # in a copy of the shell, another session is begun
        try:
            Thread(begin)
        except RuntimeError:  # no more threads can be had
            begin()

    since = datetime.now().isoformat(" ")
    waiting = {name: wait_for(name) for name in NEED_NUMBER}
    for name, method in waiting.items():
        setattr(history, name, method)
    later(start)


@contextlib.contextmanager
def _opened(history: Any) -> Iterator[Any]:  # a HistoryManager; a connection
    """Open its file once more, for any thread, as its own connection is for one; what is written is kept at the end."""
    from IPython.core.history import HistoryAccessor

    accessor = HistoryAccessor(hist_file=history.hist_file)  # which closes it when it is forgotten
    with contextlib.closing(accessor.db) as db, db:
        yield db
