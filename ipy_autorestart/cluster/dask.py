"""A push to a Dask cluster: what `policy` decides, done over one client's connection."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import cloudpickle
import distributed

from ipy_autorestart.cluster import carried, remote
from ipy_autorestart.cluster.policy import (
    CantPush,
    Process,
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
from ipy_autorestart.cluster.tree import Tree

cloudpickle.register_pickle_by_value(carried)

T = TypeVar("T")

#: Seconds in which a scheduler answers, or counts as gone.
ANSWERS_WITHIN = 4.0

#: Seconds between two looks at those that restart.
LOOKED_AT = 0.05

#: Seconds in which the scheduler learns that the client of a run has gone.
LEAVES_WITHIN = 1.0

SOURCE = Path(remote.__file__).read_text()


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
        self._switched: set[str] = set()

    @classmethod
    async def connect(cls, where: str, project: str) -> Self:
        """Connect to a scheduler by its address or file; raises `CantPush`."""
        how = {"scheduler_file": where} if os.path.isfile(where) else {"address": where}
        try:
            client = await asyncio.wait_for(
                distributed.Client(**how, asynchronous=True, timeout=ANSWERS_WITHIN, set_as_default=False),
                ANSWERS_WITHIN + 0.5,
            )
        except (OSError, ValueError) as error:
            raise CantPush(
                f"no Dask scheduler answers at {where} ({_words(error)}); start it, or name another"
            ) from None
        return cls(client, project, where=where)

    async def close(self) -> None:
        """Leave nothing for workers that join, and close the connection."""
        with contextlib.suppress(Exception):  # it may be gone
            await asyncio.wait_for(self._client.run_on_scheduler(carried.uninstall, self.project), 1.0)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._client.close(), 1.0)

    async def check(self, tree: Tree) -> None:
        """Raise `CantPush` if this cluster can't be pushed to."""
        await self._look(_head(tree.manifest()))

    async def ship(self, tree: Tree) -> None:
        """Send files to the machines that lack them; no process uses them yet. Raises `CantPush`."""
        manifest = tree.manifest()
        workers, scheduler, _, _ = await self._look(_head(manifest))
        await self._ship(tree, manifest, [*workers, scheduler])

    async def push(self, tree: Tree, *, within: float, lose_data: bool = False) -> str:
        """Make all workers run a version; return how that went, in a few words.

        The run whose code this replaces has ended. Raises `CantPush`.
        """
        manifest = tree.manifest()
        head = _head(manifest)
        deadline = time.monotonic() + within
        self.restarted = 0
        nannies: dict[str, str] = {}  # those whose workers were ended, by the workers
        while True:
            workers, scheduler, silent, present = await self._look(head)
            waited = [one for one in set(nannies.values()) if one not in present]
            if waited:
                there = await self._on_scheduler(carried.reachable, waited)
                silent += there
            late = time.monotonic() > deadline
            match next_step(workers, scheduler, manifest["version"], silent=silent, late=late):
                case Step.SHIP:
                    await self._ship(tree, manifest, [*workers, scheduler])
                case Step.ENTER:
                    await self._enter(manifest, head, workers)
                case Step.RESTART:
                    names = must_restart(workers)
                    await self._refuse_loss(names, lose_data=lose_data)
                    await self._switch(names)
                    for wave in waves(names):
                        ended = await self._on_scheduler(carried.restart, list(wave), patience=within)
                        nannies |= ended
                        self.restarted += len(ended)
                case Step.WAIT:
                    await asyncio.sleep(LOOKED_AT)
                case Step.DONE:
                    return told(len(workers), manifest["version"], restarted=self.restarted)
                case Step.GIVE_UP:
                    raise CantPush(who_lacks(workers, manifest["version"], silent=silent, seconds=within))

    # -- its parts -----------------------------------------------------------------------------------------------------

    async def _look(self, head: Mapping[str, Any]) -> tuple[list[Process], Process, list[str], set[str]]:
        """Return workers, scheduler, the addresses that don't answer, and the nannies that have a worker."""
        before = await self._on_scheduler(carried.survey, SOURCE, self.project, head)
        if clash := refuse_clash(head["tops"], before["others"]):
            raise CantPush(clash.why)
        answers = await self._on_workers(carried.look_at_worker, SOURCE, self.project, head)
        after = await self._on_scheduler(carried.survey, SOURCE, self.project, head)
        workers, silent = [], []
        for address, known in after["workers"].items():
            answer = answers.get(address)
            if not isinstance(answer, dict):
                silent.append(address)
                continue
            wanted = {*known["processing"], *before["workers"].get(address, {}).get("processing", ())}
            orphans = len(set(answer.pop("running")) - wanted)
            workers.append(_process(address, answer, orphans=orphans, can_restart=bool(known["nanny"])))
        if why := refuse(workers, python=platform.python_version(), engine=distributed.__version__, called="Dask"):
            raise CantPush(why.why)
        present = {known["nanny"] for known in after["workers"].values()}
        return workers, _process("scheduler", after["scheduler"]), silent, present

    async def _ship(self, tree: Tree, manifest: Mapping[str, Any], processes: Iterable[Process]) -> None:
        for name in ship_to(processes):
            wanted = await self._at(name, "missing", self.project, manifest)
            await self._at(name, "put", self.project, manifest, tree.contents(wanted))

    async def _at(self, name: str, function: str, *args: Any) -> Any:
        if name == "scheduler":
            return await self._on_scheduler(carried.call, SOURCE, function, *args)
        answer = (await self._on_workers(carried.call, SOURCE, function, *args, workers=[name])).get(name)
        if isinstance(answer, PermissionError):
            raise CantPush(f"{name}: {answer}")
        return [] if isinstance(answer, Exception) else answer  # it ends just now: the next look tells

    async def _enter(self, manifest: Mapping[str, Any], head: Mapping[str, Any], workers: Iterable[Process]) -> None:
        await self._on_scheduler(carried.install, SOURCE, self.project, manifest)
        fresh = [one.name for one in workers if one.version != head["version"] and not one.outdated]
        if fresh:
            await self._on_workers(carried.call, SOURCE, "enter", self.project, head, workers=fresh)

    async def _switch(self, names: Iterable[str]) -> None:
        """Have the nannies of these workers fork them from now on."""
        fresh = [name for name in names if name not in self._switched]
        if not fresh:
            return
        modules: dict[str, None] = {}
        for answer in (await self._on_workers(carried.installed_modules, workers=fresh)).values():
            if not isinstance(answer, Exception):
                modules |= dict.fromkeys(answer)
        self._switched.update(fresh)
        with contextlib.suppress(OSError):
            await self._client.register_plugin(carried.OnNanny(list(modules)), name="ipy-autorestart-nanny")

    async def _refuse_loss(self, names: Iterable[str], *, lose_data: bool) -> None:
        """Raise `CantPush` if somebody's data would be lost; that of the run that has left is nobody's."""
        end = time.monotonic() + LEAVES_WITHIN
        while not lose_data:
            why = refuse_loss(await self._on_scheduler(carried.only_copies, list(names)))
            if why is None:
                return
            if time.monotonic() > end:
                raise CantPush(why.why)
            await asyncio.sleep(LOOKED_AT)

    async def _on_scheduler(self, function: Callable[..., Any], *args: Any, patience: float = ANSWERS_WITHIN) -> Any:
        return await self._answer(self._client.run_on_scheduler(function, *args), patience)

    async def _on_workers(
        self, function: Callable[..., Any], *args: Any, workers: list[str] | None = None
    ) -> dict[str, Any]:
        found: dict[str, Any] = await self._answer(
            self._client.run(function, *args, workers=workers, on_error="return"), 2 * ANSWERS_WITHIN
        )
        return found

    async def _answer(self, answer: Awaitable[T], patience: float) -> T:
        try:
            return await asyncio.wait_for(answer, patience)
        except OSError as error:
            raise CantPush(f"the Dask scheduler at {self._where} is gone ({_words(error)}); start it again") from None


def _head(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a process must know of a version that its machine has."""
    return {name: part for name, part in manifest.items() if name != "files"}


def _process(name: str, said: Mapping[str, Any], **more: Any) -> Process:
    known = {**said, **more, "outdated": tuple(said["outdated"])}
    return Process(name=name, **known)


def _words(error: BaseException) -> str:
    return str(error).split("\n")[0][:80] or type(error).__name__
