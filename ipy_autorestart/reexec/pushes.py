"""A process that restarts itself waits until each worker of a cluster has the new code."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable

from ipy_autorestart import catalogue
from ipy_autorestart.pristine import Event, os
from ipy_autorestart.protocol.messages import Changed, PushFailed
from ipy_autorestart.reexec.exec import SupervisorHandle

#: Seconds more than a push may take: a helper may have to be started.
MORE = 20.0


class Pushes:
    """What those supervisors of a process answer that push to a cluster, once it has told them to have ended.

    Attributes
    ----------
    within
        Seconds that they may take.
    is_over
        Whether all have answered, or one that it has failed; ``why`` says why then.
    """

    def __init__(self, owners: Iterable[SupervisorHandle], on_over: Callable[[], None] = lambda: None) -> None:
        pushing = {id(owner): owner.request.options for owner in owners if owner.request.options.cluster}
        self._missing = set(pushing)
        self._on_over = on_over
        self._over = Event()
        self.within = max((options.cluster_timeout for options in pushing.values()), default=0.0) + MORE
        self.is_over = not pushing
        self.why = ""

    def note(self, owner: SupervisorHandle, answer: Changed | PushFailed) -> None:
        """Note an answer; in the thread that listens to the owner. One to the image before may come late."""
        if self.is_over or id(owner) not in self._missing:
            return
        if isinstance(answer, PushFailed):
            self._missing, self.why = set(), answer.why
        elif answer.pid == os.getpid():
            self._missing.discard(id(owner))
        if not self._missing:
            self.is_over = True
            self._over.set()
            self._on_over()

    def wait(self) -> None:
        """Return when it is over, or at the end of the time."""
        if not self.is_over:
            self._over.wait(self.within)

    @property
    def refusal(self) -> str:
        """Why not to restart, if there is a reason."""
        return self.why if self.is_over else catalogue.CLUSTER_LATE()


def clients_here() -> tuple[str, ...]:
    """Return the names that clusters of Dask have for the clients of this process."""
    module = sys.modules.get("distributed.client")
    with contextlib.suppress(Exception):  # it is being imported, or another version of it
        return tuple(client.id for client in module.Client._instances)  # type: ignore[union-attr]  # noqa: SLF001
    return ()
