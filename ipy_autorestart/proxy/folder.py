"""The folder where kernels find their proxy: it lies where others clean up, and must be there as long as the proxy."""

from __future__ import annotations

import errno
import fcntl
import os
import socket

from ipy_autorestart.wire.link import NAME


class Folder:
    """The folder, with the socket that kernels connect their links to; to be closed.

    Attributes
    ----------
    path
        Its path.
    listener
        That socket; `restore` may replace it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = _locked(path)
        self.listener = self._listen()

    def restore(self) -> None:
        """Make anew what has been removed of it, for a kernel that is to start; raises OSError if that can't be done.

        Other kernels are connected, and need it no more.
        """
        try:
            is_same = os.path.samestat(os.lstat(self.path), os.fstat(self._fd))
        except FileNotFoundError:
            os.mkdir(self.path, 0o700)  # fails if somebody else has made one meanwhile
            os.close(self._fd)
            self._fd = _locked(self.path)
        else:
            if not is_same:
                raise FileExistsError(errno.EEXIST, "it has been replaced by somebody else's", self.path)
        if not os.path.exists(f"{self.path}/{NAME}"):
            self.listener.close()
            self.listener = self._listen()

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            listener.bind(f"{self.path}/{NAME}")
            listener.listen()
            listener.settimeout(0)
        except OSError:
            listener.close()
            raise
        return listener

    def close(self) -> None:
        """Remove it."""
        import shutil  # which the start need not wait for

        self.listener.close()
        os.close(self._fd)
        shutil.rmtree(self.path, ignore_errors=True)


def _locked(path: str) -> int:
    """Return a descriptor of the folder, which is locked: by that systemd-tmpfiles knows what is in use.

    See "Temporary directories" at systemd.io. Sockets alone would be left alone, by tmpreaper and tmpwatch, too.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd
