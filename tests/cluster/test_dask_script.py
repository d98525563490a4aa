"""A script that drives a Dask cluster which sees nothing of the project: each save reaches all workers."""

import os
import re
import signal
import subprocess
import sys

import pytest
from clusters import Colleague, DaskProcesses, can_hide
from project import Project
from waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("dask"),
    pytest.mark.skipif(not can_hide(), reason="needs a mount namespace of its own: unshare -rm"),
]

MAIN = """
import sys, time
sys.path.insert(0, "src")
from distributed import Client
import pkg.job
client = Client(scheduler_file=sys.argv[1])
client.wait_for_workers(2)
workers = list(client.scheduler_info()["workers"])
on_each = client.gather([client.submit(pkg.job.f, 1, pure=False, workers=[one]) for one in workers])
print("RESULT", pkg.job.V, sorted(set(on_each)), len(workers), flush=True)
pkg.job.then(client)
time.sleep(1000)
"""

JOB = """
from pkg import more
V = {value}
def f(x):
    return ({value}, more.M)
def then(client):
    {then}
{rest}
"""


class Watched:
    """The command line at work, and all that it has shown."""

    def __init__(self, project, cluster, *words):
        self.project = project
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "ipy_autorestart",
                "src/",
                "main.py",
                "--cluster",
                cluster.file,
                *words,
                "--",
                cluster.file,
            ],
            cwd=project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        os.set_blocking(self._process.stdout.fileno(), False)
        self._text = ""

    @property
    def text(self):
        self._text += (self._process.stdout.read() or b"").decode()
        return self._text

    def until(self, pattern, count=1):
        """Wait until something has been shown so many times; return what its group says at last."""
        found = eventually(
            lambda: (all_ := re.findall(pattern, self.text))[count - 1 :] and all_,
            what=lambda: f"{pattern}\n{self.text}",
        )
        return found[-1]

    def save(self, value, *, then="pass", rest=""):
        self.project.save("src/pkg/job.py", JOB.format(value=value, then=then, rest=rest))

    def close(self):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    projects = tmp_path_factory.mktemp("projects")
    cluster = DaskProcesses(tmp_path_factory.mktemp("cluster"), hides=projects)
    yield cluster
    cluster.close()


@pytest.fixture
def project(cluster, request):
    project = Project(cluster.hides / request.node.name[:30])
    project.save("src/pkg/__init__.py", "")
    project.save("src/pkg/more.py", "M = 'm'\n")
    project.script(MAIN)
    return project


@pytest.fixture
def watch(project, cluster):
    begun = []

    def begin(*words, value=1, **what):
        watched = Watched(project, cluster, *words)
        begun.append(watched)
        return watched

    yield begin
    for watched in begun:
        watched.close()


@pytest.fixture
def colleague(cluster):
    colleague = Colleague(cluster)
    yield colleague
    colleague.close()


def test_each_save_reaches_all_workers_before_the_script_runs_again(watch, project, cluster):
    project.save("src/pkg/job.py", JOB.format(value=1, then="pass", rest=""))
    watched = watch()
    watched.until(r"RESULT 1 \[\(1, 'm'\)\] 2")
    watched.until(r"2 of 2 workers on [0-9a-f]{4}")
    watched.save(2)
    watched.until(r"RESULT 2 \[\(2, 'm'\)\] 2")
    watched.until(r"2 of 2 workers on [0-9a-f]{4} · 2 restarted")
    # A function that the scheduler, too, has never seen.
    watched.save(3, then="print('NEW', client.submit(g, 1).result(), flush=True)", rest="def g(x): return 'g'")
    watched.until(r"RESULT 3 \[\(3, 'm'\)\] 2")
    watched.until("NEW g")
