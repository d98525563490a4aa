"""What a kernel is at work on, in memory that it shares with its proxy, which looks there when the kernel has died.

Clients are told what begins, too, but by a thread, which may not have come to it by then. A word on the link would wake
the proxy for each cell, just as the cell begins.
"""

from __future__ import annotations

import contextlib
import json

from ipy_autorestart.pristine import Lock, os


class AtWork:
    """The kernel's side; its methods are for any thread.

    Attributes
    ----------
    fd
        The file, for the proxy.
    """

    def __init__(self) -> None:
        self.fd = os.memfd_create("ipy_autorestart")
        self._begun: dict[str, bool] = {}
        self._lock = Lock()  # or a thread might write what another one has outdated

    def begin(self, key: str, *, again: bool) -> None:
        """Note that a request begins, or a cell again."""
        with self._lock:
            self._begun[key] = again
            self._write(self._begun)

    def end(self, key: str) -> None:
        """Note that it has ended."""
        with self._lock:
            self._begun.pop(key, None)
            self._write(self._begun)

    def tell_no_more(self) -> None:
        """Note that nothing is noted from now on, until something begins."""
        with self._lock:
            self._begun.clear()
            self._write(None)

    def _write(self, begun: dict[str, bool] | None) -> None:
        with contextlib.suppress(OSError):  # the user's code has closed it
            os.pwrite(self.fd, json.dumps(begun).encode() + b"\n", 0)  # what is left of longer ones stands behind that

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            os.close(self.fd)
        self.fd = -1


def read(fd: int) -> dict[str, bool] | None:
    """Return the requests that have begun and not ended, each with whether it is a cell again; None if none is told."""
    line = os.pread(fd, os.fstat(fd).st_size, 0).partition(b"\n")[0]
    try:
        begun: dict[str, bool] | None = json.loads(line or b"null")
    except ValueError:  # it was killed as it wrote
        return None
    return begun
