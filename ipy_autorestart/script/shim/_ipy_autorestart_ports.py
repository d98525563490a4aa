"""Tells the supervisor on which sockets a run listens, and lets it go on with those that the run before it had.

The audit hook of `sitecustomize` loads this module when the first socket for TCP is made. From then on four methods of
`socket.socket` are looked up through a descriptor, which gives out the very method that is there without it. Only while
a socket waits that the run before had is another `bind` given out.

As in `sitecustomize`, only what is there may be imported.
"""

import os
import sys

if False:  # for type checkers only
    import _socket
    from collections.abc import Callable
    from typing import Any
else:
    _socket = sys.modules["_socket"]  # it is there, as a socket has been made

# The originals: the script may replace them.
socket, socketpair, getaddrinfo = _socket.socket, _socket.socketpair, _socket.getaddrinfo
inet_ntop, inet_pton, CMSG_SPACE = _socket.inet_ntop, _socket.inet_pton, _socket.CMSG_SPACE
AF_INET, AF_INET6, SOCK_STREAM = int(_socket.AF_INET), int(_socket.AF_INET6), int(_socket.SOCK_STREAM)
getpid, fstat, samestat, dup2, close = os.getpid, os.fstat, os.path.samestat, os.dup2, os.close
get_blocking, set_blocking, get_inheritable = os.get_blocking, os.set_blocking, os.get_inheritable
audit = sys.audit

#: Seconds that the supervisor has to answer; it does so in far less than a millisecond, unless the machine is busy.
#: Where a bind would fail without the answer, it has longer; each wait ends with the supervisor.
ANSWER_MAX, NEEDED_MAX = 1.0, 10.0

ANY = {AF_INET: "0.0.0.0", AF_INET6: "::"}
FAMILIES = tuple(ANY)

#: Options of a socket, by level and name, that a program may have set before it binds. Those with a number of bytes are
#: structures; the sizes of buffers come last, as the system doubles what is asked for.
OPTIONS = (
    *((_socket.SOL_SOCKET, name, 0) for name in ("SO_REUSEADDR", "SO_REUSEPORT", "SO_KEEPALIVE", "SO_OOBINLINE")),
    *((_socket.SOL_SOCKET, name, 0) for name in ("SO_DONTROUTE", "SO_BROADCAST", "SO_PRIORITY", "SO_RCVLOWAT")),
    *((_socket.SOL_SOCKET, name, 16) for name in ("SO_LINGER", "SO_RCVTIMEO", "SO_SNDTIMEO")),
    *((_socket.IPPROTO_TCP, name, 0) for name in ("TCP_NODELAY", "TCP_CORK", "TCP_KEEPIDLE", "TCP_KEEPINTVL")),
    *((_socket.IPPROTO_TCP, name, 0) for name in ("TCP_KEEPCNT", "TCP_SYNCNT", "TCP_LINGER2", "TCP_DEFER_ACCEPT")),
    *((_socket.IPPROTO_TCP, name, 0) for name in ("TCP_USER_TIMEOUT", "TCP_FASTOPEN")),
    *((_socket.IPPROTO_IP, name, 0) for name in ("IP_TOS", "IP_TTL")),
    *((_socket.IPPROTO_IPV6, name, 0) for name in ("IPV6_TCLASS", "IPV6_UNICAST_HOPS")),
    *((_socket.SOL_SOCKET, name, 0) for name in ("SO_SNDBUF", "SO_RCVBUF")),
)
DOUBLED = ("SO_SNDBUF", "SO_RCVBUF")


class Method:
    """A method of a class of sockets, of which it is heard when somebody is about to call it.

    What is called is the method itself, so that nothing shows in a traceback; or what ``before`` returns instead.
    """

    def __init__(self, genuine: "Any", before: "Callable[[Any, Any], Any]") -> None:
        self._genuine = genuine
        self._before = before

    def __get__(self, sock: "Any", owner: "Any" = None) -> "Any":
        """Return it for a socket, or as the class has it."""
        method = self._genuine.__get__(sock, owner)
        return method if sock is None else self._before(sock, method) or method


