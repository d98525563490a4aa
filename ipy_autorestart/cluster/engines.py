"""A push to the engines of ipyparallel: one call on all of them ships and purges; what they have in memory stays."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import socket
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Self

import ipyparallel  # type: ignore[import-untyped]

from ipy_autorestart import catalogue
from ipy_autorestart.cluster import on_engine, remote
from ipy_autorestart.cluster.policy import CantPush, Process, lacking, listed, refuse, short, told
from ipy_autorestart.cluster.tree import Tree

#: Seconds in which a controller answers, or counts as gone; and in which it takes a connection.
ANSWERS_WITHIN, TAKES_WITHIN = 4.0, 1.0

#: The text of each module that an engine gets, by its name there.
SOURCES = {module.NAME: Path(str(module.__file__)).read_text() for module in (remote, on_engine)}


class Engines:
    """The engines of one controller, as one client of it sees them.

    Parameters
    ----------
    client
        An ``ipyparallel.Client``.
    file
        The controller's connection file.
    project
        The name under which this watch is known there.
    """

    def __init__(self, client: Any, file: str, project: str) -> None:
        self._client = client
        self._file, self._text = file, _text_of(file)
        self._project = project
        self._known: set[int] = set()  # engines that may be pushed to
        self._digests: frozenset[str] = frozenset()  # of the contents that all engines' machines have
        self._tree: Tree | None = None  # that all engines have, but those that have joined since
        self._met: set[int] = set()  # engines that have been pushed to, or could not be

    @classmethod
    async def connect(cls, where: str, project: str) -> Self:
        """Connect to a controller by its connection file, or the file of its cluster; raises `CantPush`."""
        file = _connection_file(where)
        try:
            _reach(file)
            client = await asyncio.to_thread(ipyparallel.Client, file, timeout=ANSWERS_WITHIN)
        except (OSError, ValueError, KeyError, ipyparallel.TimeoutError) as error:
            raise CantPush(_gone(where, error)) from None
        return cls(client, file, project)

    async def close(self) -> None:
        """Close the connection; engines stay as they are."""
        await asyncio.to_thread(self._client.close)

    @property
    def is_closed(self) -> bool:
        """Whether the connection is lost for good: another controller has written the file, or none is there."""
        return _text_of(self._file) != self._text

    def check(self) -> None:
        """Raise `CantPush` if nobody listens any more; no engine is asked."""
        try:
            _reach(self._file)
        except (OSError, ValueError, KeyError) as error:
            raise CantPush(_gone(self._file, error)) from None
        if self.is_closed:
            raise CantPush(catalogue.OTHER_CONTROLLER(path=self._file))

    async def ship(self, tree: Tree) -> None:
        """Leave it to `push`, which is one call."""

    @property
    def has_late(self) -> bool:
        """Whether engines have joined since the last push: ipyparallel has no hook by which they would get it first."""
        return self._tree is not None and not self._met.issuperset(self._client.ids)

    async def catch_up(self, *, within: float) -> str:
        """Bring those what was pushed last; return how that went, in a few words, or nothing. Raises `CantPush`."""
        assert self._tree is not None
        late = set(self._client.ids) - self._met
        self._met |= late
        return await self._bring(self._tree, late, within=within)

    async def push(
        self,
        tree: Tree,
        *,
        within: float,
        lose_data: bool = False,  # noqa: ARG002  # none is lost
        clients: tuple[str, ...] = (),  # noqa: ARG002  # who leaves is nobody's concern: no task is taken away
    ) -> str:
        """Make all engines run a version; return how that went, in a few words."""
        self.check()
        self._tree, self._met = None, set(self._client.ids)
        how = await self._bring(tree, self._met, within=within)
        self._digests, self._tree = frozenset(tree.digests.values()), tree
        return how

    async def _bring(self, tree: Tree, engines: Collection[int], *, within: float) -> str:
        deadline = time.monotonic() + within
        manifest, wanted = tree.manifest(), set(tree.digests.values()) - self._digests
        if not engines or not self._known.issuperset(engines):
            await self._look(manifest, engines, min(within / 2, ANSWERS_WITHIN))
            wanted = set()  # those who share the folder need none
        while True:
            left = max(deadline - time.monotonic(), 0.0)
            answers = await self._call("push", manifest, tree.contents(wanted), engines=engines, within=left)
            silent = [str(engine) for engine in engines if engine in self._client.ids and engine not in answers]
            wanted = {one for answer in answers.values() for one in answer["missing"]}
            processes = _processes(answers)
            late = [*lacking(processes, tree.version), *silent]
            if processes and not late:
                break
            if time.monotonic() > deadline or not wanted:
                raise CantPush(_lack(late, silent, len(answers) + len(silent), tree.version, within))
        count = len(processes) + len(set(self._client.ids).intersection(self._met).difference(engines))
        return told(count, tree.version, restarted=0) + _remnants(answers)

    async def _look(self, manifest: dict[str, Any], engines: Collection[int], within: float) -> None:
        """Raise `CantPush` if one of the engines can't be pushed to; nothing has been sent then."""
        answers = await self._call("look", manifest, engines=engines, within=within)
        here, engine = platform.python_version(), ipyparallel.__version__
        if refusal := refuse(_processes(answers), python=here, engine=engine, called="ipyparallel"):
            raise CantPush(refusal.why)
        if not self._client.ids:
            raise CantPush(catalogue.NO_ENGINES(path=self._file))
        self._known |= set(answers)

    async def _call(self, name: str, *args: Any, engines: Collection[int], within: float) -> dict[int, dict[str, Any]]:
        """Call a function of `on_engine` on engines at once; return the answers of those that aren't busy."""
        calls = {
            engine: self._client[engine].apply_async(_call, SOURCES, name, self._project, *args)
            for engine in self._client.ids
            if engine in engines
        }
        futures = {engine: asyncio.wrap_future(call) for engine, call in calls.items()}
        if futures:
            await asyncio.wait(futures.values(), timeout=within)
        found = {}
        for engine, future in futures.items():
            if not future.done():
                self._client.abort(calls[engine], targets=engine, block=False)  # or it would act when nobody expects it
                future.cancel()
            elif error := future.exception():
                if getattr(error, "ename", "") == "PermissionError":
                    raise CantPush(f"engine {engine}: {error.evalue}") from None  # type: ignore[attr-defined]
                if engine in self._client.ids:
                    raise CantPush(f"engine {engine}: {_words(error)}") from None
            else:
                found[engine] = future.result()
        return found


