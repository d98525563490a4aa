"""The helper of a supervisor, a process that holds one client of a cluster and pushes to it; it ends with its link."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import importlib.util
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

from ipy_autorestart import catalogue
from ipy_autorestart.cluster.messages import Named, Reply, Wish, decode, encode
from ipy_autorestart.cluster.policy import CantPush, refuse_broken
from ipy_autorestart.cluster.tree import TooLarge, Tree, digest, read_tree
from ipy_autorestart.decide.events import Pushed, PushFailed, Reached
from ipy_autorestart.decide.filters import Filter

log = logging.getLogger(__name__)

#: Seconds between two looks whether the connection to the cluster is still there.
LOOKED_AT = 0.5


class Cluster(Protocol):
    """A cluster that is connected to; each method raises `CantPush`."""

    def check(self) -> None:
        """See whether it can be reached, by what the connection knows: nobody is asked."""

    async def ship(self, tree: Tree) -> None:
        """Send files to the machines that lack them."""

    async def push(self, tree: Tree, *, within: float, lose_data: bool, clients: tuple[str, ...]) -> str:
        """Make all workers run the tree, as some clients leave; return how that went, in a few words."""

    @property
    def has_late(self) -> bool:
        """Whether workers have joined since the last push that lack what it brought."""

    async def catch_up(self, *, within: float) -> str:
        """Bring it to them; return how that went, in a few words."""

    async def close(self) -> None:
        """Close the connection."""


Connect = Callable[[str, str], Awaitable[Cluster]]


class Pusher:
    """Does what the supervisor wishes: one push at a time, and a later one in place of the one that goes on.

    Parameters
    ----------
    named
        What is pushed, and where to.
    say
        Takes what is to be told.
    connect
        Connects to a cluster, by what the user calls it and the name of the project there.
    """

    def __init__(self, named: Named, say: Callable[[Reply], None], connect: Connect) -> None:
        self._named = named
        self._say = say
        self._connect = connect
        self._cluster: Cluster | None = None
        self._connecting = asyncio.Lock()
        self._sent: frozenset[str] = frozenset()  # paths of what has been whole
        self._unreachable = ""
        self._pushed = 0  # the number of the last push that all had
        self._task: asyncio.Task[None] | None = None
        excluded = None
        if named.gitignore:
            from ipy_autorestart.watch.gitignore import gitignore

            excluded = gitignore(named.roots)
        self._filter = Filter(named.patterns, named.ignores, excluded)
        owner = f"{getpass.getuser()}@{socket.gethostname()}"
        self._project = f"{owner}-{digest(chr(0).join(named.roots).encode())[:8]}"

    async def wish(self, wish: Wish) -> None:
        """Begin what is wished for, and end what has not ended."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._task = asyncio.create_task(self._push(wish.push, wish.clients) if wish.push else self._ship())

    async def watch(self) -> None:
        """Tell when the cluster can't be reached any more, and when it can again."""
        while True:
            await asyncio.sleep(LOOKED_AT)
            if self._task is None or not self._task.done():
                continue
            try:
                if self._cluster:
                    self._cluster.check()
            except CantPush as error:
                self._tell(str(error))  # now: to connect anew takes seconds
            try:
                await self._connected()
            except CantPush as error:
                self._tell(str(error))
            else:
                self._tell("")
                if self._cluster and self._cluster.has_late and self._pushed and self._task.done():
                    self._task = asyncio.create_task(self._catch_up(self._cluster, self._pushed))

    def _tell(self, why: str) -> None:
        if bool(why) != bool(self._unreachable):  # the first words say it best
            self._unreachable = why
            self._say(Reached(why))

    async def _ship(self) -> None:
        with contextlib.suppress(CantPush, TooLarge):  # the push will say so
            await (await self._connected()).ship(self._read())

    async def _push(self, number: int, clients: tuple[str, ...]) -> None:
        self._pushed = 0
        try:
            tree = self._read()
            cluster = await self._connected()
            how = await cluster.push(tree, within=self._named.within, lose_data=self._named.lose_data, clients=clients)
        except (CantPush, TooLarge) as error:
            self._say(PushFailed(number, str(error)))
        except Exception as error:  # the border: whatever the cluster's own client raises
            log.exception("push %s", number)
            self._say(PushFailed(number, catalogue.PUSH_FAILED(error=f"{type(error).__name__}: {error}")))
        else:
            self._sent |= tree.sources
            self._note(tree.version)
            self._tell("")
            self._pushed = number
            self._say(Pushed(number, how))

    async def _catch_up(self, cluster: Cluster, number: int) -> None:
        with contextlib.suppress(CantPush):  # the next push will say so
            self._say(Pushed(number, await cluster.catch_up(within=self._named.within)))

    def _note(self, version: str) -> None:
        """Write down what the workers have, for the clients of the next run."""
        if self._named.told:
            aside = f"{self._named.told}.new"
            with open(aside, "w", encoding="utf-8") as file:
                json.dump({"version": version, "roots": self._named.roots}, file)
            os.replace(aside, self._named.told)

    async def _connected(self) -> Cluster:
        """Return the cluster, connected to anew if it was lost: it may have begun elsewhere, as its file says."""
        async with self._connecting:
            if self._cluster:
                try:
                    self._cluster.check()
                except CantPush:
                    lost, self._cluster = self._cluster, None
                    await lost.close()
            if self._cluster is None:
                self._cluster = await self._connect(self._named.where, self._project)
            return self._cluster

    def _read(self) -> Tree:
        tree = read_tree(self._named.roots, self._filter, named=self._named.files)
        if refused := refuse_broken(tree.broken, self._sent):
            raise CantPush(refused.why)
        return tree

    async def close(self) -> None:
        """End what goes on, and close the connection."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._cluster:
            await self._cluster.close()


async def connect(where: str, project: str) -> Cluster:
    """Connect to a cluster by an address or a file, whatever it is; raises `CantPush`."""
    engine, package, extra = ("ipyparallel",) * 3 if is_engines(where) else ("Dask", "distributed", "dask")
    if importlib.util.find_spec(package) is None:
        raise CantPush(catalogue.CLUSTER_NOT_INSTALLED(engine=engine, extra=extra))
    if package == "ipyparallel":
        from ipy_autorestart.cluster.engines import Engines

        return await Engines.connect(where, project)
    from ipy_autorestart.cluster.dask import DaskCluster

    return await DaskCluster.connect(where, project)


def is_engines(where: str) -> bool:
    """Return whether it is a file of ipyparallel: a controller's for its clients, or that of a cluster."""
    with contextlib.suppress(OSError, ValueError), open(where) as file:
        found = json.load(file)
        return isinstance(found, dict) and ("registration" in found or "ipyparallel" in str(found.get("class", "")))
    return False


def serve() -> None:
    """Run as the helper at the other end of standard input, until that ends."""
    with socket.socket(fileno=os.dup(0)) as link:
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        asyncio.run(_serve(link))


async def _serve(link: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=link)
    named = decode(await reader.readline())
    assert isinstance(named, Named)
    pusher = Pusher(named, lambda reply: writer.write(encode(reply)), connect)
    watching = asyncio.create_task(pusher.watch())
    try:
        while line := await reader.readline():
            wish = decode(line)
            assert isinstance(wish, Wish)
            await pusher.wish(wish)
    finally:
        watching.cancel()
        await pusher.close()
        writer.close()
