"""What Dask's processes run for a push, pickled by value: they don't have this package.

It imports nothing of ours. `remote` is sent to them as text, with the salt, which they keep as a module: see there.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import sys
import tempfile
import types
import zlib
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, TypeVar

import dask
import distributed
import distributed.core
import distributed.protocol
import distributed.utils
from distributed import NannyPlugin, WorkerPlugin

#: By which workers that join ask the scheduler for files.
HANDLER = "ipy_autorestart_tree"

#: The plugin of workers begins with it that gives them a project.
PLUGIN = "ipy-autorestart-"

#: Seconds that a worker has to close before it is killed: nobody waits for what it runs, or it runs again elsewhere.
GRACE = 1.0

#: Seconds between two looks whether workers are back, and whether those that are asked are still there.
LOOKED_AT, LOOKED_AT_ASKED = 0.002, 0.1

#: Bytes of the path of a socket.
ADDRESS_MAX = 107

#: Seconds that a nanny may take to be connected to.
REACHED_WITHIN = 3.0

T = TypeVar("T")

#: The text of `remote`, and of the salt, by its digest and compressed.
Source = tuple[str, bytes]

#: What a worker is, as its cluster knows: the versions of Python and Dask, and whether it has a nanny.
Kind = tuple[str, str, bool]


def remote_of(source: Source) -> Any:
    """Return the module that the text of `remote` makes in this process, one for all pushes.

    None if the text is left out, to spare the wire, and is not known: an error would stand in that process's log.
    """
    name, (digest, packed) = "_ipy_autorestart_cluster", source
    known: Any = sys.modules.get(name)
    if known is None or digest != known.DIGEST:
        if not packed:
            return None
        module: Any = types.ModuleType(name)
        module.DIGEST = digest
        exec(compile(zlib.decompress(packed), name, "exec"), module.__dict__)
        if known is not None:
            module.PLACES.update(known.PLACES)
        sys.modules[name] = known = module
    return known


def call(source: Source, name: str, *args: Any) -> Any:
    """Call a function of `remote` here."""
    return getattr(remote_of(source), name)(*args)


# -- on workers --------------------------------------------------------------------------------------------------------


def look_at_worker(source: Source, project: str, head: dict[str, Any], *, dask_worker: Any) -> dict[str, Any] | None:
    """Return what a worker says about itself, and the keys of the tasks that run there; None as `remote_of` does."""
    state = dask_worker.state
    running = [str(task.key) for task in (*state.executing, *state.long_running)]
    if remote := remote_of(source):
        return {**remote.probe(project, head), "engine": distributed.__version__, "running": running}
    return None


def enter(source: Source, project: str, head: dict[str, Any]) -> None:
    """Put the version first on the path, and have the keys name it of tasks that are submitted here."""
    remote = remote_of(source)
    remote.enter(project, head)
    remote.dask_setup(None)


def installed_modules() -> list[str]:
    """Return the modules of Python and of installed packages that this process has imported, in their order."""
    found, library = [], os.path.dirname(os.__file__) + os.sep
    for name, module in list(sys.modules.items()):
        try:
            file = object.__getattribute__(module, "__dict__").get("__file__")  # what is lazy isn't imported by that
        except AttributeError:  # no module, but what somebody has put there
            continue
        if name[:2] == "__" or not isinstance(file, str):
            continue
        if file.startswith(library) or "/site-packages/" in file or "/dist-packages/" in file:
            found.append(name)
    return found


class OnWorker(WorkerPlugin):  # type: ignore[misc]  # is untyped
    """Gives a worker that joins the version before any task; it fetches the files if its machine lacks them."""

    def __init__(self, source: Source, project: str, head: dict[str, Any], owners: set[str]) -> None:
        self.source, self.project, self.head = source, project, head
        self.owners = owners  # the clients of its watches

    async def setup(self, worker: Any) -> None:
        """Put the version first on the path."""
        remote = remote_of(self.source)
        if not remote.has(self.project, self.head):
            ask = getattr(worker.scheduler, HANDLER)
            answer = await ask(project=self.project, wanted=None)
            manifest = answer["manifest"]
            answer = await ask(project=self.project, wanted=remote.missing(self.project, manifest))
            remote.put(self.project, manifest, answer["contents"])
        enter(self.source, self.project, self.head)

    def teardown(self, worker: Any) -> None:  # noqa: ARG002  # Dask hands it over
        """Take the project off the path."""
        remote_of(self.source).leave(self.project)


# -- on nannies --------------------------------------------------------------------------------------------------------


async def renew(address: str, *, dask_worker: Any) -> None:
    """End this worker of a nanny, which starts another; but not one that another watch has had started meanwhile."""
    process = dask_worker.process  # while a nanny itself is starting, it answers nobody
    if process is not None and process.status.name == "running" and process.worker_address == address:
        await process.kill(timeout=GRACE, executor_wait=False, reason="new code")


METHOD = "distributed.worker.multiprocessing-method"

#: Seconds that a fork server has for its imports.
IMPORTS_WITHIN = 60.0


class OnNanny(NannyPlugin):  # type: ignore[misc]  # as above
    """Has a nanny fork its next workers from a process that has imported what they will import."""

    def __init__(self, source: Source, modules: list[str]) -> None:
        self.source, self.modules = source, modules

    async def setup(self, nanny: Any) -> None:  # noqa: ARG002  # Dask hands it over
        """Switch the method, unless it is that already: what a fork server has imported can't be changed."""
        from multiprocessing import get_all_start_methods

        remote = remote_of(self.source)
        if dask.config.get(METHOD) != "spawn" or "forkserver" not in get_all_start_methods() or not _can_listen():
            return
        digest, packed = self.source
        begin = asyncio.to_thread(remote.begin_forks, remote.__name__, digest, zlib.decompress(packed), self.modules)
        begun = asyncio.create_task(begin)
        done, _ = await asyncio.wait([begun], timeout=IMPORTS_WITHIN)
        if done and begun.result():
            distributed.utils._forkserver_preload_set = True  # noqa: SLF001  # or it would set a list of its own
            dask.config.set({METHOD: "forkserver"})
            remote.CHANGED.add(METHOD)
        else:
            remote.end_forks()

    def teardown(self, nanny: Any) -> None:  # noqa: ARG002  # Dask hands it over
        """Switch it back."""
        if METHOD in remote_of(self.source).CHANGED:
            dask.config.set({METHOD: "spawn"})


