"""Ports that nobody else takes between the moment when they are chosen and that when a kernel binds them."""

import os
import random
import socket

#: Below those that the system gives to whoever connects or asks for any, on Linux and elsewhere.
TOP = 32768

#: Each process that runs tests has so many for itself.
EACH = 5000


class Ports:
    """Chooses ports for kernels, as jupyter_client's ``LocalPortCache`` does, which asks the system for any.

    That may give the same ones to another process that runs tests, or to a client that connects, until they are bound.
    """

    def __init__(self, worker):
        self._first = TOP - EACH * (worker + 1)
        self._count = random.randrange(EACH)  # who runs tests in another folder begins elsewhere

    def find_available_port(self, ip):
        """Return one that nobody listens at."""
        while True:
            self._count += 1
            port = self._first + self._count % EACH
            with socket.socket() as tried:
                try:
                    tried.bind((ip, port))
                except OSError:
                    continue
            return port

    def return_port(self, port):
        """Take one back."""


def worker():
    """Return the number of this process among those that run tests."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
