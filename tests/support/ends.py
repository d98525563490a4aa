"""Sockets of ZeroMQ that are all closed at the end."""

import contextlib

import zmq


@contextlib.contextmanager
def sockets():
    """Yield what makes a socket of a kind."""
    made = []
    with zmq.Context() as context:

        def make(kind):
            made.append(context.socket(kind))
            made[-1].linger = 0
            return made[-1]

        try:
            yield make
        finally:
            for one in made:
                one.close()