def _can_listen() -> bool:
    """Whether the address of a fork server is short enough: else the nanny would end with its worker."""
    return len(os.fsencode(tempfile.gettempdir())) + len("/pymp-12345678/listener-12345678") <= ADDRESS_MAX


# -- on the scheduler --------------------------------------------------------------------------------------------------


def survey(
    source: Source, project: str, manifest: dict[str, Any], owner: str, *, dask_scheduler: Any
) -> dict[str, Any] | None:
    """Return what the scheduler says about itself and its workers; None as `remote_of` does.

    It has no version before this watch, by the client that it has, has made it that of workers that join.
    """
    remote = remote_of(source)
    if remote is None:
        return None
    if "files" in manifest:
        remote.missing(project, manifest)  # which makes the copy if it can be made of what is here
    found = {**remote.stand(project, manifest), "engine": distributed.__version__}
    plugin = _ours(dask_scheduler).get(project)
    if plugin is None or owner not in plugin.owners:
        found["version"] = ""
    workers = {
        address: {
            "nanny": ws.nanny,
            "processing": [str(task.key) for task in ws.processing],
            "kind": kind_of((ws.versions or {}).get("packages") or {}, has_nanny=bool(ws.nanny)),
        }
        for address, ws in dask_scheduler.workers.items()
    }
    return {"scheduler": found, "workers": workers, "others": _others(project, manifest["tops"], dask_scheduler)}


