"""A notebook that drives a Dask cluster which sees nothing of the project."""

import pytest
from started_clusters import DaskProcesses, can_hide

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


@pytest.fixture
def cluster(project, tmp_path_factory):
    cluster = DaskProcesses(tmp_path_factory.mktemp("cluster"), hides=project)
    yield cluster
    cluster.close()


def test_the_kernel_restarts_when_each_worker_has_its_code(kernel, project, cluster):
    project.save("src/job.py", JOB.format(value=1))
    connect = CONNECT.format(address=cluster.address)
    kernel.run(connect)
    watch = kernel.run("%watch_restart src/ --cluster client")
    kernel.wait(lambda: "2 of 2 workers on" in watch.text)
    assert kernel.run(ON_EACH).streams() == "[(1, 3)]\n"
    kernel.run("held = client.submit(job.f, 4); held.result()")  # lost with the kernel
    project.save("src/job.py", JOB.format(value=2))
    kernel.wait(lambda: "1 restart" in watch.text and "2 restarted" in watch.text)
    kernel.run(connect)
    assert kernel.run(ON_EACH).streams() == "[(2, 3)]\n"

    cell = kernel.run("%watch_restart src/ --cluster nothing")
    kernel.wait(lambda: "no Dask scheduler answers at nothing" in cell.text)
    assert "is not a client of a cluster" in kernel.run("x = 3\n%watch_restart src/ --cluster x").text
