"""Ports that nobody else takes between the moment when they are chosen and that when a kernel binds them."""

import itertools
import socket
import sys

#: Below those that the system gives to whoever connects or asks for any, on Linux and elsewhere.
TOP = 32768

#: Each process that runs tests has so many for itself.
EACH, BLOCKS = 1000, 20


class Ports:
    """Chooses ports for kernels, as jupyter_client's ``LocalPortCache`` does, which asks the system for any.

    That may give the same ones to another process that runs tests, or to a client that connects, until they are bound.
    """

    def __init__(self):
        first = TOP - EACH * (self._claim() + 1)
        self._ports = itertools.cycle(range(first, first + EACH))

    def _claim(self):
        """Return the number of a block that no other process has, in whatever folder it runs tests."""
        self._claimed = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        for block in range(BLOCKS):
            try:
                if sys.platform == "linux":  # which has names that are no files (unix(7), "abstract")
                    self._claimed.bind(f"\0ipy_autorestart tests {block}")
            except OSError:
                continue
            return block
        raise RuntimeError(f"more than {BLOCKS} processes run tests")

    def find_available_port(self, ip):
        """Return one that nobody listens at."""
        for port in self._ports:
            with socket.socket() as tried:
                try:
                    tried.bind((ip, port))
                except OSError:
                    continue
            return port
        raise AssertionError

    def return_port(self, port):
        """Take one back."""

    def close(self):
        """Let others have the block."""
        self._claimed.close()