def kind_of(packages: Mapping[str, str], *, has_nanny: bool) -> Kind:
    """Return the kind of a process that has these versions of packages."""
    return packages.get("python", ""), packages.get("distributed", ""), has_nanny


async def look(
    source: Source,
    project: str,
    manifest: dict[str, Any],
    owner: str,
    accepted: list[Kind],
    nannies: list[str],
    seconds: float,
    asked: bytes,
    *,
    dask_scheduler: Any,
) -> dict[str, Any] | None:
    """Return the survey, and with it what each worker says, asked by `look_at_worker`; None as `remote_of` does.

    It waits until these nannies have workers again, but no longer than this. It asks no worker while there is one of a
    kind that is not accepted.
    """
    await until_back(nannies, seconds, dask_scheduler=dask_scheduler)
    before = survey(source, project, manifest, owner, dask_scheduler=dask_scheduler)
    if before is None:
        return None
    if not {its["kind"] for its in before["workers"].values()}.issubset(accepted):
        return {**before, "answers": None}
    head = {name: part for name, part in manifest.items() if name != "files"}
    args, addresses = (source, project, head), list(before["workers"])
    answers = await on_workers(asked, args, addresses, dask_scheduler=dask_scheduler)
    after = survey(source, project, head, owner, dask_scheduler=dask_scheduler)
    assert after is not None
    for address, its in after["workers"].items():  # what came, and what was done, while the worker was asked
        its["processing"] += before["workers"].get(address, its)["processing"]
    return {**after, "answers": answers}


async def on_workers(
    function: bytes, args: tuple[Any, ...], addresses: list[str], *, dask_scheduler: Any
) -> dict[str, Any]:
    """Have workers run a pickled function; return what each says, or its exception. One that ends is left out."""
    message = {"function": function, "args": _pickled(args), "kwargs": _pickled({}), "wait": True}
    asked = await _done({one: dask_scheduler.rpc(one).run(**message) for one in addresses}, dask_scheduler)
    return {address: _said(task) for address, task in asked.items()}


async def _done(asked: Mapping[str, Coroutine[Any, Any, T]], scheduler: Any) -> dict[str, asyncio.Task[T]]:
    """Wait for what is asked of workers, by their addresses, of each as long as it is there; return what has ended.

    Dask would go on for 30 s to connect to one that has gone.
    """
    tasks = {address: asyncio.create_task(one) for address, one in asked.items()}
    try:
        while pending := [task for task in tasks.values() if not task.done()]:
            await asyncio.wait(pending, timeout=LOOKED_AT_ASKED)
            for gone in tasks.keys() - scheduler.workers.keys():
                tasks.pop(gone).cancel()
        return tasks
    finally:
        for task in tasks.values():
            task.cancel()


def _said(asked: asyncio.Task[dict[str, Any]]) -> Any:
    """Return what a function has returned, or an exception: of that, or why there is no answer."""
    if error := asked.exception():
        return error
    parts = {name: _deserialized(part) for name, part in asked.result().items()}
    return parts["result"] if parts["status"] == "OK" else distributed.core.clean_exception(**parts)[1]


def _deserialized(part: Any) -> Any:
    """Return what a scheduler passes on as it is."""
    is_packed = isinstance(part, distributed.protocol.Serialized)
    return distributed.protocol.deserialize(part.header, part.frames) if is_packed else part


def answer() -> None:
    """Say that the scheduler is there."""


def _ours(scheduler: Any) -> dict[str, OnWorker]:
    """Return the plugins that watches have left on the scheduler, by their projects."""
    known: dict[str, OnWorker] = getattr(scheduler, "_ipy_autorestart", None) or {}
    scheduler._ipy_autorestart = known  # noqa: SLF001  # there is nowhere else to keep it
    return known


