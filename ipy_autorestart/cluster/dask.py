"""A push to a Dask cluster: what `policy` decides, done over one client's connection."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import os
import pickle
import platform
import time
import zlib
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import cloudpickle
import distributed

from ipy_autorestart import catalogue
from ipy_autorestart.cluster import _ipy_autorestart_salt, carried, on_nanny, remote
from ipy_autorestart.cluster.policy import (
    CantPush,
    Process,
    Refusal,
    Step,
    at_once,
    must_restart,
    next_step,
    place,
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

#: Seconds between two looks at those that begin or end, and at those that restart and don't come back.
LOOKED_AT, LOOKED_AT_AGAIN = 0.05, 1.0

#: Seconds in which the scheduler learns that the client of a run has gone.
LEAVES_WITHIN = 1.0

_TEXT = b"\n".join(Path(str(one.__file__)).read_bytes() for one in (remote, on_nanny, _ipy_autorestart_salt))
#: What each process of a cluster is sent once, and how it is reminded of it then.
SOURCE = (digest(_TEXT), zlib.compress(_TEXT))
KNOWN = (SOURCE[0], b"")


@functools.cache
def _pickled(function: Callable[..., Any]) -> bytes:
    """Return a function of `carried` by value, for which cloudpickle looks at all modules that are imported here."""
    pickled: bytes = cloudpickle.dumps(function)
    return pickled


class Sent(functools.partial[Any]):
    """A function of `carried` that is pickled only once."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Be the function itself in another process."""
        return pickle.loads, (_pickled(self.func),)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look has seen: workers, the scheduler, the addresses that don't answer, and the nannies by workers.

    Between two looks it is what has been done since, too; whether all of it has come true, the next one tells.
    """

    workers: Sequence[Process]
    scheduler: Process
    silent: Sequence[str]
    nannies: Mapping[str, str]
    is_supposed: bool = False

    @property
    def everyone(self) -> list[Process]:
        """All that have answered."""
        return [*self.workers, self.scheduler]

    def supposed(self, **facts: Any) -> Seen:
        """Return it as it is when these facts hold of the scheduler, and of the workers that don't restart."""
        workers = [one if one.outdated and "version" in facts else replace(one, **facts) for one in self.workers]
        return replace(self, workers=workers, scheduler=replace(self.scheduler, **facts), is_supposed=True)


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
        self._accepted: set[carried.Kind] = set()  # kinds of workers that can be pushed to
        self._nannies: set[str] = set()  # all that are there: a worker is away while we, or others, restart it
        self._switched: set[str] = set()  # nannies
        self._others: set[Hashable] = set()  # keys of data that was there for longer than any run
        self._unplaced: set[Hashable] = set()  # of data that no other worker took, when it was last tried in this push

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
            raise CantPush(catalogue.NO_SCHEDULER(where=where, error=_words(error))) from None
        cluster = cls(client, project, where=where)
        try:
            await cluster._refuse_versions()
        except CantPush:
            await cluster.close()
            raise
        return cluster

    async def _refuse_versions(self) -> None:
        """Raise `CantPush` unless the scheduler has the Python and the Dask that are here: else nothing of ours runs.

        It knows what its workers have: see `_look`.
        """
        found = await self._answer(self._client.scheduler.versions())
        kind = carried.kind_of(found["packages"], has_nanny=True)  # it needs none
        _refuse([_known(catalogue.THE_SCHEDULER(), kind)])

    async def close(self) -> None:
        """Leave nothing for workers that join, and close the connection."""
        with contextlib.suppress(Exception):  # it may be gone
            others = await asyncio.wait_for(
                self._client.run_on_scheduler(carried.uninstall, self.project, self._client.id), 1.0
            )
            if self._switched and not others:
                await asyncio.wait_for(self._client.unregister_worker_plugin(NANNIES, nanny=True), 1.0)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._client.close(), 1.0)

    def check(self) -> None:
        """Raise `CantPush` if the scheduler is gone, as the client knows: nobody is asked."""
        if self._client.status != "running":
            raise CantPush(catalogue.SCHEDULER_GONE(where=self._where))

    @property
    def has_late(self) -> bool:
        """Return that nobody needs to catch up: a worker that joins gets the version before any task."""
        return False

    async def catch_up(self, *, within: float) -> str:  # noqa: ARG002  # as for others
        """Do nothing."""
        return ""

    async def ship(self, tree: Tree) -> None:
        """Send files to the machines that lack them; no process uses them yet. Raises `CantPush`."""
        manifest = tree.manifest()
        seen = await self._look(manifest)
        await self._ship(tree, manifest, seen.everyone)

    async def push(self, tree: Tree, *, within: float, lose_data: bool = False, clients: tuple[str, ...] = ()) -> str:
        """Make all workers run a version; return how that went, in a few words.

        The run whose code this replaces has ended, or these are its clients: what they wait for is dropped, unless
        this raises `CantPush` before any worker restarts.
        """
        manifest = tree.manifest()
        head = _head(manifest)
        deadline = time.monotonic() + within
        self.restarted, self._unplaced = 0, set()
        awaited: Iterable[str] = ()
        seen: Seen | None = None
        while True:
            if seen is None:
                seen = await self._look(manifest, awaited)
                awaited = self._nannies
                self._nannies.update(seen.nannies.values())
                if missing := self._nannies.difference(seen.nannies.values()):
                    found = await self._on_scheduler(carried.reachable, sorted(missing))
                    self._nannies -= missing.difference(found)
                    seen = replace(seen, silent=[*seen.silent, *found])
            silent, late = seen.silent, time.monotonic() > deadline
            match next_step(seen.workers, seen.scheduler, manifest["version"], silent=silent, late=late):
                case Step.SHIP:
                    seen = seen.supposed(has=True) if await self._ship(tree, manifest, seen.everyone) else None
                case Step.ENTER:
                    await self._enter(manifest, head, seen.workers)
                    seen = seen.supposed(version=manifest["version"])
                case Step.RESTART:
                    begun = time.monotonic()
                    ended = await self._restart(seen, tree, clients, lose_data=lose_data)
                    if ended:
                        deadline += time.monotonic() - begun  # large data is copied first
                    self.restarted += len(ended)
                    seen = None
                case Step.WAIT | Step.DONE if seen.is_supposed:
                    seen = None
                case Step.WAIT:
                    await asyncio.sleep(LOOKED_AT)
                    seen = None
                case Step.DONE:
                    return told(len(seen.workers), manifest["version"], restarted=self.restarted)
                case Step.GIVE_UP:
                    raise CantPush(who_lacks(seen.workers, manifest["version"], silent=silent, seconds=within))

    # -- its parts -----------------------------------------------------------------------------------------------------

    async def _look(self, manifest: Mapping[str, Any], nannies: Iterable[str] = ()) -> Seen:
        """Ask all processes; raises `CantPush` if the cluster is one that can't be pushed to.

        It waits for a moment until these nannies have workers again.
        """
        source = KNOWN
        while not (found := await self._survey(source, manifest, nannies)):
            source = SOURCE
        scheduler = _process("scheduler", found["scheduler"])
        workers, silent = [], []
        for address, its in found["workers"].items():
            answer = found["answers"].get(address)
            if isinstance(answer, PermissionError):
                raise CantPush(f"{address}: {answer}")
            if not isinstance(answer, dict):
                silent.append(address)
                continue
            orphans = len(set(answer.pop("running")).difference(its["processing"]))
            worker = _process(address, answer, orphans=orphans)
            workers.append(replace(worker, has=worker.has or (scheduler.has and worker.store == scheduler.store)))
        return Seen(workers, scheduler, silent, {address: its["nanny"] for address, its in found["workers"].items()})

    async def _survey(
        self, source: carried.Source, manifest: Mapping[str, Any], nannies: Iterable[str]
    ) -> dict[str, Any] | None:
        """Return what all say, None if they have to be asked again, with the text that some process lacks."""
        args = self.project, manifest, self._client.id, list(self._accepted), list(nannies), LOOKED_AT_AGAIN
        asked = _pickled(carried.look_at_worker)
        found: dict[str, Any] | None = await self._on_scheduler(carried.look, source, *args, asked)
        if found is None:
            return None
        _raise(refuse_clash(manifest["tops"], found["others"]))
        kinds = {name: its["kind"] for name, its in found["workers"].items()}
        _refuse([_known(name, kind) for name, kind in kinds.items()])
        self._accepted.update(kinds.values())
        answers = found["answers"]
        return None if answers is None or None in answers.values() else found

    async def _ship(self, tree: Tree, manifest: Mapping[str, Any], processes: Iterable[Process]) -> bool:
        """Send files; return whether all that were asked have them: one of them may end just now."""
        for name in ship_to(processes):
            wanted = await self._at(name, "missing", self.project, manifest)
            if isinstance(wanted, Exception):
                return False
            contents = tree.contents(wanted)
            if wanted and isinstance(await self._at(name, "put", self.project, manifest, contents), Exception):
                return False
        return True

    async def _at(self, name: str, function: str, *args: Any) -> Any:
        """Return what a function of `remote` returns in this process, or a worker's exception."""
        if name == "scheduler":
            # Since the last look a watch of another version of this package may have sent its own.
            return await self._on_scheduler(carried.call, SOURCE, function, *args)
        answers = await self._on_workers(carried.call, KNOWN, function, *args, workers=[name])
        answer = answers.get(name, ConnectionError(name))
        if isinstance(answer, PermissionError):
            raise CantPush(f"{name}: {answer}")
        return answer

    async def _enter(self, manifest: Mapping[str, Any], head: Mapping[str, Any], workers: Iterable[Process]) -> None:
        others = await self._on_scheduler(carried.install, SOURCE, self.project, manifest, self._client.id)
        _raise(refuse_clash(manifest["tops"], others))
        fresh = [one.name for one in workers if one.version != head["version"] and not one.outdated]
        if fresh:
            await self._on_workers(carried.enter, KNOWN, self.project, head, workers=fresh)

    async def _restart(self, seen: Seen, tree: Tree, clients: Sequence[str], *, lose_data: bool) -> set[str]:
        """Restart those that must; return the nannies of those that have ended, none if it is not time yet."""
        names = must_restart(seen.workers)
        await self._switch({name: seen.nannies[name] for name in names}, tree)
        ended: set[str] = set()
        for turn in waves(names):
            nannies, kept = await self._end(tree, turn, None if lose_data else {}, clients)
            if kept and not await self._has_only_copies(turn, clients):
                nannies, kept = await self._end(tree, turn, {}, clients)
            if kept:  # those that have ended meanwhile are to be back first: they can take copies, too
                return ended or await self._copy_and_end(seen, tree, names, clients)
            ended |= set(nannies.values())
        return ended

    async def _copy_and_end(self, seen: Seen, tree: Tree, names: Sequence[str], clients: Sequence[str]) -> set[str]:
        """Restart the first of these when others have what only they had; when they are back, they take the next's."""
        turn = names[: at_once(len(seen.workers))]
        others = [one.name for one in seen.workers if one.name not in turn]
        if not others and seen.silent:
            return set()
        beside = [name for name in others if name not in names] or others  # the rest restarts next
        sizes: dict[Hashable, int | None] = await self._on_scheduler(carried.only_copies, list(turn), list(clients))
        places, kept = place(sizes, await self._on_scheduler(carried.room, beside))
        nannies: Mapping[str, str] = {}
        if not kept:
            nannies, kept = await self._end(tree, turn, places, clients)
        # What was made since had no turn yet. What a worker should have taken that has ended has another turn.
        before, self._unplaced = self._unplaced, sizes.keys() & kept
        _raise(refuse_loss(sorted(map(str, before & self._unplaced))))
        return set(nannies.values())

    async def _end(
        self, tree: Tree, workers: Sequence[str], copies: Mapping[str, list[Hashable]] | None, clients: Sequence[str]
    ) -> tuple[dict[str, str], list[Hashable]]:
        """Have workers end when others have copies of data, as `carried.restart` does."""
        version = SOURCE, self.project, tree.manifest(), self._client.id
        args = version, list(workers), copies, list(clients), _pickled(carried.renew)
        others, nannies, kept = await self._answer(
            self._client.run_on_scheduler(Sent(carried.restart), *args), lasts=True
        )
        _raise(refuse_clash(tree.tops, others))
        return nannies, kept

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
            await self._client.register_plugin(carried.OnNanny(SOURCE, ahead), name=NANNIES)

    async def _has_only_copies(self, names: Iterable[str], clients: Iterable[str]) -> bool:
        """Return whether workers have the only copies of somebody's data; that of the run that has left is nobody's."""
        end = time.monotonic() + LEAVES_WITHIN
        while keys := set(await self._on_scheduler(carried.only_copies, list(names), list(clients))):
            if keys <= self._others or time.monotonic() > end:
                self._others = keys
                return True
            await asyncio.sleep(LOOKED_AT)
        return False

    async def _on_scheduler(self, function: Callable[..., Any], *args: Any) -> Any:
        return await self._answer(self._client.run_on_scheduler(Sent(function), *args))

    async def _on_workers(self, function: Callable[..., Any], *args: Any, workers: Sequence[str]) -> dict[str, Any]:
        """Have workers run a function; return what each says, or the exception. One that ends meanwhile is left out."""
        args = _pickled(function), args, list(workers)
        found: dict[str, Any] = await self._on_scheduler(carried.on_workers, *args)
        return found

    async def _answer(self, answer: Coroutine[Any, Any, T], *, lasts: bool = False) -> T:
        """Wait for an answer, as long as the scheduler is there; raises `CantPush` when it isn't.

        One that ``lasts`` may take any time, if the scheduler answers something else meanwhile.
        """
        asked = asyncio.create_task(answer)
        end = math.inf if lasts else time.monotonic() + ANSWERS_MAX
        try:
            while not asked.done() and time.monotonic() < end:
                await asyncio.wait([asked], timeout=LOOKED_AT_CLIENT)
                if not asked.done():
                    self.check()
                    if lasts:
                        await self._on_scheduler(carried.answer)
            if asked.done():
                return asked.result()
        except OSError as error:
            raise CantPush(catalogue.SCHEDULER_LOST(where=self._where, error=_words(error))) from None
        finally:
            asked.cancel()
        raise CantPush(catalogue.SCHEDULER_SILENT(where=self._where, seconds=f"{ANSWERS_MAX:g}"))


def _raise(refusal: Refusal | None) -> None:
    if refusal:
        raise CantPush(refusal.why)


def _refuse(processes: Sequence[Process]) -> None:
    _raise(refuse(processes, python=platform.python_version(), engine=distributed.__version__, called="Dask"))


def _known(name: str, kind: carried.Kind) -> Process:
    """Return a process by what its cluster knows."""
    python, engine, can_restart = kind
    return Process(name=name, python=python, engine=engine, can_restart=can_restart)


def _head(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a process must know of a version that its machine has."""
    return {name: part for name, part in manifest.items() if name != "files"}


def _process(name: str, said: Mapping[str, Any], **more: Any) -> Process:
    known = {**said, **more, "outdated": tuple(said.get("outdated", ()))}
    return Process(name=name, **known)


def _words(error: BaseException) -> str:
    return str(error).split("\n")[0][:80] or type(error).__name__
