"""Make a running kernel's process a proxy, while a copy of the kernel goes on behind it with its whole memory.

`Arming` copies the kernel, sees that the copy lives and, in the copy, connects it to the proxy as soon as that is
there; `KernelArming` makes the process that was copied the proxy. Until the copy has taken over, SIGHUP is only noted.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn, Self

from ipy_autorestart import catalogue
from ipy_autorestart.kernel.copy import Copy
from ipy_autorestart.kernel.handover import KernelHandover
from ipy_autorestart.kernel.inherited import CantCopy
from ipy_autorestart.kernel.standby import end_with, number_of, say_ready
from ipy_autorestart.kernel.trust import Known, Trust
from ipy_autorestart.pristine import attribute_of, os, select, signal, time
from ipy_autorestart.reexec.exec import FAILED, SupervisorHandle, or_end
from ipy_autorestart.reexec.trackers import trackers
from ipy_autorestart.reexec.tty import give_hangups_back
from ipy_autorestart.wire.link import ATTRIBUTE, Link, TakeOver, TookOver, make_folder

#: Seconds in which the proxy must have begun, and between two looks whether it has.
PROXY_MAX, LOOKED_AT = 20.0, 0.002

#: Seconds in which the copy must live.
BEGIN_MAX = 5.0

#: The word of a copy that lives, and bytes of the word of one that doesn't.
LIVES, REASON_MAX = "lives", 4096


class CantArm(Exception):  # noqa: N818  # a refusal
    """The process can't become a proxy while the kernel goes on, for this reason; it can at the next restart."""


class Arming:
    """The way of a running kernel behind a proxy; to be used in its main thread, while it is idle and its gate closed.

    Parameters
    ----------
    kernel
        An ipykernel ``Kernel``.
    lives
        Called in the copy, with the link to the proxy, when it is the kernel that answers from now on; and with whether
        a SIGINT has come meanwhile.

    Attributes
    ----------
    folder
        The proxy's, for its sockets.
    hangups
        The SIGHUPs that have come meanwhile. They are for the copy, but what tells whose they were is unread in a pipe
        that both processes read: so this one passes them on, by the proxy.
    """

    def __init__(self, kernel: Any, *, lives: Callable[[Link, bool], None]) -> None:
        self._kernel = kernel
        self._lives = lives
        self._trust = Trust(kernel)
        self._copy: Copy | None = None
        self._pid = 0
        self._proxy = os.getpid()
        self._link: Link | None = None
        self.folder = ""
        self.hangups: Hangups | None = None

    def note_hangups(self) -> None:
        """Only note SIGHUPs from now on: one that acted on memory which is then copied would act in the copy."""
        self.hangups = Hangups()

    def begin(self, supervisors: Iterable[SupervisorHandle]) -> int:
        """Copy the kernel; return the process id of the copy, which lives by then, and 0 in that.

        Nobody may be listening to the supervisors, and SIGHUPs are only noted. Raises `CantArm`; all is as it was then.
        """
        ours = list(supervisors)
        known = Known(
            fds=frozenset(fd for one in ours for fd in one.fds()),
            children=frozenset(one.pid for one in ours) | trackers(),
        )
        if doubts := self._trust.doubts(known):
            raise CantArm("; ".join(doubts))
        try:
            self.folder = make_folder()
            self._copy = Copy(self._kernel.parent)
            with Beginning() as beginning:
                live, repair = (functools.partial(act, beginning) for act in (self._live, self._repair))
                self._pid = self._copy.fork(live, repair=repair)
                if self._pid and (doubts := self._trust.survivors() or beginning.doubts()):
                    raise CantArm("; ".join(doubts))
        except BaseException as error:
            self.undo()
            if isinstance(error, CantCopy | OSError):
                raise CantArm(str(error)) from error
            raise
        return self._pid

    def undo(self) -> None:
        """End the copy, if there is one, and go on as before; harmless if that was done already."""
        pid, self._pid = self._pid, 0
        if pid:
            with contextlib.suppress(ProcessLookupError):  # somebody else has waited for it
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):  # or nobody has to, where SIGCHLD is ignored
                os.waitpid(pid, 0)
        if self._copy:
            self._copy.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._act_on_hangups()

    def _act_on_hangups(self) -> None:
        """Have SIGHUP act again, and those that were noted come once more."""
        hangups, self.hangups = self.hangups, None
        if hangups:
            hangups.end()
            if hangups.noted:
                os.kill(os.getpid(), signal.SIGHUP)

    # -- in the copy ---------------------------------------------------------------------------------------------------

    def _repair(self, beginning: Beginning) -> None:
        if doubts := self._trust.repair():
            beginning.say(*doubts)
            os._exit(FAILED)  # noqa: SLF001  # its name; a refusal is no error to be shown

    def _live(self, beginning: Beginning) -> None:
        assert self._copy
        assert self.hangups
        self.hangups.noted = False  # the other process passes them on
        end_with(self._proxy)
        beginning.say(LIVES)
        self._link = _connected(self.folder)
        number = number_of(self._link)
        self._copy.revive(lambda channel: f"ipc://{self.folder}/{number}-{channel}")
        setattr(self._kernel, ATTRIBUTE, self._link)
        atexit.register(self._link.say_goodbye)
        loop = self._kernel.io_loop
        loop.add_handler(self._link.fileno(), lambda *_: self._hear(), loop.READ)
        say_ready(self._link, modules=_installed())

    def _hear(self) -> None:
        assert self._link
        try:
            word, fds = self._link.receive()
        except EOFError:  # the proxy is gone
            os._exit(1)  # noqa: SLF001  # its name
        for fd in fds:
            os.close(fd)
        if isinstance(word, TakeOver):  # what comes with it is here
            with or_end():  # another one is to try
                self._lives(self._link, word.interrupted)
                self._link.send(TookOver())
            self._act_on_hangups()  # only now does the proxy heed that this kernel leaves


