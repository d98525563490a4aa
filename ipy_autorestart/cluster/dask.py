"""A push to a Dask cluster: what `policy` decides, done over one client's connection."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import time
import zlib
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import cloudpickle
import distributed

from ipy_autorestart.cluster import carried, remote
from ipy_autorestart.cluster.policy import (
    CantPush,
    Process,
    Refusal,
    Step,
    must_restart,
    next_step,
    refuse,
    refuse_clash,
    refuse_loss,
    ship_to,
    told,
    waves,
    who_lacks,
)
from ipy_autorestart.cluster.tree import Tree, digest

cloudpickle.register_pickle_by_value(carried)

T = TypeVar("T")

#: Seconds in which a scheduler is connected to.
ANSWERS_WITHIN = 4.0

#: Seconds that an answer of a scheduler may take which is there: it may have large graphs to read.
ANSWERS_MAX = 60.0

#: Seconds between two looks whether it is still there.
LOOKED_AT_CLIENT = 0.5

#: The plugin of nannies, one for all watches.
NANNIES = "ipy-autorestart-nannies"

#: Seconds between two looks at those that restart.
LOOKED_AT = 0.05

#: Seconds in which the scheduler learns that the client of a run has gone.
LEAVES_WITHIN = 1.0

_TEXT = Path(remote.__file__).read_bytes()
#: What each process of a cluster is sent once, and how it is reminded of it then.
SOURCE = (digest(_TEXT), zlib.compress(_TEXT))
KNOWN = (SOURCE[0], b"")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look has seen: workers, the scheduler, the addresses that don't answer, and the nannies by workers."""

    workers: Sequence[Process]
    scheduler: Process
    silent: Sequence[str]
    nannies: Mapping[str, str]

    @property
    def everyone(self) -> list[Process]:
        """All that have answered."""
        return [*self.workers, self.scheduler]


