"""The meaning of a SIGHUP to a process that restarts itself when it gets one: a terminal sends it as well."""

from __future__ import annotations

from enum import Enum, auto


class Meaning(Enum):
    """A restart, the end of the process, or nothing."""

    RESTART = auto()
    END = auto()
    NOTHING = auto()


def hangup_means(*, own: bool, ignored: bool, gone: bool) -> Meaning:
    """Return what a SIGHUP means.

    It is our ``own`` if we have sent it, because files have changed: then nothing else counts. Of all others, a process
    that ignored SIGHUP when it was started, as under nohup, takes no notice; and where the terminal is ``gone``, they
    tell of that.
    """
    if own:
        return Meaning.RESTART
    if ignored:
        return Meaning.NOTHING
    return Meaning.END if gone else Meaning.RESTART
