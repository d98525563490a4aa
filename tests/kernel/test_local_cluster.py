"""A Dask cluster that a notebook has made on its own machine: it closes in order, and ends with the kernel."""

import os
import re

import psutil
import pytest
from checkpointed import Checkpointed
from processes import MARK, has_ended, marked_processes, words_of
from waiting import eventually

pytestmark = pytest.mark.e2e

PATH = "import os, sys; sys.path.insert(0, 'src'); os.environ['PYTHONPATH'] = 'src'"

#: Its worker is no daemon, as where workers have children of their own.
CLUSTER = """\
import dask
dask.config.set({"distributed.worker.daemon": False})
from distributed import Client, LocalCluster
cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0")
client = Client(cluster)
[worker] = client.run(os.getpid).values()
"""

#: What there is of the project here and there; the result stays in the worker's memory.
USE = """\
import a
held = client.submit(lambda: __import__("a").V)
print(a.V, held.result())
"""


def test_a_cluster_closes_in_order_when_the_kernel_restarts(own_kernel, project):
    def use():
        for code in (PATH, CLUSTER):
            assert own_kernel.run(code).error == ""
        return own_kernel.run(USE).streams()

    watching = own_kernel.run("%watch_restart src/")
    own_kernel.wait(lambda: "running" in watching.text)
    assert use() == "1 1\n"
    worker = psutil.Process(int(own_kernel.run("print(worker)").streams()))
    own_kernel.run("import time; busy = client.submit(time.sleep, 600)")
    assert own_kernel.run("while not any(client.processing().values()): time.sleep(0.01)").error == ""
    project.save("src/a.py", "V = 2\n")
    own_kernel.wait(lambda: "1 restart" in watching.text)
    assert has_ended(worker)
    assert use() == "2 2\n"
    assert {cell.streams("stderr") for cell in own_kernel.cells.values()} == {""}  # nobody warns, nor starts another


def test_a_notebook_with_a_cluster_goes_back_to_before_it(own_kernel, project):
    page = Checkpointed(own_kernel, project)
    page.until_armed()
    page.load("data", f"import distributed\n{PATH}")
    page.noted("cluster", CLUSTER)
    page.noted("use", USE)
    assert page.shows("use") == "1 1\n"
    told = page.do("status", "%watch_status").text
    assert re.search(r"no checkpoint after cell \d+: \d+ threads \(.+\); 1 child process", told)
    for value in (2, 3):
        worker = psutil.Process(page.ask("worker"))
        page.save("src/a.py", f"V = {value}\n")
        assert page.shows("use") == f"{value} {value}\n"
        assert has_ended(worker)
        eventually(lambda: len(workers()) == 1, what=workers)  # the nanny's word may have started another
    assert (page.runs("data"), page.runs("cluster")) == (1, 3)
    assert {cell.streams("stderr") for cell in page.shown.values()} == {""}


def workers():
    """Return the processes of workers that this test has."""
    return [one for one in marked_processes(os.environ[MARK]) if "spawn_main(" in " ".join(words_of(one))]