class Hangups:
    """Takes SIGHUP and only notes it, until `end`: whose it was is not asked."""

    def __init__(self) -> None:
        self.noted = False
        self.previous = signal.signal(signal.SIGHUP, self._note)

    def _note(self, *_: object) -> None:
        self.noted = True

    def end(self) -> None:
        """Give SIGHUP back, unless somebody else has taken it."""
        if signal.getsignal(signal.SIGHUP) == self._note:
            give_hangups_back(self.previous)


class Beginning:
    """What a copy says of its beginning to the process that was copied, by a pipe.

    That one must not make way before: it has the memory, too.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._open = {self._read, self._write}

    def say(self, *words: str) -> None:
        """Say that the copy lives, or why it doesn't; once, in the copy."""
        os.write(self._write, "; ".join(words).encode(errors="replace")[:REASON_MAX])

    def doubts(self) -> tuple[str, ...]:
        """Wait for the word of the copy; return why it doesn't live."""
        self._close(self._write)  # so that the end of the copy is the end of the pipe
        waiting = select.poll()
        waiting.register(self._read, select.POLLIN)
        if not waiting.poll(BEGIN_MAX * 1000):
            return (catalogue.COPY_LATE(),)
        said = os.read(self._read, REASON_MAX).decode(errors="replace")
        return () if said == LIVES else (said or catalogue.COPY_FAILED(),)

    def _close(self, *fds: int) -> None:
        for fd in self._open.intersection(fds):
            self._open.remove(fd)
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close(self._read, self._write)


def _connected(folder: str) -> Link:
    """Connect to the proxy as soon as it listens."""
    deadline = time.monotonic() + PROXY_MAX
    while True:
        try:
            return Link.to_proxy(folder)
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOKED_AT)


def _installed() -> list[str]:
    """Return the files of installed modules, in the order in which they were imported; a project's own may change."""
    library = os.path.dirname(shutil.__file__) + os.sep
    packages = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
    found = (attribute_of(module, "__file__") for module in list(sys.modules.values()))
    files = (file for file in found if isinstance(file, str))
    return [file for file in files if file.startswith(library) or any(part in file for part in packages)]


class KernelArming(KernelHandover):
    """Makes the process of a kernel that was copied the proxy; no life ends here."""

    def __init__(self, *args: Any, arming: Arming, **options: Any) -> None:
        super().__init__(*args, folder=arming.folder, no_proxy="", **options)
        self._arming = arming
        if self._sockets is None:
            self.give_up()
            raise CantArm(self._no_proxy or catalogue.ODD_SOCKETS())

    def become(self, pid: int, supervisors: Iterable[SupervisorHandle], *, hangup_ignored: bool) -> NoReturn:
        """Become the proxy of the copy with this process id, to which the supervisors belong from now on."""
        self._copied = pid
        self.exec_with(tuple(filter(None, (one.snapshot() for one in supervisors))), hangup_ignored=hangup_ignored)

    def end_life(self) -> None:
        """Leave everything to the copy, whose it is."""

    def end_children(self) -> None:
        """Leave the children to the copy."""

    def end_trackers(self) -> None:
        """Leave the trackers to the copy, too: they end when that closes their pipes."""

    def noted(self) -> Iterator[signal.Signals]:
        """Yield SIGHUP as well, if one has come for the copy."""
        yield from super().noted()
        if self._arming.hangups and self._arming.hangups.noted:
            yield signal.SIGHUP
