"""A notebook that drives a Dask cluster which sees nothing of the project."""

import re

import pytest
from checkpointed import SLOW, Checkpointed
from project import Project
from started_clusters import Colleague, DaskProcesses, can_hide

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.own_kernel,
    pytest.mark.xdist_group("dask"),
    pytest.mark.skipif(not can_hide(), reason="needs a mount namespace of its own: unshare -rm"),
]

JOB = """
V = {value}
def f(x):
    return ({value}, x)
"""


CONNECT = """
import sys
sys.path.insert(0, "src")
import job
from distributed import Client
client = Client({address!r})
"""

ON_EACH = """
workers = client.scheduler_info()["workers"]
print(sorted(set(client.gather([client.submit(job.f, 3, pure=False, workers=[one]) for one in workers]))))
"""

HELD = """
held = client.submit(job.f, 4)
print(held.key, held.result())
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = DaskProcesses(tmp_path_factory.mktemp("cluster"), hides=tmp_path_factory.mktemp("projects"))
    yield cluster
    cluster.close()


@pytest.fixture
def project(cluster, request, monkeypatch):
    project = Project(cluster.hides / request.node.name[:30])
    project.save("src/job.py", JOB.format(value=1))
    monkeypatch.chdir(project)
    monkeypatch.setenv("IPYTHONDIR", str(cluster.folder / "ipython"))
    return project


def test_the_kernel_restarts_when_each_worker_has_its_code(kernel, project, cluster):
    connect = CONNECT.format(address=cluster.address)
    kernel.run(connect)
    watch = kernel.run("%watch_restart src/ --cluster client")
    kernel.wait(lambda: "2 of 2 workers on" in watch.text)
    assert kernel.run(ON_EACH).streams() == "[(1, 3)]\n"
    key, first = kernel.run(HELD).streams().split(" ", 1)  # lost with the kernel, but for who holds it
    colleague = Colleague(cluster)
    colleague.ask(f"held = client.submit(int, key={key!r})")  # it has been done
    assert colleague.ask("held.result()") == first.strip() == "(1, 4)"
    project.save("src/job.py", JOB.format(value=2))
    kernel.wait(lambda: "1 restart" in watch.text and "2 restarted" in watch.text)
    new_key, then = kernel.run(connect + HELD).streams().split(" ", 1)
    assert (new_key != key, then) == (True, "(2, 4)\n")
    assert kernel.run(ON_EACH).streams() == "[(2, 3)]\n"
    assert colleague.ask("held.result()") == "(1, 4)"
    colleague.close()

    cell = kernel.run("%watch_restart src/ --cluster nothing")
    kernel.wait(lambda: "no Dask scheduler answers at nothing" in cell.text)
    assert "is not a client of a cluster" in kernel.run("x = 3\n%watch_restart src/ --cluster x").text


def test_cells_run_again_when_each_worker_has_their_code(own_kernel, project, cluster):
    page = Checkpointed(own_kernel, project, f"--rerun all --cluster {cluster.address}")
    page.wait(lambda: "2 of 2 workers on" in page.status)
    page.until_armed()
    page.load("data", "import distributed\ndata = 7")
    page.noted("connect", SLOW + CONNECT.format(address=cluster.address))
    page.noted("use", HELD + ON_EACH)
    keys = [page.shows("use").split()[0]]
    # A copy of the kernel could not go on with the connection to the scheduler.
    told = page.do("status", "%watch_status").text
    assert re.search(r"no checkpoint after cell \d+: ", told), told
    for value in (2, 3):
        page.save("src/job.py", JOB.format(value=value))
        key, results = page.shows("use").split(" ", 1)
        assert results == f"({value}, 4)\n[({value}, 3)]\n"
        keys.append(key)
    assert len(set(keys)) == 3
    assert (page.runs("data"), page.runs("connect")) == (1, 3)
    assert {cell.streams("stderr") for cell in page.shown.values()} == {""}
