"""Parts of what is carried over, where a test doesn't ask what is in them."""

from ipy_autorestart.reexec.process import ProcessState

PROCESS = ProcessState(
    argv=(),
    folder="/",
    environment={},
    surroundings={},
    hangup_ignored=False,
    ignored=frozenset(),
    blocked=frozenset(),
)