def _call(sources: dict[str, str], name: str, project: str, manifest: dict[str, Any], *args: Any) -> Any:
    """Call a function of `on_engine` in an engine, which keeps the modules that the texts make."""
    import sys
    import types

    made = []
    for module, source in sources.items():
        known = sys.modules.get(module)
        if known is None or source != known.SOURCE:
            fresh: Any = types.ModuleType(module)
            fresh.SOURCE = source
            exec(compile(source, module, "exec"), fresh.__dict__)
            for kept in ("PLACES", "REMNANTS"):
                if known is not None and hasattr(known, kept):
                    setattr(fresh, kept, getattr(known, kept))
            sys.modules[module] = known = fresh
        made.append(known)
    remote, on_engine = made
    return getattr(on_engine, name)(remote, project, manifest, *args)


_call.__module__ = "__main__"  # or an engine would look for this module


def _connection_file(where: str) -> str:
    """Return the connection file that belongs to the file of a cluster, or that file itself."""
    folder, name = os.path.split(where)
    if name.startswith("cluster-"):
        name = name.removeprefix("cluster-").removesuffix(".json")
        return os.path.join(folder, f"ipcontroller-{name}-client.json" if name else "ipcontroller-client.json")
    return where


def _text_of(file: str) -> str:
    try:
        return Path(file).read_text()
    except OSError:
        return ""


def _reach(file: str) -> None:
    """Raise OSError if nobody listens where a connection file says; through a tunnel that can't be told."""
    known = json.loads(Path(file).read_text())
    kind, _, address = known["interface"].partition("://")
    if kind == "tcp" and not known.get("ssh"):
        address = known.get("location") or "127.0.0.1" if address in ("*", "0.0.0.0") else address
        socket.create_connection((address, known["registration"]), timeout=TAKES_WITHIN).close()


def _processes(answers: Mapping[int, Mapping[str, Any]]) -> list[Process]:
    names = ("store", "has", "version", "python", "engine")
    return [
        Process(name=str(engine), outdated=tuple(said["outdated"]), **{name: said[name] for name in names})
        for engine, said in answers.items()
    ]


def _remnants(answers: Mapping[int, Mapping[str, Any]]) -> str:
    """Say what lives on of old code, if anything does."""
    names = sorted({name for said in answers.values() for name in said["lives_on"]})
    if not names:
        return ""
    where = listed(str(engine) for engine, said in answers.items() if said["lives_on"])
    return f" · {catalogue.OLD_CODE_THERE(engines=where, names=listed(names))}"


def _lack(late: list[str], silent: list[str], count: int, version: str, seconds: float) -> str:
    busy = catalogue.BUSY_ENGINES(engines=listed(silent)) if silent else ""
    told, short_version = f"{seconds:g}", short(version)
    return catalogue.ENGINES_LACK(
        count=len(late), all=count, version=short_version, seconds=told, engines=listed(late), busy=busy
    )


def _gone(where: str, error: BaseException) -> str:
    return catalogue.NO_CONTROLLER(where=where, error=_words(error))


def _words(error: BaseException) -> str:
    return str(error).split("\n")[0][:80] or type(error).__name__
