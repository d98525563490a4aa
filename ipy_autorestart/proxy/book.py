"""Decide what a proxy keeps: the requests that are not done, which another kernel is to do; values alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

#: Messages that are no requests: nothing answers them.
SILENT = frozenset({"comm_open", "comm_msg", "comm_close"})

#: The request that runs a cell.
EXECUTE = "execute_request"


class Request(NamedTuple):
    """A request that a client has sent and that may not be done yet."""

    channel: str
    kind: str
    frames: tuple[bytes, ...]
    replied: bool = False
    idle: bool = False  # the kernel has said that it is done
    begun: bool = False  # the kernel has said that it is at work on it

    @property
    def has_reply(self) -> bool:
        """Whether a reply is to be expected."""
        return self.kind not in SILENT

    @property
    def may_be_begun(self) -> bool:
        """Whether the kernel may be at work on it and has not come to say so."""
        return self.channel == "shell" and self.has_reply and not self.replied and not self.idle

    @property
    def is_done(self) -> bool:
        """Whether all that it leads to has come."""
        return self.idle and (self.replied or not self.has_reply)


class Lost(NamedTuple):
    """Requests that a kernel, which has died, can't answer any more.

    Attributes
    ----------
    begun
        What it was at work on; done again, that might kill the next kernel, too. If it has not come to say so, it is
        the oldest request.
    aborted
        Cells that were to follow a lost one, which they may rely on.
    answered
        What it had replied to without saying that it was done.
    ended
        What it had done, but not come to reply to.
    """

    begun: tuple[Request, ...] = ()
    aborted: tuple[Request, ...] = ()
    answered: tuple[Request, ...] = ()
    ended: tuple[Request, ...] = ()


class Book:
    """The requests that are not done, in their order, by the ids of their messages."""

    def __init__(self) -> None:
        self._requests: dict[str, Request] = {}

    def __len__(self) -> int:
        return len(self._requests)

    def note(self, key: str, channel: str, kind: str, frames: Iterable[bytes]) -> None:
        """Note a request that is sent to the kernel."""
        self._requests[key] = Request(channel, kind, tuple(frames))

    def replied(self, key: str) -> None:
        """Note a reply."""
        if request := self._requests.get(key):
            self._settle(key, request._replace(replied=True))

    def busy(self, key: str) -> None:
        """Note that the kernel has begun it."""
        if request := self._requests.get(key):
            self._requests[key] = request._replace(begun=True)

    def idle(self, key: str) -> None:
        """Note that the kernel has done it."""
        if request := self._requests.get(key):
            self._settle(key, request._replace(idle=True))

    def _settle(self, key: str, request: Request) -> None:
        if request.is_done:
            del self._requests[key]
        else:
            self._requests[key] = request

    def left(self) -> list[Request]:
        """Return what another kernel is to do, after the last message of the one that has ended in order.

        What that has said to be done is done, even if it has no reply, as messages of unknown kinds have none. The rest
        begins from the start.
        """
        left = {key: one for key, one in self._requests.items() if not one.idle}
        self._requests = {key: one._replace(replied=False, begun=False) for key, one in left.items()}
        return list(self._requests.values())

    def forget(self, key: str) -> None:
        """Forget a request that is done though nothing was said of it."""
        self._requests.pop(key, None)

    @property
    def is_at_work(self) -> bool:
        """Whether the kernel has begun what it has not answered."""
        return any(one.begun and not one.replied for one in self._requests.values())

    def take_lost(self, at_work: Collection[str] | None = None, ended: Collection[str] = ()) -> Lost:
        """Take out what a kernel that has died can't answer any more, given what it was at work on and had ended.

        If it tells what it begins to none but clients, it may have died before it came to that: the oldest it was.
        """
        requests = self._requests.items()
        answered = [key for key, one in requests if one.replied]
        begun, done = [key for key, one in requests if one.begun and not one.replied], list[str]()
        if at_work is not None:  # clients are told later, by a thread
            done = [key for key, one in requests if key in ended and not one.replied and one.has_reply]
            done += [key for key in begun if key not in at_work and key not in done]
            begun = [key for key in begun if key not in done]
        elif not begun:
            begun = [key for key, one in requests if one.may_be_begun][:1]
        cells = [key for key, one in requests if one.kind == EXECUTE]
        known = begun + answered + done
        aborted = [key for key in cells if key not in known] if set(cells) & set(begun) else []
        return Lost(*(tuple(map(self._requests.pop, keys)) for keys in (begun, aborted, answered, done)))
