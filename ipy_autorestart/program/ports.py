"""Sockets on which a program listens, kept over its restart: the next image binds their addresses again."""

from __future__ import annotations

import _frozen_importlib_external
import contextlib
import sys

from ipy_autorestart.pristine import Timer, os, socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from types import ModuleType
    from typing import Any

#: Seconds in which the next image may bind an address again, as a script may (`script.ports_policy.WAIT_MAX`).
WAIT_MAX = 5.0

#: The ports that the system chooses from, two numbers.
CHOSEN = "/proc/sys/net/ipv4/ip_local_port_range"


def listening(besides: Collection[int] = ()) -> Iterator[int]:
    """Yield duplicates of the sockets for TCP on which this process listens, but for those of some descriptors.

    A port that the system may have chosen is not among them.
    """
    left_out = {os.fstat(fd).st_ino for fd in besides}
    chosen = _chosen()
    for fd in map(int, os.listdir("/proc/self/fd") if sys.platform == "linux" else ()):
        with contextlib.suppress(OSError):  # the listing's own, or no socket
            if os.fstat(fd).st_ino in left_out:
                continue
            sock = socket.socket(fileno=fd)
            try:
                tcp = sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM
                if not tcp or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    continue
                port = sock.getsockname()[1]
            finally:
                sock.detach()
            if port not in chosen:
                left_out.add(os.fstat(fd).st_ino)
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

    Meanwhile `bind` of `socket.socket` is looked up through a descriptor, as in a script's run.
    """

    def __init__(self, fds: Collection[int]) -> None:
        self._fds = list(fds)
        self._put_back: Callable[[], None] = lambda: None
        self._timer = Timer(WAIT_MAX, self.close)
        if fds:
            self._install()
            self._timer.start()

    def _install(self) -> None:
        import socket as shared

        ports, kind = _ports(), shared.socket
        if ports.socket not in kind.__mro__:  # not the system's any more: gevent has its own
            self.close()
            return
        method = ports.Method(kind.bind, lambda sock, genuine: self._before_bind(ports, sock, genuine))

        def put_back() -> None:
            if vars(kind).get("bind") is method:
                del kind.bind

        kind.bind = method  # type: ignore[method-assign]
        self._put_back = put_back

    def _before_bind(self, ports: ModuleType, sock: Any, genuine: Any) -> Any:
        if not self._fds or not ports.is_tcp(sock):
            return None

        def bind(*args: Any) -> Any:
            return None if len(args) == 1 and self._take(ports, sock, args[0]) else genuine(*args)

        return bind

    def _take(self, ports: ModuleType, sock: Any, address: Any) -> bool:
        host = ports.canonical(sock, address)
        wanted = ports.described(sock, host, address[1]) if host else None
        for fd in self._fds if wanted else ():
            kept = ports.socket(fileno=fd)  # of the class that the program's are of; from 3.12 on ours is another
            try:
                bound = ports.described(kept, *kept.getsockname()[:2])
            finally:
                kept.detach()
            if bound == wanted:
                sys.audit("socket.bind", sock, address)
                self._fds.remove(fd)
                ports.put_in_place(sock.fileno(), fd)
                os.close(fd)
                if not self._fds:
                    self.close()
                return True
        return False

    def close(self) -> None:
        """Close what nobody has bound, and let `bind` be as ever."""
        self._timer.cancel()
        self._put_back()
        fds, self._fds = self._fds, []
        for fd in fds:
            with contextlib.suppress(OSError):  # closed already, by a program that closes whatever is open
                os.close(fd)


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