class DaskCluster:
    """A cluster, as one client of it sees it.

    Attributes
    ----------
    project
        The name under which this watch is known there.
    restarted
        How many workers the last push has restarted.
    """

    def __init__(self, client: Any, project: str, *, where: str) -> None:
        self.project = project
        self.restarted = 0
        self._client = client
        self._where = where
        self._switched: set[str] = set()  # nannies

    @classmethod
    async def connect(cls, where: str, project: str) -> Self:
        """Connect to a scheduler by its address or file; raises `CantPush`."""
        how = {"scheduler_file": where} if os.path.isfile(where) else {"address": where}
        try:
            client = await asyncio.wait_for(
                distributed.Client(**how, asynchronous=True, timeout=ANSWERS_WITHIN, set_as_default=False),
                ANSWERS_WITHIN + 0.5,
            )
        except Exception as error:  # whatever an address that is none leads to  # noqa: BLE001
            raise CantPush(
                f"no Dask scheduler answers at {where} ({_words(error)}); start it, or name another"
            ) from None
        cluster = cls(client, project, where=where)
        try:
            await cluster._refuse_versions()
        except CantPush:
            await cluster.close()
            raise
        return cluster

    async def _refuse_versions(self) -> None:
        """Raise `CantPush` unless all have the Python and the Dask that are here: else nothing of ours runs there."""
        found = await self._answer(self._client.get_versions())
        there = {"the scheduler": found["scheduler"], **found["workers"]}
        _refuse([_known(name, said["packages"]) for name, said in there.items() if said])

    async def close(self) -> None:
        """Leave nothing for workers that join, and close the connection."""
        with contextlib.suppress(Exception):  # it may be gone
            others = await asyncio.wait_for(self._client.run_on_scheduler(carried.uninstall, self.project), 1.0)
            if self._switched and not others:
                await asyncio.wait_for(self._client.unregister_worker_plugin(NANNIES, nanny=True), 1.0)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._client.close(), 1.0)

    @property
    def _gone(self) -> str:
        return f"the Dask scheduler at {self._where} is gone"

    def check(self) -> None:
        """Raise `CantPush` if the scheduler is gone, as the client knows: nobody is asked."""
        if self._client.status != "running":
            raise CantPush(f"{self._gone}; start it again")

    async def ship(self, tree: Tree) -> None:
        """Send files to the machines that lack them; no process uses them yet. Raises `CantPush`."""
        manifest = tree.manifest()
        seen = await self._look(_head(manifest))
        await self._ship(tree, manifest, seen.everyone)

    async def push(self, tree: Tree, *, within: float, lose_data: bool = False, clients: tuple[str, ...] = ()) -> str:
        """Make all workers run a version; return how that went, in a few words.

        The run whose code this replaces has ended, or these are its clients: what they wait for is dropped, unless
        this raises `CantPush` before any worker restarts.
        """
        manifest = tree.manifest()
        head = _head(manifest)
        deadline = time.monotonic() + within
        self.restarted = 0
        waited: set[str] = set()  # nannies whose workers were ended
        while True:
            seen = await self._look(head)
            silent = list(seen.silent)
            if missing := waited - set(seen.nannies.values()):
                silent += await self._on_scheduler(carried.reachable, sorted(missing))
            late = time.monotonic() > deadline
            match next_step(seen.workers, seen.scheduler, manifest["version"], silent=silent, late=late):
                case Step.SHIP:
                    await self._ship(tree, manifest, seen.everyone)
                case Step.ENTER:
                    await self._enter(manifest, head, seen.workers)
                case Step.RESTART:
                    names = must_restart(seen.workers)
                    await self._refuse_loss(names, clients, lose_data=lose_data)
                    await self._on_scheduler(carried.release, list(clients))
                    await self._switch({name: seen.nannies[name] for name in names}, tree)
                    for wave in waves(names):
                        ended = await self._on_scheduler(carried.restart, list(wave))
                        waited |= set(ended.values())
                        self.restarted += len(ended)
                case Step.WAIT:
                    await asyncio.sleep(LOOKED_AT)
                case Step.DONE:
                    return told(len(seen.workers), manifest["version"], restarted=self.restarted)
                case Step.GIVE_UP:
                    raise CantPush(who_lacks(seen.workers, manifest["version"], silent=silent, seconds=within))

    # -- its parts -----------------------------------------------------------------------------------------------------

    async def _look(self, head: Mapping[str, Any]) -> Seen:
        """Ask all processes; raises `CantPush` if the cluster is one that can't be pushed to."""
        before = await self._survey(head)
        there = before["workers"].items()
        _refuse([_known(name, its["versions"], can_restart=bool(its["nanny"])) for name, its in there])
        answers = await self._on_workers(carried.look_at_worker, KNOWN, self.project, head)
        if strange := [name for name, answer in answers.items() if isinstance(answer, LookupError)]:
            args = (SOURCE, self.project, head)
            answers |= await self._on_workers(carried.look_at_worker, *args, workers=strange)
        after = await self._survey(head)
        workers, silent = [], []
        for address, known in after["workers"].items():
            answer = answers.get(address)
            if isinstance(answer, PermissionError):
                raise CantPush(f"{address}: {answer}")
            if not isinstance(answer, dict):
                silent.append(address)
                continue
            wanted = {*known["processing"], *before["workers"].get(address, {}).get("processing", ())}
            orphans = len(set(answer.pop("running")) - wanted)
            workers.append(_process(address, answer, orphans=orphans))
        nannies = {address: known["nanny"] for address, known in after["workers"].items()}
        return Seen(workers, _process("scheduler", after["scheduler"]), silent, nannies)

    async def _survey(self, head: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = await self._on_scheduler(carried.survey, SOURCE, self.project, head)
        _raise(refuse_clash(head["tops"], found["others"]))
        return found

    async def _ship(self, tree: Tree, manifest: Mapping[str, Any], processes: Iterable[Process]) -> None:
        for name in ship_to(processes):
            wanted = await self._at(name, "missing", self.project, manifest)
            await self._at(name, "put", self.project, manifest, tree.contents(wanted))

    async def _at(self, name: str, function: str, *args: Any) -> Any:
        if name == "scheduler":
            return await self._on_scheduler(carried.call, SOURCE, function, *args)
        answer = (await self._on_workers(carried.call, KNOWN, function, *args, workers=[name])).get(name)
        if isinstance(answer, PermissionError):
            raise CantPush(f"{name}: {answer}")
        return [] if isinstance(answer, Exception) else answer  # it ends just now: the next look tells

    async def _enter(self, manifest: Mapping[str, Any], head: Mapping[str, Any], workers: Iterable[Process]) -> None:
        await self._on_scheduler(carried.install, SOURCE, self.project, manifest, self._client.id)
        fresh = [one.name for one in workers if one.version != head["version"] and not one.outdated]
        if fresh:
            await self._on_workers(carried.call, KNOWN, "enter", self.project, head, workers=fresh)

    async def _switch(self, nannies: Mapping[str, str], tree: Tree) -> None:
        """Have the nannies of these workers fork them from now on, with what they have imported."""
        fresh = [worker for worker, nanny in nannies.items() if nanny not in self._switched]
        if not fresh:
            return
        modules: dict[str, None] = {}
        for answer in (await self._on_workers(carried.installed_modules, workers=fresh)).values():
            if not isinstance(answer, Exception):
                modules |= dict.fromkeys(answer)
        ahead = [name for name in modules if name.partition(".")[0] not in tree.tops]
        self._switched.update(nannies.values())
        with contextlib.suppress(OSError):
            await self._client.register_plugin(carried.OnNanny(ahead), name=NANNIES)

    async def _refuse_loss(self, names: Iterable[str], clients: Iterable[str], *, lose_data: bool) -> None:
        """Raise `CantPush` if somebody's data would be lost; that of the run that has left is nobody's."""
        end = time.monotonic() + LEAVES_WITHIN
        while not lose_data:
            why = refuse_loss(await self._on_scheduler(carried.only_copies, list(names), list(clients)))
            if why is None:
                return
            if time.monotonic() > end:
                raise CantPush(why.why)
            await asyncio.sleep(LOOKED_AT)

    async def _on_scheduler(self, function: Callable[..., Any], *args: Any) -> Any:
        return await self._answer(self._client.run_on_scheduler(function, *args))

    async def _on_workers(
        self, function: Callable[..., Any], *args: Any, workers: list[str] | None = None
    ) -> dict[str, Any]:
        found: dict[str, Any] = await self._answer(
            self._client.run(function, *args, workers=workers, on_error="return")
        )
        return found

    async def _answer(self, answer: Coroutine[Any, Any, T]) -> T:
        """Wait for an answer, as long as the scheduler is there; raises `CantPush` when it isn't."""
        asked = asyncio.create_task(answer)
        end = time.monotonic() + ANSWERS_MAX
        try:
            while not asked.done() and time.monotonic() < end:
                await asyncio.wait([asked], timeout=LOOKED_AT_CLIENT)
                if not asked.done():
                    self.check()
            if asked.done():
                return asked.result()
        except OSError as error:
            raise CantPush(f"{self._gone} ({_words(error)}); start it again") from None
        finally:
            asked.cancel()
        raise CantPush(f"the Dask scheduler at {self._where} has not answered for {ANSWERS_MAX:g} s")


def _raise(refusal: Refusal | None) -> None:
    if refusal:
        raise CantPush(refusal.why)


def _refuse(processes: Sequence[Process]) -> None:
    _raise(refuse(processes, python=platform.python_version(), engine=distributed.__version__, called="Dask"))


def _known(name: str, packages: Mapping[str, str], *, can_restart: bool = True) -> Process:
    """Return a process by the versions that its cluster knows."""
    python, engine = packages.get("python", ""), packages.get("distributed", "")
    return Process(name=name, python=python, engine=engine, can_restart=can_restart)


def _head(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a process must know of a version that its machine has."""
    return {name: part for name, part in manifest.items() if name != "files"}


def _process(name: str, said: Mapping[str, Any], **more: Any) -> Process:
    known = {**said, **more, "outdated": tuple(said["outdated"])}
    return Process(name=name, **known)


def _words(error: BaseException) -> str:
    return str(error).split("\n")[0][:80] or type(error).__name__