class Ports:
    """The sockets of a run that listen for TCP.

    Parameters
    ----------
    fd
        Of the socket to the supervisor. It is told by messages that need no lock, also from forked children; each who
        wants an answer sends a socket of its own for it.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._link = fstat(fd)
        self._followed: set[type] = set()
        self._bound: dict[int, int] = {}  # ports that were asked for, by descriptors
        self._known: dict[int, int] = {}  # descriptors that the supervisor knows, and the processes
        self._waits = True  # whether a socket may wait
        self._takes = False
        self._own = {Ports.hear.__code__.co_filename}

    def hear(self, event: str, args: "tuple[Any, ...]") -> None:
        """Act on an audit event; errors are for the caller to pass over."""
        if event == "socket.__new__":
            if args[1] in FAMILIES and args[2] & 0xF == SOCK_STREAM:
                self._follow(type(args[0]))
        elif event == "socket.bind":
            if not self._takes:
                self._binds(args[0], args[1])
        elif event == "socket.connect":
            if self._waits:
                self._connects(args[0], args[1])
        else:  # another image takes over, and does not inherit them
            for fd in list(self._known):
                self._forget(fd)

    def _follow(self, kind: type) -> None:
        """Hear of the methods of a class of sockets, or of the one that it has them from."""
        if kind in self._followed:  # each accepted connection comes here
            return
        self._followed.add(kind)
        line = kind.__mro__
        if socket not in line or line.index(socket) == 0:
            return
        kind = line[line.index(socket) - 1]
        if isinstance(vars(kind).get("listen"), Method):
            return
        end = "_real_close" if "_real_close" in vars(kind) else "close"
        heard = {"bind": self._before_bind, "listen": self._before_listen, end: self._before_close}
        if "set_inheritable" in vars(kind):  # workers listen, which inherit it as new interpreters
            heard["set_inheritable"] = self._before_listen
        for name, before in heard.items():
            genuine = vars(kind).get(name) or getattr(socket, name)
            setattr(kind, name, Method(genuine, self._guarded(before)))

    def _guarded(self, before: "Callable[[Any, Any], Any]") -> "Callable[[Any, Any], Any]":
        def guarded(sock: "Any", method: "Any") -> "Any":
            try:
                return before(sock, method)
            except Exception as error:  # noqa: BLE001  # the border: the user's own call must go on
                pass_over(error, self._own)

        return guarded

    # -- what the run does ---------------------------------------------------------------------------------------------

    def _binds(self, sock: "Any", address: "Any") -> None:
        """Note a port that is asked for by its number, and have the supervisor let go what would be in the way."""
        fd = _fileno(sock)
        self._bound.pop(fd, None)
        if is_tcp(sock) and isinstance(address, tuple) and len(address) > 1 and address[1].__class__ is int:
            port = address[1]
            if port:
                self._bound[fd] = port
                self._ask("binds", *described(sock, "", port), seconds=NEEDED_MAX)

    def _connects(self, sock: "Any", address: "Any") -> None:
        """Have the supervisor let go what waits at a port that the run connects to: it may ask who listens."""
        if not is_tcp(sock) or not isinstance(address, tuple) or len(address) < 2 or address[1].__class__ is not int:
            return
        self._waits = self._ask("asks")[0]
        if self._waits:
            self._ask("binds", *described(sock, "", address[1]), seconds=NEEDED_MAX)

    def _before_listen(self, sock: "Any", _: "Any") -> None:
        fd = _fileno(sock)
        if fd in self._bound and is_tcp(sock) and socket.getsockname(sock)[1] == self._bound[fd]:
            del self._bound[fd]
            self._known[fd] = getpid()
            self._send(("listens", getpid(), fd), fd)

    def _before_close(self, sock: "Any", _: "Any") -> None:
        fd = _fileno(sock)
        self._bound.pop(fd, None)
        self._forget(fd)

    def _forget(self, fd: int) -> None:
        if self._known.pop(fd, 0) == getpid():  # a forked child may close what its parent goes on with
            self._ask("closes", getpid(), fd)

    # -- what the run before had ---------------------------------------------------------------------------------------

    def _before_bind(self, sock: "Any", genuine: "Any") -> "Any":
        """Return the ``bind`` of a run for which a socket waits."""
        if not self._waits or not is_tcp(sock):
            return None
        self._waits = self._ask("asks")[0]
        if not self._waits:
            return None

        def bind(*args: "Any") -> "Any":
            return None if len(args) == 1 and self._take(sock, args[0]) else genuine(*args)

        return bind

    def _take(self, sock: "Any", address: "Any") -> bool:
        """Go on with the socket that is bound to this address and waits; return whether there is one."""
        kept = -1
        try:
            host = canonical(sock, address)
            if not host:
                return False
            fd = _fileno(sock)
            self._waits, kept = self._ask(
                "claims", getpid(), fd, *described(sock, host, address[1]), seconds=NEEDED_MAX
            )
        except Exception as error:  # noqa: BLE001  # the border, as above
            pass_over(error, self._own)
        if kept < 0:
            return False
        try:
            self._takes = True
            try:
                audit("socket.bind", sock, address)  # as the system's call would, and it may refuse
            finally:
                self._takes = False
            put_in_place(fd, kept)
            self._known[fd] = getpid()
        finally:
            close(kept)
        return True

    # -- the supervisor ------------------------------------------------------------------------------------------------

    def _send(self, words: "tuple[Any, ...]", fd: int) -> bool:
        """Send a message with a descriptor, if the link is still there; return whether it went."""
        try:
            if not samestat(fstat(self._fd), self._link):  # the script has closed it, and opened something of its own
                return False
        except OSError:
            return False
        link = socket(fileno=self._fd)
        try:
            rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, sys.byteorder))]
            link.sendmsg([" ".join(map(str, words)).encode()], rights, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
        except OSError:  # nobody hears, or not now
            return False
        finally:
            link.detach()
        return True

    def _ask(self, *words: "Any", seconds: float = ANSWER_MAX) -> "tuple[bool, int]":
        """Return whether there may be more, and a descriptor, or -1 for none."""
        ours, theirs = socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            with_it = self._send(words, theirs.fileno())
            theirs.close()  # so that the wait ends with the supervisor
            if not with_it:
                return False, -1
            ours.settimeout(seconds)
            data, rights, _, _ = ours.recvmsg(16, CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
        except TimeoutError:  # the supervisor is busy
            return True, -1
        except OSError:
            return False, -1
        finally:
            ours.close()
            theirs.close()
        return data == b"1", int.from_bytes(rights[0][2][:4], sys.byteorder) if rights else -1


def pass_over(error: BaseException, own: "set[str]") -> None:
    """Raise an error if it is that of a signal handler of the script, which happened to run in our ``own`` files."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename not in own:
            raise error
        trace = trace.tb_next


