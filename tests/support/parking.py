"""Forks copies of a kernel that do as checkpoints and kernels behind a proxy do, and just that."""

import contextlib
import os
import signal
import socket
import traceback

import zmq

from ipy_autorestart.kernel.standby import end_with, number_of
from ipy_autorestart.wire.link import ATTRIBUTE, Forked, Keep, Leaving, Link, Parked, Ready, TookOver
from ipy_autorestart.wire.messages import END

KINDS = {"shell": zmq.DEALER, "control": zmq.DEALER, "stdin": zmq.DEALER, "iopub": zmq.PUSH}


class Kernel:
    """A kernel, or a copy of one, which evaluates the cells that it gets.

    Attributes
    ----------
    origin
        The checkpoint of which it was made.
    pids
        The processes of the checkpoints that it remembers.
    """

    def __init__(self, real):
        self.link = getattr(real, ATTRIBUTE)
        self.link.send(Keep(()))  # what it has parked by itself; and it parks no more
        send = self.link.send
        self.link.send = lambda word, fds=(): None if isinstance(word, Keep | Parked) else send(word, fds)
        self._say = send
        self.session = real.session
        self.proxy = os.getppid()
        self.folder = os.path.dirname(self.link._socket.getpeername())
        self.origin = 0
        self.pids = {}
        self.how = ""
        self.word = None
        self._back = None

    # -- what a cell asks for ------------------------------------------------------------------------------------------

    def park(self, number, how=""):
        """Park a copy; ``how`` says what becomes of it: "cannot", "dies" or "crashes", when it is to be a kernel."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            self.pids[number] = _child_of(self.proxy, lambda: self._wait(number, how, Link(theirs)), theirs)
            self._say(Parked(number, self.pids[number]), [ours.fileno()])
        return self.pids[number]

    def keep(self, *numbers, likely=0):
        self._say(Keep(numbers, likely))

    def leave(self, *back, cold=False):
        """Leave, as soon as the cell has been answered."""
        self._back = Leaving(back=back, cold=cold)

    # -- in the copies -------------------------------------------------------------------------------------------------

    def _wait(self, number, how, link):
        self.pids[number] = os.getpid()
        while True:
            word, [fd] = link.receive()
            if how == "cannot":
                link.send(Forked(word.number, 0))
            else:
                own = socket.socket(fileno=fd)
                pid = _child_of(self.proxy, lambda own=own: self._serve(number, how, Link(own)), own)
                link.send(Forked(word.number, pid))
                own.detach()
            os.close(fd)

    def _serve(self, origin, how, link):
        self.origin, self.how, self.link, self._back = origin, how, link, None
        self._say = link.send
        number = number_of(link)
        context = zmq.Context()
        sockets = {channel: context.socket(kind) for channel, kind in KINDS.items()}
        for channel, one in sockets.items():
            one.connect(f"ipc://{self.folder}/{number}-{channel}")
        self.session.pid = os.getpid()
        with open(f"made of {origin}", "w") as file:
            file.write(str(os.getpid()))
        link.send(Ready())
        self.word, state = link.receive()
        if how == "dies":
            os._exit(3)
        link.send(TookOver())
        while True:
            ready = dict(zmq.zmq_poll([(link.fileno(), zmq.POLLIN), (sockets["shell"], zmq.POLLIN)], -1))
            if link.fileno() in ready:
                link.receive()
            if sockets["shell"] in ready:
                self._answer(sockets)
            if self._back:
                link.send(self._back, state)
                for channel in ("shell", "control", "iopub"):
                    sockets[channel].send(END)
                link.wait_for_end()
                os._exit(0)

    def _answer(self, sockets):
        identities, frames = self.session.feed_identities(sockets["shell"].recv_multipart())
        message = self.session.deserialize(frames)
        kind = message["msg_type"].removesuffix("_request")

        def publish(what, **content):
            self.session.send(sockets["iopub"], what, content, parent=message, ident=what.encode())

        publish("status", execution_state="busy")
        if kind == "execute":
            try:
                text = repr(eval(message["content"]["code"], {"kernel": self, "os": os}))
            except Exception:  # noqa: BLE001  # the cell's
                text = traceback.format_exc()
            publish("execute_result", execution_count=1, data={"text/plain": text}, metadata={})
        content = {"status": "ok", "execution_count": 1}
        self.session.send(sockets["shell"], f"{kind}_reply", content, parent=message, ident=identities)
        publish("status", execution_state="idle")


def _child_of(proxy, act, *sockets):
    """Have a child of the proxy act, with these sockets only; return its process id when it is that child."""
    read, write = os.pipe()
    if (between := os.fork()) == 0:
        if os.fork():
            os._exit(0)
        try:
            os.setsid()
            for signum in (signal.SIGHUP, signal.SIGINT):
                signal.signal(signum, signal.SIG_IGN)
            while os.getppid() != proxy:
                os.sched_yield()
            end_with(proxy)
            os.write(write, str(os.getpid()).encode())
            kept = {0, 1, 2, *(one.fileno() for one in sockets)}
            for fd in map(int, os.listdir("/proc/self/fd")):
                with contextlib.suppress(OSError):
                    os.close(fd) if fd not in kept else None
            act()
        except EOFError:
            pass
        except BaseException:  # noqa: BLE001  # nothing may go on here as the kernel
            traceback.print_exc()
        finally:
            os._exit(1)
    os.waitpid(between, 0)
    pid = int(os.read(read, 20))
    os.close(read)
    os.close(write)
    return pid
