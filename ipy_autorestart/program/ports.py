"""Sockets on which a program listens, kept over its restart: the next image binds their addresses again."""

from __future__ import annotations

import _frozen_importlib_external
import contextlib
import gc
import sys

from ipy_autorestart.pristine import RLock, Timer, get_ident, os, socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from typing import Any

#: Seconds in which the next image may bind an address again, as a script may (`script.ports_policy.WAIT_MAX`).
WAIT_MAX = 5.0

#: The ports that the system chooses from, two numbers.
CHOSEN = "/proc/sys/net/ipv4/ip_local_port_range"

FAMILIES = (socket.AF_INET, socket.AF_INET6)

#: Before a socket is bound, and before one connects: who asks whether somebody listens is not to find an offer.
HEARD = frozenset({"socket.bind", "socket.connect"})


def listening(besides: Collection[int] = (), early: Collection[int] = ()) -> Iterator[int]:
    """Yield duplicates of the program's sockets for TCP that listen, but for those of some descriptors.

    What C code listens on is not among them, as it binds unheard; nor is a port that the system may have chosen, nor a
    socket with one of the inodes that were there too early.
    """
    left_out = {os.fstat(fd).st_ino for fd in besides} | set(early)
    chosen = _chosen()
    kind: Any = getattr(sys.modules.get("_socket"), "socket", None)  # the program's; from 3.12 on ours is another
    if sys.platform != "linux" or kind is None:
        return
    for sock in [one for one in gc.get_objects() if issubclass(type(one), kind)]:
        with contextlib.suppress(OSError):  # closed
            fd = kind.fileno(sock)
            inode = os.fstat(fd).st_ino
            if inode in left_out or kind.family.__get__(sock) not in FAMILIES:
                continue
            left_out.add(inode)
            listens = kind.getsockopt(sock, socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if listens and kind.type.__get__(sock) == socket.SOCK_STREAM and kind.getsockname(sock)[1] not in chosen:
                yield os.dup(fd)


def _chosen() -> range:
    try:
        with open(CHOSEN) as file:
            first, last = map(int, file.read().split())
    except (OSError, ValueError):
        return range(32768, 61000)
    return range(first, last + 1)


class Offers:
    """Sockets of the image before, for a program that binds their addresses; closed if it doesn't in time.

    Meanwhile `bind` of `socket.socket` is looked up through a descriptor, as in a script's run. An offer that is in the
    way of what the program does with its port is closed before.
    """

    def __init__(self, fds: Collection[int]) -> None:
        self._inodes: dict[int, int] = {}  # by descriptors: the program may close these, and open others
        for fd in fds:
            with contextlib.suppress(OSError):
                self._inodes[fd] = os.fstat(fd).st_ino
        self._lock = RLock()
        self._taking = 0  # the thread that takes one
        self._put_back: Callable[[], None] = lambda: None
        self._timer = Timer(WAIT_MAX, self.close)
        if self._inodes:
            self._ports = _ports()
            self._own = {one.__code__.co_filename for one in (_ports, self._ports.pass_over)}
            try:
                self._install()
                self._timer.start()
            except RuntimeError:  # no thread can be started, or a hook of the program's allows no other one
                self.close()

    def _install(self) -> None:
        import socket as shared

        ports, kind = self._ports, shared.socket
        if ports.socket not in kind.__mro__:  # not the system's any more: gevent has its own
            self.close()
            return
        method = ports.Method(kind.bind, self._before_bind)

        def put_back() -> None:
            with contextlib.suppress(AttributeError):
                if vars(kind).get("bind") is method:
                    del kind.bind

        def hear(event: str, args: tuple[Any, ...]) -> None:
            if event in HEARD and self._inodes:
                self._let_go(*args)

        sys.addaudithook(hear)  # there is no way to remove it
        os.register_at_fork(after_in_child=self._close_in_child)  # which has no timer
        kind.bind = method  # type: ignore[method-assign]
        self._put_back = put_back

    def _before_bind(self, sock: Any, genuine: Any) -> Any:
        if not self._inodes or not self._ports.is_tcp(sock):
            return None

        def bind(*args: Any) -> Any:
            return None if len(args) == 1 and self._take(sock, args[0]) else genuine(*args)

        return bind

    def _take(self, sock: Any, address: Any) -> bool:
        """Put the socket with this address in the place of another one; return whether there is one."""
        kept = -1
        try:
            host = self._ports.canonical(sock, address)
            if host:
                kept = self._pop(self._ports.described(sock, host, address[1]))
        except Exception as error:  # noqa: BLE001  # the border: the user's own call must go on
            self._ports.pass_over(error, self._own)
        if kept < 0:
            return False
        try:
            self._taking = get_ident()
            try:
                sys.audit("socket.bind", sock, address)  # as the system's call would, and it may refuse
            finally:
                self._taking = 0
            self._ports.put_in_place(self._ports.socket.fileno(sock), kept)
        except OSError as error:
            self._ports.pass_over(error, self._own)
            return False
        finally:
            os.close(kept)
            if not self._inodes:
                self.close()
        return True

    def _pop(self, wanted: tuple[Any, ...]) -> int:
        """Return the descriptor of the offer that is described so, which is the caller's then; -1 for none."""
        with self._lock:
            for fd in self._offered():
                if self._bound(fd) == wanted:
                    del self._inodes[fd]
                    return fd
        return -1

    def _offered(self) -> list[int]:
        """Return the descriptors that are still those of the offers; forget the others."""
        for fd, inode in list(self._inodes.items()):
            if not _is(fd, inode):
                del self._inodes[fd]
        return list(self._inodes)

    def _bound(self, fd: int) -> tuple[Any, ...]:
        kept = self._ports.socket(fileno=fd)  # of the class that the program's are of; from 3.12 on ours is another
        try:
            described: tuple[Any, ...] = self._ports.described(kept, *kept.getsockname()[:2])
        finally:
            kept.detach()
        return described

    def _let_go(self, sock: Any, address: Any) -> None:
        """Close the offers of a port that the program is about to bind or to connect to."""
        try:
            if self._taking == get_ident() or not self._ports.is_tcp(sock) or address.__class__ is not tuple:
                return
            port = address[1] if len(address) > 1 else 0
            with self._lock:
                for fd in self._offered():
                    if self._bound(fd)[-2] == port:
                        del self._inodes[fd]
                        os.close(fd)
        except Exception as error:  # noqa: BLE001  # the border, as above
            self._ports.pass_over(error, self._own)

    def _close_in_child(self) -> None:
        self._lock = RLock()  # another thread may have had it
        self.close()

    def take_all(self) -> list[int]:
        """Return the descriptors that nobody has bound, and let `bind` be as ever."""
        self._timer.cancel()
        self._put_back()
        with self._lock:
            inodes, self._inodes = self._inodes, {}
        return [fd for fd, inode in inodes.items() if _is(fd, inode)]

    def close(self) -> None:
        """Close what nobody has bound."""
        for fd in self.take_all():
            os.close(fd)


def _is(fd: int, inode: int) -> bool:
    """Return whether a descriptor is still that of the socket with this inode."""
    try:
        return os.fstat(fd).st_ino == inode
    except OSError:
        return False


def _ports() -> Any:
    """Return the module by which a script's run goes on with the sockets that the run before had.

    It lies among those that are loaded by their paths, as no run can import this package.
    """
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = os.path.join(package, "script", "shim", "_ipy_autorestart_ports.py")
    loader = _frozen_importlib_external.SourceFileLoader("_ipy_autorestart_ports", path)
    module = type(sys)(loader.name)
    module.__file__ = path
    loader.exec_module(module)
    return module
