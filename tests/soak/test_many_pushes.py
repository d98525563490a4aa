"""Saves without number beside others on a Dask cluster: no result is that of older code."""

import ast
import contextlib
import os
import random
import re
import signal
import sys

import length
import pytest
from project import Project
from started_clusters import Colleague, DaskProcesses, Watched, can_hide
from waiting import pass_time

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("dask"),
    pytest.mark.skipif(not can_hide(), reason="needs a mount namespace of its own: unshare -rm"),
]

#: Dask fails a task that four workers have died of.
RESTARTS = length.restarts(10)

#: Modules that are saved in turn: the same few files, right after each start, would be taken for a loop, and wait.
NAMES = "abcde"

JOB = """
from {package} import a, b, c, d, e
def values(*_):
    return [one.V for one in (a, b, c, d, e)]
"""

MAIN = """
import os, sys, time
sys.path.insert(0, "src")
from distributed import Client
from {package} import job
client = Client(scheduler_file=sys.argv[1])
workers = list(client.scheduler_info()["workers"])
there = {{"allow_other_workers": True}}  # the other watch may restart it
each = [client.submit(job.values, pure=False, workers=[one], **there) for one in workers]
held = client.submit(job.values, 7)
found = client.gather([*each, held])
is_same = found == [job.values()] * (len(workers) + 1)
print("" if is_same else f"OTHERS {{found}}\\n", end="")
print("RESULT", job.values(), is_same, held.key, flush=True)
client.submit(job.values, 8)  # while the next save comes
if {package!r} == "ours" and max(job.values()) % 5 == 2:
    left = [client.submit(time.sleep, 600, pure=False) for _ in workers]
time.sleep(600)
"""


IDLE = "[one for one, tasks in client.processing().items() if not tasks][:1]"


@pytest.fixture
def cluster(tmp_path_factory):
    projects = tmp_path_factory.mktemp("projects")
    cluster = DaskProcesses(tmp_path_factory.mktemp("cluster"), hides=projects, workers=0)
    # What is left running, and the colleague's task, may all come to one worker, and the others' tasks to that one too.
    cluster.work("--nworkers", 2, "--nthreads", 4)
    cluster.until_joined(2)
    yield cluster
    cluster.close()


class Saved:
    """A watch, and saves of what it runs: each of another module of its package, with the next number."""

    def __init__(self, cluster, package):
        self.number, self.values, self._package = 0, dict.fromkeys(NAMES, 0), package
        self._project = Project(cluster.hides / package)
        self._project.save(f"src/{package}/__init__.py", "")
        self._project.save(f"src/{package}/job.py", JOB.format(package=package))
        for name in NAMES:
            self._save(name)
        self._project.script(MAIN.format(package=package))
        self._watched = Watched(self._project, cluster)
        self._watched.until("RESULT")
        self.close = self._watched.close

    def _save(self, name):
        self._project.save(f"src/{self._package}/{name}.py", f"V = {self.values[name]}\n")

    def save(self):
        self.number += 1
        name = NAMES[self.number % len(NAMES)]
        self.values[name] = self.number
        self._save(name)

    def key(self, first=()):
        """Return the key of a result of what was saved last; or else, another run first read some of that."""
        now = list(self.values.values())
        shown = rf"RESULT {re.escape(str(now))} (\w+) (\S+)"
        same, key = self._watched.until(shown)
        if first and same == "False":
            found = ast.literal_eval(self._watched.until(r"OTHERS (.+)"))
            assert all(one in (first, now) for one in found), found
            same, key = self._watched.until(shown.replace(r"\w+", "True"))
        assert same == "True", f"save {self.number}: a result of older code, or of other"
        return key


@pytest.mark.timeout(120 + 6 * RESTARTS)
def test_no_save_is_followed_by_a_result_of_older_code(cluster, seed):
    chance = random.Random(seed)
    colleague, keys = Colleague(cluster), set()
    with contextlib.closing(colleague), contextlib.ExitStack() as watches:
        ours, theirs = (watches.enter_context(contextlib.closing(Saved(cluster, name))) for name in ("ours", "theirs"))
        flag = cluster.folder / "flag"
        colleague.ask("from distributed import Future; held = {}")
        colleague.ask(f"task = client.submit(until_there, {str(flag)!r})")
        for _ in range(RESTARTS):
            first = []
            ours.save()
            match chance.randrange(6):
                case 0:  # one more, at any moment of the push for the first
                    first = list(ours.values.values())
                    pass_time(chance.random())
                    ours.save()
                case 1:  # whoever it is, the colleague's task must not have it on its account
                    for pid in ast.literal_eval(colleague.ask(f"list(client.run(os.getpid, workers={IDLE}).values())")):
                        os.kill(pid, signal.SIGKILL)
                case 2 | 3:
                    theirs.save()
            key = ours.key(first)
            assert key not in keys, f"save {ours.number}: the key of older code"
            keys.add(key)
            colleague.ask(f"held[{ours.number}] = Future({key!r}, client=client); held.pop({ours.number} - 3, None)")
            theirs.key()
        flag.touch()
        assert colleague.ask("task.result()") == "'done'"
    sys.stdout.write(f"{ours.number} saves, none of them followed by a result of older code\n")
