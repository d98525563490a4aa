"""A second process of the supervisor: it kills what runs if the supervisor is killed, however that happens."""

from __future__ import annotations

import contextlib
import os
import signal
import warnings


class Guardian:
    """A child that knows which process group runs, and kills it when its pipe from this process ends.

    Being forked, it costs a millisecond; it is made before this process has any thread, so that no lock can be held.
    """

    def __init__(self) -> None:
        self._guarded = 0
        self._fork()

    def _fork(self) -> None:
        read, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)  # it may have been stopped
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of threads: see `keep_up`
                self._pid = os.fork()
            if self._pid == 0:
                try:
                    _watch_over(read)
                finally:
                    os._exit(0)
        except OSError:
            self._pid = 0
            os.close(self._pipe)
            raise
        finally:
            os.close(read)

    def guard(self, pid: int) -> None:
        """Guard a process group, and no other; 0 for none."""
        if pid != self._guarded:
            self._guarded = pid
            self._tell()

    def _tell(self) -> None:
        with contextlib.suppress(OSError):  # it was killed, which `keep_up` notices
            os.write(self._pipe, b"%d\n" % self._guarded)

    def keep_up(self) -> None:
        """Replace it if it was killed.

        There are threads by then, but the child takes no lock that one of them could hold.
        """
        try:
            if self._pid and os.waitpid(self._pid, os.WNOHANG) == (0, 0):
                return
        except ChildProcessError:  # reaped with the orphans
            pass
        if self._pid:
            os.close(self._pipe)
        with contextlib.suppress(OSError):  # no process is to be had; the next call tries again
            self._fork()
            self._tell()

    def close(self) -> None:
        """End it, with nothing to kill."""
        if self._pid:
            self.guard(0)
            os.close(self._pipe)
            self._pid = 0


def _watch_over(pipe: int) -> None:
    os.setsid()
    signal.set_wakeup_fd(-1)
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    # It must hold nothing open: neither the pipe's other end, nor the link, nor what a script prints to.
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    for fd in map(int, os.listdir("/dev/fd")):
        if fd > 2 and fd != pipe:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(fd)
    guarded = 0
    with open(pipe, "rb") as lines:
        for line in lines:
            guarded = int(line)
    if guarded:
        with contextlib.suppress(OSError):
            os.killpg(guarded, signal.SIGKILL)