def _fileno(sock: "Any") -> int:
    return socket.fileno(sock)


def is_tcp(sock: "Any") -> bool:
    """Return whether a socket may listen for TCP."""
    return socket.family.__get__(sock) in FAMILIES and socket.type.__get__(sock) & 0xF == SOCK_STREAM


def described(sock: "Any", host: str, port: int) -> "tuple[Any, ...]":
    """Return the address of a socket in the supervisor's words."""
    family = int(socket.family.__get__(sock))
    protocol = socket.getsockopt(sock, _socket.SOL_SOCKET, _socket.SO_PROTOCOL)
    only_v6 = family == AF_INET6 and bool(socket.getsockopt(sock, _socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY))
    device = socket.getsockopt(sock, _socket.SOL_SOCKET, _socket.SO_BINDTODEVICE, 16)
    return family, protocol, int(only_v6), device.rstrip(b"\0").decode(errors="replace"), port, host


def canonical(sock: "Any", address: "Any") -> str:
    """Return the host of an address as the system will call it; empty if it is none, or its port is not given."""
    if address.__class__ is not tuple or len(address) < 2:
        return ""
    host, port = address[:2]
    if host.__class__ is not str or port.__class__ is not int or not port or any(address[2:]) or "%" in host:
        return ""
    family = int(socket.family.__get__(sock))
    if not host:
        return ANY[family]
    try:
        return inet_ntop(family, inet_pton(family, host))
    except OSError:  # a name
        pass
    try:
        found = getaddrinfo(host, None, family, SOCK_STREAM)
    except OSError:  # which the system will say
        return ""
    return str(found[0][4][0])


def put_in_place(fd: int, kept: int) -> None:
    """Make a descriptor that of a kept socket, with the options and flags that it has itself."""
    blocking, inheritable = get_blocking(fd), get_inheritable(fd)  # an object made of it may set a default timeout
    old, new = socket(fileno=fd), socket(fileno=kept)
    try:
        for level, name, size in OPTIONS:
            copy(old, new, level, name, size)
    finally:
        old.detach()
        new.detach()
    set_blocking(kept, blocking)
    dup2(kept, fd, inheritable)


def copy(old: "_socket.socket", new: "_socket.socket", level: int, name: str, size: int) -> None:
    """Give one socket an option of another one, if they differ."""
    number = getattr(_socket, name, None)
    if number is None:
        return
    try:
        wanted: Any = old.getsockopt(level, number, *([size] if size else []))
        if wanted != new.getsockopt(level, number, *([size] if size else [])):
            new.setsockopt(level, number, wanted // 2 if name in DOUBLED else wanted)
    except OSError:  # not of this family, or not to be set now
        return
