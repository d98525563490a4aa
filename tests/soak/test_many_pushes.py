"""Saves without number beside others on a Dask cluster: no result is that of older code."""

import ast
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
from pkg import a, b, c, d, e
def values(*_):
    return [one.V for one in (a, b, c, d, e)]
"""

MAIN = """
import os, sys, time
sys.path.insert(0, "src")
from distributed import Client
from pkg import job
client = Client(scheduler_file=sys.argv[1])
workers = list(client.scheduler_info()["workers"])
each = [client.submit(job.values, pure=False, workers=[one]) for one in workers]
held = client.submit(job.values, 7)
found = client.gather([*each, held])
is_same = found == [job.values()] * (len(workers) + 1)
print("" if is_same else f"OTHERS {found}\\n", end="")
print("RESULT", job.values(), is_same, held.key, flush=True)
client.submit(job.values, 8)  # while the next save comes
if max(job.values()) % 5 == 2:
    left = [client.submit(time.sleep, 600, pure=False) for _ in 2 * workers]
time.sleep(600)
"""


IDLE = "[one for one, tasks in client.processing().items() if not tasks][:1]"


@pytest.fixture
def cluster(tmp_path_factory):
    projects = tmp_path_factory.mktemp("projects")
    cluster = DaskProcesses(tmp_path_factory.mktemp("cluster"), hides=projects)
    yield cluster
    cluster.close()


@pytest.mark.timeout(120 + 5 * RESTARTS)
def test_no_save_is_followed_by_a_result_of_older_code(cluster, seed):
    chance = random.Random(seed)
    project = Project(cluster.hides / "project")
    project.save("src/pkg/__init__.py", "")
    project.save("src/pkg/job.py", JOB)
    values = dict.fromkeys(NAMES, 0)
    for name in NAMES:
        project.save(f"src/pkg/{name}.py", "V = 0\n")
    project.script(MAIN)
    colleague, watched = Colleague(cluster), Watched(project, cluster)
    flag, number, keys = cluster.folder / "flag", 0, set()
    colleague.ask("from distributed import Future; held = {}")
    colleague.ask(f"task = client.submit(until_there, {str(flag)!r})")

    def save():
        nonlocal number
        number += 1
        name = NAMES[number % len(NAMES)]
        values[name] = number
        project.save(f"src/pkg/{name}.py", f"V = {number}\n")

    try:
        watched.until("RESULT")
        for _ in range(RESTARTS):
            save()
            match what := chance.randrange(6):
                case 0:  # one more, at any moment of the push for the first
                    first = list(values.values())
                    pass_time(chance.random())
                    save()
                case 1:  # whoever it is, the colleague's task must not have it on its account
                    for pid in ast.literal_eval(colleague.ask(f"list(client.run(os.getpid, workers={IDLE}).values())")):
                        os.kill(pid, signal.SIGKILL)
            wanted = re.escape(str(list(values.values())))
            same, key = watched.until(rf"RESULT {wanted} (\w+) (\S+)")
            if what == 0 and same == "False":  # the run for the first has read the second, and one more follows
                found = ast.literal_eval(watched.until(r"OTHERS (.+)"))
                assert all(one in (first, list(values.values())) for one in found), found
                same, key = watched.until(rf"RESULT {wanted} (True) (\S+)")
            assert same == "True", f"save {number}: a result of older code"
            assert key not in keys, f"save {number}: the key of older code"
            keys.add(key)
            colleague.ask(f"held[{number}] = Future({key!r}, client=client); held.pop({number} - 3, None)")
        flag.touch()
        assert colleague.ask("task.result()") == "'done'"
        sys.stdout.write(f"{number} saves, none of them followed by a result of older code\n")
    finally:
        watched.close()
        colleague.close()
