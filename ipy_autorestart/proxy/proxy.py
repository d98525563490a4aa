"""The loop of a proxy: it forwards messages, and has one kernel follow another."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import zmq

from ipy_autorestart import catalogue
from ipy_autorestart.memory import expose
from ipy_autorestart.proxy import events
from ipy_autorestart.proxy.backend import Backend, kill_group
from ipy_autorestart.proxy.backup import Backup
from ipy_autorestart.proxy.book import Book
from ipy_autorestart.proxy.checkpoint import Checkpoints
from ipy_autorestart.proxy.crash import Crash
from ipy_autorestart.proxy.exchange import Exchange, may_answer
from ipy_autorestart.proxy.folder import Folder
from ipy_autorestart.proxy.forward import plain, received
from ipy_autorestart.proxy.frontend import Frontend
from ipy_autorestart.proxy.launcher import Launcher, Learnt
from ipy_autorestart.proxy.policy import Kernels, State, standby_at, step
from ipy_autorestart.proxy.signals import Signals
from ipy_autorestart.reexec.process import ProxyState
from ipy_autorestart.reexec.tty import Terminal
from ipy_autorestart.script.guardian import Guardian
from ipy_autorestart.script.orphans import adopt_orphans
from ipy_autorestart.script.pipes import no_ends
from ipy_autorestart.script.run import Run
from ipy_autorestart.wire import link as words
from ipy_autorestart.wire.at_work import Work
from ipy_autorestart.wire.link import Link
from ipy_autorestart.wire.messages import END
from ipy_autorestart.wire.returning import SUBSCRIBE_MAX

#: Seconds between two looks at the parent.
LOOKED_AT = 1.0

#: Seconds that clients may take to connect again after an exec.
RETURN_MAX = 1.0

#: Seconds until the next try to send what a kernel could not be sent yet.
UNSENT = 0.005

#: Seconds until the next try to send what a client could not be sent that isn't back yet.
UNDELIVERED = 0.05

#: Seconds that a kernel may take to end by itself, once it has said all.
END_MAX = 10.0

#: Seconds without a message after which a kernel that has died has left nothing more.
DRAINED = 0.02

#: Acts on what has come.
Handler = Callable[[], None]


class Proxy:
    """A proxy, made of what the kernel that has become it has left."""

    def __init__(self, own: ProxyState, signals: Signals) -> None:
        self._signals = signals
        self._terminal = Terminal()
        self._ignores_hangups = own.process.hangup_ignored  # as under nohup: the kernel judges them
        # It ends the kernel and removes the folder, should this process be killed.
        self._guardian = Guardian(leave_daemons=True, after=("sh", "-c", 'rm -rf "$0"', own.folder))
        self._own = own
        self._parent = os.getppid()
        self._follows = int(own.process.environment.get("JPY_PARENT_PID") or 0)
        adopt_orphans(really=True)
        self._folder = Folder(own.folder)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._frontend = Frontend(self._context, own.connection, own.listeners)
        self._book = Book()
        self._exchange = Exchange(self._book, self._frontend.key)
        for channel in ("control", "shell"):
            for frames in own.requests.get(channel, ()):
                self._exchange.note_request(channel, frames)
        path = f"/proc/{os.getpid()}/fd/{own.start}"
        self._launcher = Launcher(sys.executable, path, own.process, own.roots)
        self._backup = Backup(own.backup)
        self._crash = Crash(self._frontend, self._book)
        self._checkpoints = Checkpoints(self._happen, self._take_in)
        self._kernels = Kernels()
        self._backends: dict[int, Backend] = {}
        self._dismissed: dict[int, float] = {}  # processes that end by themselves, and when they must have
        self._count = self._failures = 0
        self._due_at = 0.0  # when `_do_due` has something to do
        self._poll: list[tuple[object, int]] = []  # what is waited for, until something has happened
        self._handlers: dict[object, Handler] = {}  # what acts on each
        self._answers_sent: list[tuple[int, str, list[zmq.Frame]]] = []  # in this turn, each with the kernel's number
        self._pending: list[int] = []  # signals that wait for a kernel that answers
        self._told = 0  # interrupts among them of which a kernel has been told
        self._status: int | None = None
        self._waits_until = time.monotonic() + RETURN_MAX
        self._answers = 0  # the kernel to which clients' messages go

    # -- the loop ------------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Run until the kernel ends in order, and return its status as ``Popen.returncode`` gives it."""
        if self._own.copied:
            self._happen(events.Started(self._add(Run(self._own.copied, no_ends(), lossless=False))))
            self._reap()  # it may have died before this program could hear of it
        self._happen(events.Tick())
        try:
            while self._status is None:
                self._turn()
        finally:
            self._close()
        return self._status

    def _turn(self) -> None:
        """Do what there is to do; most turns do nothing but forward a message."""
        for handle in self._wait():
            handle()
        self._note_answers()
        if time.monotonic() >= self._due_at:
            self._do_due()
        self._send_kept()

    def _look_up(self) -> None:
        """See in this turn what is due, and what is to be waited for: something has happened."""
        self._due_at = 0.0
        self._poll = []

    def _do_due(self) -> None:
        """Do what is due."""
        self._frontend.connections.note()
        self._launcher.keep_up()
        if self._launcher.is_preloading != self._kernels.is_preloading:
            self._happen(events.Preloading(self._launcher.is_preloading))
        self._look_at_parent()
        self._checkpoints.keep_up()
        if time.monotonic() >= self._kernels.due:
            self._happen(events.Tick())
        self._serve()
        self._drop_outdated()
        if self._standby_at() <= time.monotonic():
            self._start(forked=True)
        now = time.monotonic()
        for pid in [pid for pid, until in self._dismissed.items() if now >= until]:
            kill_group(pid)
            self._dismissed[pid] = now + END_MAX  # one that waits for a device ends later
        due = [
            *self._dismissed.values(),
            self._kernels.due,
            self._launcher.due_at(now) or float("inf"),
            self._standby_at(),
        ]
        if self._kernels.serves and self._live is None:
            due.append(self._waits_until)
        self._due_at = min(now + LOOKED_AT, *due)
        self._poll = []

    def _standby_at(self) -> float:
        """Return when the next kernel is to be started ahead: not before one is parked, as nobody waits for a fork."""
        due = standby_at(self._kernels, self._failures)
        return due if due is not None and self._launcher.has_parked else float("inf")

    def _wait(self) -> list[Handler]:
        """Wait for something, and return what acts on it, in the order of `_sources`."""
        if not self._poll:  # not in each turn: most only forward a message
            self._handlers = dict(self._sources())
            self._poll = [(source, zmq.POLLIN) for source in self._handlers]
        timeout = max(0, int((self._due_at - time.monotonic()) * 1000) + 1)
        return [self._handlers[source] for source, _ in zmq.zmq_poll(self._poll, timeout)]  # type: ignore[arg-type]

    def _sources(self) -> Iterator[tuple[object, Handler]]:
        """Yield what is waited for, and what acts on it: answers come first, of which some let a kernel be followed."""
        fds = [self._signals.fileno(), self._folder.listener.fileno(), *self._checkpoints.fds()]
        fds += [reader.fileno() for reader in self._launcher.readers()]
        for backend in self._backends.values():
            fds += backend.fds()
        for fd in fds:
            yield fd, partial(self._read, fd)
        for monitor in self._frontend.connections.monitors:
            yield monitor, self._look_up
        for backend in filter(self._is_heard, self._backends.values()):
            for channel, sock in backend.sockets.items():
                yield sock, partial(self._forward_answers, backend, channel)
        sockets = self._frontend.sockets
        if self._live:
            for channel in ("control", "shell", "stdin"):
                yield sockets[channel], partial(self._forward_requests, channel)
        yield sockets["hb"], self._frontend.beat
        yield sockets["iopub"], self._note_subscriptions

    @property
    def _live(self) -> Backend | None:
        """The kernel that answers the clients."""
        return self._backends.get(self._answers) if self._kernels.serves else None

    def _is_heard(self, backend: Backend) -> bool:
        """Whether what a kernel sends is for the clients: not before the one that went before it has ended."""
        return backend is self._live or self._kernels.state(backend.number) is State.LEAVING

    # -- messages ------------------------------------------------------------------------------------------------------

    def _forward_requests(self, channel: str) -> None:
        live = self._live
        if live is None:
            return
        for frames in received(self._frontend.sockets[channel]):
            if self._signals.have_come:  # first: an interrupt is not for what was sent after it
                self._take_signals()
            if live is self._live:  # else the next one gets it, from the book
                live.send(channel, frames)
            if channel != "stdin":  # only now, while the kernel is at work on it
                self._exchange.note_request(channel, plain(frames))

    def _forward_answers(self, backend: Backend, channel: str) -> None:
        if not self._poll and not self._is_heard(backend):  # of something that has happened in this turn
            return
        if channel == "shell":  # what a cell has printed comes before its reply, as a kernel sends it
            self._forward_answers(backend, "iopub")
        sock = backend.sockets.get(channel)
        for frames in received(sock) if sock else ():
            if len(frames) == 1 and frames[0].bytes == END:
                self._note_answers()
                self._happen(events.Ended(backend.number, channel))
                if backend.number not in self._backends:
                    return
                continue
            self._frontend.send(channel, frames)
            if may_answer(channel, frames):
                self._answers_sent.append((backend.number, channel, frames))

    def _note_answers(self) -> None:
        """Note what has been answered: only now, when all that was there has been sent on."""
        sent, self._answers_sent = self._answers_sent, []
        for number, channel, frames in sent:
            if self._exchange.note_answer(channel, frames):
                self._happen(events.Goodbye(number))

    def _note_subscriptions(self) -> None:
        self._frontend.note_subscriptions(welcome=any(backend.welcomes for backend in self._backends.values()))
        self._look_up()  # they may be back

    def _send_kept(self) -> None:
        """Send what could not be sent, as far as it can be now."""
        live = self._live
        if live and not live.flush():
            self._due_at = min(self._due_at, time.monotonic() + UNSENT)
        if not self._frontend.flush():
            self._due_at = min(self._due_at, time.monotonic() + UNDELIVERED)

    # -- kernels -------------------------------------------------------------------------------------------------------

    def _happen(self, event: events.Event) -> None:
        self._look_up()
        self._kernels, actions = step(self._kernels, event, time.monotonic())
        lost: list[int] = []
        for action in actions:
            if isinstance(action, events.Drop):
                lost += self._checkpoints.drop(action.checkpoint)
            else:
                self._act(action)
        for kernel in lost:  # only now, for what was decided is to be done first
            self._happen(events.NotForked(kernel))

    def _act(self, action: events.Action) -> None:
        match action:
            case events.Start():
                self._start(forked=False)
            case events.Fork(checkpoint):
                self._count += 1
                self._checkpoints.fork(checkpoint, self._count)
            case events.Judge():
                self._drop_outdated(leaving=True)
                self._happen(events.Judged())
            case events.HandOver(number):
                self._hand_over(self._backends[number])
            case events.Serve():
                self._serve()
            case events.Kill(number) if number not in self._backends:
                self._checkpoints.forget(number)
            case events.Kill(number):
                backend = self._backends.pop(number)
                self._pending += backend.pending_signals()
                backend.kill()
            case events.Dismiss(number):
                backend = self._backends.pop(number)
                self._pending += backend.pending_signals()
                backend.close()
                self._dismissed[backend.pid] = time.monotonic() + END_MAX
            case events.AnswerLost(number, status):
                work = self._backends[number].work
                if work is None and number != self._answers:  # clients have asked it for nothing
                    work = Work({})
                self._crash.answer(status, work)
            case events.Exit(status):
                self._status = status

    def _start(self, *, forked: bool, cold: bool = False) -> None:
        source = None if cold else self._launcher.source
        try:
            self._folder.restore()
            run = self._launcher.start_forked() if source is not None else None
            if run is None and forked:
                return
            if run is None:
                source, run = None, self._launcher.start_cold()
            number = self._add(run, source)
        except (OSError, zmq.ZMQError) as error:
            sys.stderr.write(f"ipy_autorestart: {catalogue.NO_KERNEL_STARTS(error=error)}\n")
            if forked:
                self._failures += 1
            else:
                self._happen(events.NotStarted())
        else:
            self._happen(events.Started(number))

    def _add(self, run: Run, source: int | None = None) -> int:
        self._count += 1
        self._backends[self._count] = Backend(self._context, self._folder.path, self._count, run, source)
        if not self._answers:  # from the first on, with which it removes the folder
            self._guardian.guard(run.pid)
        return self._count

    def _take_in(self, number: int, pid: int, link: Link) -> None:
        """Have a kernel that was made of a checkpoint connect; it is exposed as that, until it has its turn."""
        try:
            self._folder.restore()
            run = Run(pid, no_ends(), lossless=False)
            backend = self._backends[number] = Backend(self._context, self._folder.path, number, run, None)
        except (OSError, zmq.ZMQError) as error:
            sys.stderr.write(f"ipy_autorestart: {catalogue.NO_KERNEL_OF_IT(error=error)}\n")
            link.close()
            self._happen(events.NotForked(number))
        else:
            backend.connect(link)

    def _hand_over(self, backend: Backend) -> None:
        expose(backend.pid, None)
        if backend.link:
            interrupted = signal.SIGINT in self._pending
            self._told = self._pending.count(signal.SIGINT)  # it has them when it has taken over
            self._backup.hand_over(backend.link, self._crash.word(interrupted=interrupted))

    def _serve(self) -> None:
        """Have the live kernel answer, as soon as the clients are back that were there before an exec."""
        number = self._kernels.one(State.LIVE)
        if number is None or number == self._answers or not self._kernels.serves:
            return
        if not self._frontend.are_back and (now := time.monotonic()) < self._waits_until:
            if self._frontend.connections.are_all:
                self._waits_until = min(self._waits_until, now + SUBSCRIBE_MAX)
                self._due_at = min(self._due_at, self._waits_until)
            return
        self._frontend.connections.close()
        self._answers = number
        live = self._backends[number]
        self._guardian.guard(live.pid)
        pending, self._pending = self._pending, []
        for signum in pending:  # first: an interrupt is not for what was sent after it
            live.pass_on(signum)
        for request in self._book.left():
            live.send(request.channel, request.frames)
        self._launcher.begin(complete=bool(self._own.copied))

    # -- what else comes -----------------------------------------------------------------------------------------------

    def _read(self, fd: int) -> None:
        for backend in list(self._backends.values()):
            if backend.link and backend.link.fileno() == fd:
                self._hear(backend)  # which is often what comes with each cell, after which nothing is due
                return
        self._look_up()
        if fd == self._signals.fileno():
            self._take_signals()
        elif fd == self._folder.listener.fileno():
            self._accept()
        for reader in self._launcher.readers():
            if reader.fileno() == fd:
                reader.read()
        self._checkpoints.read(fd)
        for backend in list(self._backends.values()):
            if backend.run.reports.is_open and backend.run.reports.fileno() == fd:
                backend.read_reports()
                self._launcher.learn(backend.run.reports)

    def _accept(self) -> None:
        try:
            accepted, _ = self._folder.listener.accept()
        except OSError:  # who came has left, or the listener is another one by now, or there is no descriptor
            return
        self._connect(Link(accepted), _peer(accepted))

    def _connect(self, link: Link, pid: int) -> None:
        backend = next((one for one in self._backends.values() if one.pid == pid), None)
        if backend is None or backend.link:  # nobody else can reach this folder
            link.close()
            return
        backend.connect(link)

    def _hear(self, backend: Backend) -> None:
        """Take all words that a kernel has said by now."""
        while (link := backend.link) is not None:
            try:
                word, fds = link.receive(wait=False)
            except BlockingIOError:  # a process that a dead one has forked may hold the link open
                return
            except (EOFError, ValueError) as why:
                if isinstance(why, ValueError):  # it is out of its mind: another is to go on
                    sys.stderr.write(f"ipy_autorestart: {why}\n")
                    backend.signal(signal.SIGKILL)
                link.close()
                backend.link = None
                self._look_up()
                return
            self._take_word(backend, word, fds)

    def _take_word(self, backend: Backend, word: words.Word, fds: list[int]) -> None:
        if not isinstance(word, words.Done | words.Backup):  # they come with each cell
            self._look_up()
        match word:
            case words.Ready(environment, welcomes):
                backend.welcomes = welcomes
                backend.read_reports()
                self._launcher.preload(environment)
                self._launcher.learn(_imported(fds[0]) if fds else backend.run.reports)
                self._happen(events.Ready(backend.number))
            case words.Watching() if self._kernels.state(backend.number) in (State.TAKING, State.LIVE):
                self._launcher.watch(words.from_file(fds[0]).split("\n"))
            case words.Working():
                backend.take_at_work(fds[0])
            case words.Done(key):
                self._book.forget(key)
            case words.Backup() if self._kernels.state(backend.number) is State.LIVE:
                self._backup.replace(fds)
            case words.Leaving(interrupted, cold, back):
                self._backup.replace(fds)
                backend.interrupt_is_told = interrupted
                self._pending += [signal.SIGINT] * interrupted
                if cold:
                    self._drop_outdated(leaving=True, cold=True)
                    self._start(forked=False, cold=True)
                self._happen(events.Leaves(backend.number, () if cold else back, cold))
            case words.Parked(number, pid) if self._kernels.state(backend.number) is State.LIVE:
                self._checkpoints.park(backend.number, number, pid, Link(socket.socket(fileno=fds[0])))
            case words.Keep(numbers, likely):
                self._happen(events.Keep(backend.number, numbers, likely))
            case words.TookOver():
                self._failures = 0
                self._crash.forget()
                for _ in range(self._told):
                    self._pending.remove(signal.SIGINT)
                self._told = 0
                self._happen(events.TookOver(backend.number))
            case words.Goodbye():
                self._happen(events.Goodbye(backend.number))
            case _:
                for fd in fds:
                    os.close(fd)

    def _drop_outdated(self, *, leaving: bool = False, cold: bool = False) -> None:
        """Drop kernels that were started ahead, if another start would be newer, or sooner done with its imports."""
        if not leaving and not self._kernels.serves:  # one that starts is waited for
            return
        source = self._launcher.source
        cold = cold or (leaving and self._launcher.is_shadowed)
        for backend in list(self._backends.values()):
            if backend.number not in self._kernels.waiting(0):
                continue
            backend.read_reports()
            is_old = backend.source != source and (source is not None or leaving)
            if cold or is_old or (leaving and backend.is_stale):
                self._happen(events.Outdated(backend.number))

    def _take_signals(self) -> None:
        for signum in self._signals.take():
            self._take_signal(signum)

    def _take_signal(self, signum: int) -> None:
        if signum == signal.SIGCHLD:
            self._reap()
        elif (
            signum == signal.SIGHUP
            and not self._ignores_hangups
            and self._terminal.is_gone
            and not self._backup.announces_hangup()
        ):
            self._status = -signal.SIGHUP  # as the kernel would, which is in another session
        elif (live := self._live) is not None:
            live.pass_on(signum)
        elif signum == signal.SIGTERM:
            self._status = -signal.SIGTERM
        else:
            self._pending.append(signum)

    def _reap(self) -> None:
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            # Until `waitpid` the number can't be another's: all that is done with it comes before that.
            pid = found.si_pid
            status = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
            backend = next((one for one in self._backends.values() if one.pid == pid), None)
            if backend is not None or pid in self._dismissed or self._checkpoints.has(pid):
                kill_group(pid)  # what it has left there
            if backend is not None:
                self._note_end(backend, status)  # it may have been dismissed only by its last words
            self._dismissed.pop(pid, None)
            os.waitpid(pid, 0)
            self._checkpoints.note_end(pid)

    def _note_end(self, backend: Backend, status: int) -> None:
        self._hear(backend)  # its last words
        if backend.number not in self._backends:
            return
        if self._is_heard(backend):
            channels: dict[object, str] = {sock: channel for channel, sock in backend.sockets.items()}
            poll: list[Any] = [(sock, zmq.POLLIN) for sock in channels]
            while left := zmq.zmq_poll(poll, int(DRAINED * 1000)):
                for sock, _ in left:
                    self._forward_answers(backend, channels[sock])
                if backend.number not in self._backends:
                    return
            self._note_answers()
        if backend.number in self._kernels.waiting(0):
            self._failures += 1
        if -status in backend.passed_on:  # it was asked to end
            self._happen(events.Goodbye(backend.number))
        hung_up = signal.SIGHUP in backend.passed_on
        work = backend.work
        for key in work.begun if work else ():
            self._book.busy(key)
        at_work = backend.number == self._answers and self._book.is_at_work
        self._happen(events.Died(backend.number, status, hung_up, at_work))
        del self._backends[backend.number]
        backend.close()

    def _look_at_parent(self) -> None:
        """End when the parent has ended, as a kernel does that was told to (``ipykernel.parentpoller``)."""
        parent = os.getppid()
        if self._follows and parent != self._parent and (parent == 1 or self._follows == self._parent):
            self._status = 1

    # -- the end -------------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        for backend in self._backends.values():
            backend.kill()
        self._checkpoints.close()
        for pid in self._dismissed:
            kill_group(pid)
        self._launcher.close()
        self._guardian.close()
        self._backup.close()
        self._frontend.close()
        self._context.term()
        os.close(self._own.start)
        self._folder.close()
        if self._own.owns_connection_file:
            with contextlib.suppress(OSError):
                os.unlink(self._own.connection_file)


def _imported(fd: int) -> Learnt:
    """Return what a kernel says to have imported, which has not reported it: it was not started from here."""
    return Learnt(begun=True, imported=words.from_file(fd).split("\n"))


def _peer(sock: socket.socket) -> int:
    """Return the process at the other end (unix(7), ``SO_PEERCRED``)."""
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder)
