"""The read end of a pipe from a run, which never makes the loop wait."""

from __future__ import annotations

import os

READ_BYTES = 1 << 16

#: Reads that take all a pipe may hold; more comes only from who goes on writing.
DRAIN_READS = 32


class Pipe:
    """Reads what a run has written; what the bytes mean is up to `take_bytes`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_blocking(fd, False)

    def fileno(self) -> int:
        """Return the file descriptor, for selectors."""
        return self._fd

    @property
    def is_open(self) -> bool:
        """Whether the other end may still write."""
        return self._fd >= 0

    @property
    def is_full(self) -> bool:
        """Whether it must not be read further for now."""
        return False

    def take_bytes(self, data: bytes) -> None:
        """Keep what was read; nothing at the end."""
        raise NotImplementedError

    def read(self) -> bool:
        """Take what one read of the pipe gives and say whether it gave any; closes the pipe at its end."""
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return False
        self.take_bytes(data)
        if not data:
            self.close()
        return bool(data)

    def drain(self) -> bool:
        """Take all that the pipe holds now, and say whether it held any; who holds its other end may go on writing."""
        for count in range(DRAIN_READS):
            if not self.is_open or not self.read():
                return count > 0
        return True

    def close(self) -> None:
        """Close the pipe."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
