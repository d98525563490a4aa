"""The seam to libzmq and asyncio in a forked process: let go of what it inherits and must never use.

The threads of libzmq, and those that run event loops, don't exist there, and an inherited epoll is the very one of the
process it was forked from: to unregister a descriptor would take it away from that one. So nothing is closed as its
owner would close it. Its descriptors are closed by their numbers, and the objects are marked as closed, which pyzmq,
tornado and asyncio respect: one that is used by mistake raises, and touches nothing that has got the number since. What
isn't known to be libzmq's or an event loop's is the user's, and stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Collection
from typing import Any

from ipy_autorestart import catalogue
from ipy_autorestart.kernel import proc
from ipy_autorestart.kernel.mend import close_copied
from ipy_autorestart.pristine import os, signal, time

#: Part of the name of each of libzmq's threads, in the system's lists.
LIBZMQ = "ZMQbg"

#: Seconds in which each of them must be seen to wait.
WAITING_MAX = 1.0


class CantCopy(Exception):  # noqa: N818  # a refusal
    """A kernel can't be copied now, for this reason."""


def epolls_of_libzmq(contexts: Collection[Any]) -> set[int]:
    """Return the descriptors of the epolls in which libzmq's threads wait, as their system calls tell.

    Nothing else does: no Python object knows them, and other libraries have epolls too.

    Parameters
    ----------
    contexts
        Those of pyzmq that are in use, whose threads may not all have begun yet.

    Raises
    ------
    CantCopy
        A thread is never seen to wait.
    """
    import zmq

    least = sum(1 + context.get(zmq.IO_THREADS) for context in contexts if context._sockets)  # noqa: SLF001
    deadline = time.monotonic() + WAITING_MAX
    while True:
        tasks = [task for task in proc.tasks() if LIBZMQ in proc.name_of(task)]
        found = {call[1] for call in map(proc.call_of, tasks) if len(call) > 1 and proc.is_epoll(call[1])}
        if len(found) >= max(least, len(tasks)):
            return found
        if time.monotonic() > deadline:
            raise CantCopy(catalogue.ZMQ_BUSY())
        time.sleep(0.0005)


def let_go_of_libzmq(contexts: Collection[Any], epolls: Collection[int]) -> None:
    """Close all that libzmq holds, and mark its contexts and their sockets as closed.

    Parameters
    ----------
    contexts
        Those of pyzmq that are in use.
    epolls
        Those in which its threads waited, and by which its connections are known.
    """
    doomed = {*epolls}.union(*map(proc.watched_by, epolls))
    for context in contexts:
        for socket in list(context._sockets):  # noqa: SLF001
            if not socket._closed:  # noqa: SLF001  # `closed` would ask libzmq
                doomed.add(socket.FD)
                socket._closed = True  # noqa: SLF001
        context.closed = True
    known = {fd: what for fd, _, what in proc.descriptors()}
    rest = {fd for fd, what in known.items() if what == proc.EVENT} - doomed
    if len(rest) == len(contexts):  # each has one more for its end, of which nothing tells; here the user has none
        doomed |= rest
    sockets = {known[fd] for fd in doomed & known.keys() if known[fd].startswith("socket:")}
    for fd, what in known.items():
        if fd in doomed or what in sockets:  # under any number, for a listening socket may have been duplicated
            os.close(fd)


def let_go_of_loop(io_loop: Any) -> None:
    """Close what the loop of a thread holds that is no more; a tornado IOLoop."""
    loop = io_loop.asyncio_loop
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  # it is no news that they end
    close_copied(loop)


def wakeup_fd() -> int:
    """Return the descriptor to which signals are written (`signal.set_wakeup_fd`), -1 for none.

    It is to be asked before a fork: from 3.12 on asyncio has a forked process forget it.
    """
    fd = signal.set_wakeup_fd(-1)
    if fd >= 0:
        _wake_by(fd)
    return fd


def _wake_by(fd: int) -> None:
    with contextlib.suppress(ValueError, OSError):  # a program has closed its own
        signal.set_wakeup_fd(fd, warn_on_full_buffer=False)


def renew_loop(io_loop: Any, *, is_running: bool, wakeup: int) -> None:
    """Give the loop of this very thread a selector and a wake-up of its own; only libzmq's sockets leave it.

    Its tasks, timers and callbacks go on, and the user's descriptors are watched as before. Signals wake it if
    ``wakeup``, what `wakeup_fd` returned before the fork, is its own; else they are written where they were.
    """
    import zmq
    from zmq.eventloop.zmqstream import ZMQStream

    loop = io_loop.asyncio_loop
    watched = list(loop._selector.get_map().values())  # noqa: SLF001
    gone = {loop._ssock.fileno()}  # noqa: SLF001
    signal.set_wakeup_fd(-1)
    is_loops = wakeup == loop._csock.fileno()  # noqa: SLF001
    for fd, (file, handler) in list(io_loop.handlers.items()):
        if isinstance(file, zmq.Socket):
            gone.add(fd)
            del io_loop.handlers[fd]
            io_loop.readers.discard(fd)
            io_loop.writers.discard(fd)
            if isinstance(stream := getattr(handler, "__self__", None), ZMQStream):
                _stop(stream)
    for handle in loop._ready:  # noqa: SLF001
        if handle._callback == io_loop._handle_events and handle._args[0] in gone:  # noqa: SLF001
            handle.cancel()  # the loop counts those that are due: none may be taken out
    for each in (loop._selector, loop._ssock, loop._csock):  # noqa: SLF001
        each.close()
    loop._internal_fds -= 1  # noqa: SLF001
    loop._selector = type(loop._selector)()  # noqa: SLF001
    loop._make_self_pipe()  # noqa: SLF001
    for key in watched:
        if key.fd not in gone:
            with contextlib.suppress(OSError):  # it has been closed without being unregistered
                loop._selector.register(key.fileobj, key.events, key.data)  # noqa: SLF001
    if sys.version_info >= (3, 12):  # a fork makes it forget
        asyncio.set_event_loop(loop)
    if is_running:
        asyncio._set_running_loop(loop)  # noqa: SLF001  # it is one process's only
    _wake_by(loop._csock.fileno() if is_loops else wakeup)  # noqa: SLF001


def _stop(stream: Any) -> None:
    """Have a ZMQStream do nothing, though it is due already."""
    stream.socket, stream._handle_events = None, lambda *_: None  # noqa: SLF001