def _others(project: str, tops: list[str], scheduler: Any) -> dict[str, list[str]]:
    """Return what watches of other projects send that have modules of these names; drops what others have left."""
    found = {}
    for other, plugin in list(_ours(scheduler).items()):
        if other == project or set(tops).isdisjoint(plugin.head["tops"]):
            continue
        if plugin.owners & set(scheduler.clients):
            found[other] = plugin.head["tops"]
        else:
            _drop(other, scheduler)
    return found


def install(
    source: Source,
    project: str,
    manifest: dict[str, Any],
    owner: str,
    *,
    dask_scheduler: Any,
) -> dict[str, list[str]]:
    """Make this the version of the scheduler, and of each worker that joins, unless others are in the way; return them.

    Of two that begin at once, both may have seen none.
    """
    if others := _others(project, manifest["tops"], dask_scheduler):
        return others
    remote = remote_of(source)
    head = {name: part for name, part in manifest.items() if name != "files"}
    remote.enter(project, head)
    manifests = dask_scheduler.__dict__.setdefault("_ipy_autorestart_manifests", {})
    manifests[project] = manifest

    def files(project: str, wanted: list[str] | None) -> dict[str, Any]:
        known = manifests[project]
        if wanted is None:
            return {"manifest": known}
        have = remote.contents(project, known)
        return {"contents": {one: have[one] for one in wanted}}

    dask_scheduler.handlers[HANDLER] = files
    ours = _ours(dask_scheduler)
    before = ours[project].owners & set(dask_scheduler.clients) if project in ours else set()
    ours[project] = plugin = OnWorker(source, project, head, {owner, *before})
    dask_scheduler.worker_plugins[PLUGIN + project] = _pickled(plugin)
    _expect(dask_scheduler)
    return {}


def _pickled(value: object) -> bytes:
    import cloudpickle

    pickled: bytes = cloudpickle.dumps(value)
    return pickled


def _expect(scheduler: Any) -> set[str]:
    """Return the addresses of workers whose end is no fault of their tasks; those tasks are not counted as killers."""
    known: set[str] | None = getattr(scheduler, "_ipy_autorestart_expected", None)
    if known is not None:
        return known
    expected: set[str] = set()
    remove = scheduler.remove_worker
    parameters = inspect.signature(remove).parameters
    how = next((name for name in ("expected", "safe") if name in parameters), None)

    async def remove_worker(address: str, **rest: Any) -> Any:
        if address in expected:
            expected.discard(address)
            if how:
                rest[how] = True
        return await remove(address=address, **rest)

    scheduler.remove_worker = remove_worker
    if "unregister" in scheduler.handlers:
        scheduler.handlers["unregister"] = remove_worker
    scheduler._ipy_autorestart_expected = expected  # noqa: SLF001  # as above
    return expected


def only_copies(addresses: list[str], leaving: list[str], *, dask_scheduler: Any) -> dict[Any, int | None]:
    """Return the keys of data that only these workers have, and that somebody wants besides clients that leave.

    Each with its bytes, None for what can't be copied.
    """
    workers = {dask_scheduler.workers[one] for one in addresses if one in dask_scheduler.workers}
    tasks = {task for worker in workers for task in worker.has_what}
    kept = {task for task in tasks if {client.client_key for client in task.who_wants or ()}.difference(leaving)}
    return {task.key: None if task.actor else task.get_nbytes() for task in kept if not set(task.who_has) - workers}


def room(addresses: list[str], *, dask_scheduler: Any) -> dict[str, int | None]:
    """Return how many bytes each of these workers may still take, None for one without a limit."""
    workers = [dask_scheduler.workers[one] for one in addresses if one in dask_scheduler.workers]
    return {one.address: one.memory_limit - one.nbytes if one.memory_limit else None for one in workers}


def _release(clients: list[str], scheduler: Any) -> None:
    """Drop what clients wait for that are about to leave, or it would be run anew on the workers to come."""
    for name in clients:
        if client := scheduler.clients.get(name):
            keys = [task.key for task in client.wants_what]
            scheduler.client_releases_keys(keys=keys, client=name, stimulus_id=f"new-code-{name}")


