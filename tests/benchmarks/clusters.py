"""New code on the workers of a cluster: from a save until all of them have answered by it, pandas imported there.

    python tests/benchmarks/clusters.py [--rounds 7]

Two workers of Dask, two engines of ipyparallel, on this machine, which see the project's folder. Each way has a cluster
of its own, as one changes what the next would find; in each round all in random order. What is measured begins with the
save and ends with the answers; that the save is noticed takes some milliseconds more (`terminal.py`), with the others
somebody types a line. `UploadDirectory` sends the folder and restarts the workers.
"""

import asyncio
import contextlib
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import report

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))


def use():
    """Return the version of the code that a worker has, with what a user's task imports, too."""
    import pandas  # noqa: F401
    from src import mod  # type: ignore[import-not-found]  # the project's

    return mod.V


use.__module__ = "__main__"  # or ipyparallel would look for this module on an engine


class Arm:
    """A cluster, and a way to bring it new code."""

    engine = ""

    def __init__(self, name, folder):
        self.name, self.folder, self.value = name, folder, 0
        (folder / "src").mkdir(parents=True)
        (folder / "src/__init__.py").touch()
        self.save()

    def save(self):
        self.value += 1
        (self.folder / "src/mod.py").write_text(f"V = {self.value}\n#{'#' * self.value}\n")

    @property
    def tree(self):
        from ipy_autorestart.cluster.tree import read_tree

        return read_tree([str(self.folder / "src")])

    async def begin(self):
        """Start the cluster, and connect to it."""
        raise NotImplementedError

    async def bring(self):
        """Have the workers run what is saved."""
        raise NotImplementedError

    async def ask(self):
        """Return what all workers answer."""
        raise NotImplementedError

    async def end(self):
        """End all of it."""
        raise NotImplementedError

    async def measure(self):
        """Return the milliseconds from a save to the last answer, NaN if one is old."""
        begun = time.monotonic()
        self.save()
        await self.bring()
        answers = await self.ask()
        took = (time.monotonic() - begun) * 1000
        return took if len(answers) == 2 and set(answers) == {self.value} else float("nan")


class Dask(Arm):
    """A scheduler and two workers with nannies, started by hand."""

    engine = "Dask"

    async def begin(self):
        from distributed import Client
        from started_clusters import DaskProcesses

        from ipy_autorestart.cluster.dask import DaskCluster

        os.environ["PYTHONPATH"] = str(self.folder)
        self.cluster = DaskProcesses(self.folder)
        del os.environ["PYTHONPATH"]
        self.client = await Client(self.cluster.address, asynchronous=True, set_as_default=False)
        self.pusher = await DaskCluster.connect(self.cluster.address, "bench") if self.name == "ours" else None

    async def ask(self):
        return list((await self.client.run(use)).values())

    async def bring(self):
        from distributed.diagnostics.plugin import UploadDirectory

        if self.pusher:
            await self.pusher.push(self.tree, within=60)
        elif self.name == "client.restart()":
            await self.client.restart(wait_for_workers=True)
        else:
            plugin = UploadDirectory(str(self.folder / "src"), restart_workers=True, update_path=True)
            await self.client.register_plugin(plugin)
            await self.client.wait_for_workers(2)

    async def end(self):
        if self.pusher:
            await self.pusher.close()
        await self.client.close()
        self.cluster.close()


class Engines(Arm):
    """Two engines that a controller knows."""

    engine = "ipyparallel"

    async def begin(self):
        import ipyparallel

        from ipy_autorestart.cluster.engines import Engines as Pusher

        os.environ["PYTHONPATH"] = str(self.folder)
        self.cluster = ipyparallel.Cluster(n=2, profile_dir=str(self.folder / "profile"), log_level=40)
        self.client = await self.cluster.start_and_connect(activate=False)
        file = os.path.join(self.cluster.profile_dir, "security", f"ipcontroller-{self.cluster.cluster_id}-client.json")
        self.pusher = await Pusher.connect(file, "bench") if self.name == "ours" else None

    async def ask(self):
        return await asyncio.wrap_future(self.client[:].apply_async(use))

    async def bring(self):
        if self.pusher:
            await self.pusher.push(self.tree, within=60)
        else:
            await self.cluster.restart_engines()
            await asyncio.to_thread(self.client.wait_for_engines, 2, timeout=60)

    async def end(self):
        if self.pusher:
            await self.pusher.close()
        self.client.close()
        await self.cluster.stop_cluster()


ARMS = (
    (Dask, "ours"),
    (Dask, "client.restart()"),
    (Dask, "UploadDirectory"),
    (Engines, "ours"),
    (Engines, "restart_engines()"),
)


async def rounds_of(arms, rounds):
    """Return the figures of each arm, after one of each that isn't counted."""
    found = {arm: [] for arm in arms}
    for number in range(-1, rounds):
        report.progress(report.round_of(number, rounds))
        for arm in random.sample(arms, len(arms)):
            await arm.ask()
            took = await arm.measure()
            if number >= 0:
                found[arm].append(took)
    return found


async def main(rounds):
    with tempfile.TemporaryDirectory() as root:
        arms = [kind(name, Path(root, f"{kind.__name__}-{number}")) for number, (kind, name) in enumerate(ARMS)]
        async with contextlib.AsyncExitStack() as stack:
            for arm in arms:
                await arm.begin()
                stack.push_async_callback(arm.end)
            found = await rounds_of(arms, rounds)
    for kind in (Dask, Engines):
        [ours, *others] = [arm for arm in arms if isinstance(arm, kind)]
        rows = [
            [arm.name, report.spread(found[arm], digits=0), report.times(report.ratio(found[arm], found[ours]))]
            for arm in (ours, *others)
        ]
        report.table(f"{kind.engine}: ms from a save to new answers of all workers", ["", "ms", "× ours"], rows)
    report.measured_with(("distributed", "ipyparallel", "pandas"), rounds=rounds)


if __name__ == "__main__":
    asyncio.run(main(report.options(__doc__, rounds=7).parse_args().rounds))