async def restart(
    version: tuple[Source, str, dict[str, Any], str],
    addresses: list[str],
    copies: dict[str, list[Any]] | None,
    leaving: list[str],
    ended: bytes,
    *,
    dask_scheduler: Any,
) -> tuple[dict[str, list[str]], dict[str, str], list[Any]]:
    """Have nannies end these workers, by `renew`, and start others, which get the version as `install` does.

    Return others that are in its way, if any, and the nannies by the workers' addresses.

    First other workers get copies of data, keys by address. If some of it would be lost all the same, nothing restarts,
    and its keys are returned, too. None for the copies loses it. What clients wait for that leave is dropped.
    """
    if others := install(*version, dask_scheduler=dask_scheduler):
        return others, {}, []
    nannies = {one: dask_scheduler.workers[one].nanny for one in addresses if one in dask_scheduler.workers}
    expected = _expect(dask_scheduler)

    async def end(address: str, nanny: str) -> None:
        expected.add(address)
        try:
            await dask_scheduler.rpc(nanny).run(function=ended, args=_pickled((address,)))
        except Exception:  # it is gone, or its worker was about to be  # noqa: BLE001
            expected.discard(address)

    with _none_dropped(dask_scheduler):
        for address, keys in (copies or {}).items():
            tasks = [dask_scheduler.tasks[key] for key in keys if key in dask_scheduler.tasks]
            holders = {task.key: [worker.address for worker in task.who_has or ()] for task in tasks}
            await _done({address: dask_scheduler.gather_on_worker(address, holders)}, dask_scheduler)
        if copies is not None and (lost := only_copies(addresses, leaving, dask_scheduler=dask_scheduler)):
            return {}, {}, list(lost)
        _release(leaving, dask_scheduler)
        await asyncio.gather(*(end(*one) for one in nannies.items()))
    return {}, nannies, []


@contextlib.contextmanager
def _none_dropped(scheduler: Any) -> Iterator[None]:
    """Have no copy of anything dropped meanwhile because there is another."""
    memory = scheduler.extensions.get("amm")
    runs = memory is not None and memory.running
    if runs:
        memory.stop()
    try:
        yield
    finally:
        if runs:
            memory.start()


async def until_back(nannies: list[str], seconds: float, *, dask_scheduler: Any) -> None:
    """Wait until each of these nannies has a worker again, but no longer than this."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        if {worker.nanny for worker in dask_scheduler.workers.values()}.issuperset(nannies):
            return
        await asyncio.sleep(LOOKED_AT)


async def reachable(nannies: list[str], *, dask_scheduler: Any) -> list[str]:  # noqa: ARG001  # Dask hands it over
    """Return the nannies that are still there; one that is only too busy to answer in time is."""

    async def is_there(nanny: str) -> bool:
        try:
            host, port = distributed.comm.get_address_host_port(nanny)
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), REACHED_WITHIN)
        except TimeoutError:
            return True
        except (OSError, ValueError):
            return False
        writer.close()
        return True

    found = await asyncio.gather(*map(is_there, nannies))
    return [nanny for nanny, there in zip(nannies, found, strict=True) if there]


def uninstall(project: str, owner: str, *, dask_scheduler: Any) -> bool:
    """Leave nothing of this client for workers that join; return whether other watches have something there."""
    ours = _ours(dask_scheduler)
    if project in ours:
        ours[project].owners.discard(owner)
        if not ours[project].owners & set(dask_scheduler.clients):
            _drop(project, dask_scheduler)
    return bool(ours)


def _drop(project: str, scheduler: Any) -> None:
    _ours(scheduler).pop(project, None)
    scheduler.worker_plugins.pop(PLUGIN + project, None)
    scheduler.__dict__.get("_ipy_autorestart_manifests", {}).pop(project, None)
