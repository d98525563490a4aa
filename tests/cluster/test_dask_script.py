"""A script that drives a Dask cluster which sees nothing of the project: each save reaches all workers."""

import os
import signal
import sys

import pytest
from project import Project
from started_clusters import Colleague, DaskProcesses, Pushing, Watched, can_hide
from waiting import eventually, pass_time

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
import time
from pkg import more
V = {value}
def f(x):
    return ({value}, more.M)
def then(client):
    workers = list(client.scheduler_info()["workers"])
    {then}
{rest}
"""


class Job(Watched):
    """The command line at work, and saves of what it runs."""

    def save(self, value, *, then="pass", rest=""):
        self.project.save("src/pkg/job.py", JOB.format(value=value, then=then, rest=rest))


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
    project.save("src/pkg/job.py", JOB.format(value=1, then="pass", rest=""))
    project.script(MAIN)
    return project


@pytest.fixture
def watch(project, cluster):
    begun = []

    def begin(*words):
        watched = Job(project, cluster, *words)
        begun.append(watched)
        watched.until(r"RESULT 1 \[\(1, 'm'\)\] 2")
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
    watched = watch()
    watched.until(r"2 of 2 workers on [0-9a-f]{4}")
    watched.save(2)
    watched.until(r"RESULT 2 \[\(2, 'm'\)\] 2")
    watched.until(r"2 of 2 workers on [0-9a-f]{4} · 2 restarted")
    # A function that the scheduler, too, has never seen.
    watched.save(3, then="print('NEW', client.submit(g, 1).result(), flush=True)", rest="def g(x): return 'g'")
    watched.until(r"RESULT 3 \[\(3, 'm'\)\] 2")
    watched.until("NEW g")
    # A module that is gone, and one that is new.
    project.save("src/pkg/other.py", "M = 'o'\n")
    (project / "src/pkg/more.py").unlink()
    rest = "def g(x): import importlib.util as u; return u.find_spec('pkg.more')"
    then = "print('GONE', client.submit(g, 2).result(), flush=True)"
    project.save(
        "src/pkg/job.py",
        JOB.format(value=4, then=then, rest=rest).replace("more", "other", 1).replace("more.M", "other.M"),
    )
    watched.until(r"RESULT 4 \[\(4, 'o'\)\] 2")
    watched.until("GONE None")
    assert " - INFO - " not in watched.text  # of what clients run for their keys


def test_a_module_that_workers_alone_import_reaches_them(watch, project):
    project.save("src/pkg/late.py", "L = 1\n")
    watched = watch()
    then = "print('LATE', client.submit(g, 1).result(), flush=True)"
    watched.save(2, then=then, rest="def g(x):\n    from pkg import late\n    return late.L")
    watched.until("LATE 1")
    project.save("src/pkg/late.py", "L = 2\n")
    watched.until("LATE 2")


#: Whether a worker was forked from what had imported this as those before it had, and had run the nanny's program, so
#: that multiprocessing doesn't run it again there.
RAN_AHEAD = """
def ran_ahead():
    import sys
    names, ahead = list(sys.modules), sys.modules["_ipy_autorestart_cluster"].IMPORTED_AHEAD
    return "colorsys" in ahead["tops"] and names.index("__mp_main__") < names.index(ahead["last"])
"""


def test_what_the_old_run_left_running_keeps_no_worker(watch, colleague):
    colleague.ask("list(client.run(__import__, 'colorsys'))")
    watched = watch()
    watched.save(2, then="rest = [client.submit(time.sleep, 600, pure=False) for _ in 2 * workers]; time.sleep(0.5)")
    watched.until("RESULT 2")
    eventually(lambda: colleague.ask("sum(map(len, client.processing().values()))") == "4")
    watched.hang_up()  # the code is the same, and so are its workers
    watched.until("RESULT 2", count=2)
    watched.until(r"2 of 2 workers on [0-9a-f]{4} · 2 restarted", count=2)
    assert colleague.ask(RAN_AHEAD + "set(client.run(ran_ahead).values())") == "{True}"


def test_data_that_is_somebody_elses_is_copied_before_its_worker_restarts(watch, colleague):
    watched = watch()
    colleague.ask("future = client.submit(lambda: 'precious', key='theirs'); future.result()")
    colleague.ask("client.publish_dataset(kept=future); del future")
    colleague.ask("scattered = client.scatter([1, 2, 3])")
    for value in (2, 3):
        watched.save(value)
        watched.until(f"RESULT {value}")
        watched.until(r"2 of 2 workers on [0-9a-f]{4} · 2 restarted", count=value - 1)
    assert colleague.ask("client.get_dataset('kept').result(), client.gather(scattered)") == "('precious', [1, 2, 3])"
    colleague.ask("client.unpublish_dataset('kept')")


def test_a_worker_that_is_away_as_a_push_begins_has_room_for_what_only_the_other_has(watch, colleague):
    watched = watch()
    colleague.ask("first, second = client.scheduler_info()['workers']")
    colleague.ask("scattered = client.scatter([1, 2, 3], workers=[first])")
    os.kill(int(colleague.ask("client.run(os.getpid, workers=[second])[second]")), signal.SIGKILL)
    watched.save(2)
    watched.until(r"RESULT 2 \[\(2, 'm'\)\] 2")
    assert colleague.ask("client.gather(scattered)") == "[1, 2, 3]"


def test_a_result_that_somebody_holds_is_not_taken_for_one_of_the_new_code(watch, cluster, colleague):
    # So it is with what a task submits.
    rest = """
def nested():
    from distributed import get_client
    future = get_client().submit(f, 8)
    return f"{future.key} {future.result()}"
def show(future, nested):
    print("HELD", future.key, future.result(), nested.result(), flush=True)
"""
    then = "show(client.submit(f, 7), client.submit(nested))"
    watched, keys = watch(), set()
    for value in (2, 3):
        watched.save(value, then=then, rest=rest)
        held = watched.until(rf"HELD (\S+) \({value}, 'm'\) (\S+) \({value}, 'm'\)")
        colleague.ask("from distributed import Future")
        colleague.ask(f"held = [Future(key, client=client) for key in {held}]")
        keys.update(held)
    assert len(keys) == 4


def test_workers_that_join_and_die_meanwhile_have_the_new_code(watch, cluster, colleague):
    watched = watch()
    joined = cluster.work("--name", "late")
    cluster.until_joined(1, name="late")
    on_it = "client.submit(lambda: __import__('pkg.job').job.V, workers=['late'], pure=False).result()"
    assert colleague.ask(on_it) == "1"
    pid = int(colleague.ask("client.submit(os.getpid, workers=['late'], pure=False).result()"))
    # A nanny ends whose first worker dies before it has heard of it; while it begins, it answers nobody.
    assert colleague.ask("set(client.run(lambda dask_worker: dask_worker.status.name, nanny=True).values())") == (
        "{'running'}"
    )
    watched.save(2)
    os.kill(pid, signal.SIGKILL)
    watched.until(r"RESULT 2 \[\(2, 'm'\)\] 3")
    assert colleague.ask(on_it) == "2"
    cluster.end(joined)
    joined, value = cluster.work("--name", "during"), 2
    while not cluster.has_joined(1, name="during"):  # always during a push: each takes the place of the one before
        watched.save(value := value + 1)
        pass_time(0.2)
    watched.until(rf"RESULT {value} \[\({value}, 'm'\)\] ")
    assert colleague.ask(on_it.replace("late", "during")) == str(value)
    cluster.end(joined)


def test_what_runs_goes_on_while_the_scheduler_is_gone(tmp_path, tmp_path_factory):
    cluster = DaskProcesses(tmp_path_factory.mktemp("other"), workers=0)
    project = Project(tmp_path)
    project.save("src/a.py", "V = 1\n")
    project.script(
        "import sys, time\nsys.path.insert(0, 'src')\nimport a\nprint('VALUE', a.V, flush=True)\ntime.sleep(999)\n"
    )
    watched = Watched(project, cluster)
    try:
        watched.until("VALUE 1")
        cluster.end(cluster.scheduler)
        watched.until("is gone; start it again")
        project.save("src/a.py", "V = 2\n")
        pass_time(1)
        assert "VALUE 2" not in watched.text
    finally:
        watched.close()
        cluster.close()


OTHER_MAIN = """
import sys, time
sys.path.insert(0, "src")
from distributed import Client
from {package} import job
client = Client(scheduler_file=sys.argv[1])
long = client.submit(job.wait, {flag!r}, pure=False)
found = set(client.gather([client.submit(job.f, number) for number in range(6)]))
print("OTHER", job.V, found, flush=True)
print("WAITED", long.result(), flush=True)
time.sleep(999)
"""

OTHER_JOB = """
import os, time
V = {value}
def f(x):
    return {value}
def wait(flag):
    while not os.path.exists(flag):
        time.sleep(0.02)
    return {value}
"""


def test_each_of_two_watches_has_its_own_code_and_its_tasks(watch, cluster):
    watched = watch()
    other, flag = Project(cluster.hides / "other"), cluster.folder / "flag"

    def save(package, value):
        other.save(f"src/{package}/job.py", OTHER_JOB.format(value=repr(f"{package}{value}")))

    save("pkg", 1)
    other.script(OTHER_MAIN.format(package="pkg", flag=str(flag)))
    theirs = Watched(other, cluster)
    try:
        # A worker can import only one of two that have the same name.
        theirs.until("pkg is also pushed by .+: rename it, or use a cluster of your own")
        watched.save(2)
        watched.until(r"RESULT 2 \[\(2, 'm'\)\] 2")
        (other / "src/pkg").rename(other / "src/mine")
        save("mine", 2)
        other.script(OTHER_MAIN.format(package="mine", flag=str(flag)))
        theirs.until("OTHER mine2 {'mine2'}")
        for value in (3, 4):
            watched.save(value)
            save("mine", value)
            theirs.until(f"OTHER mine{value} {{'mine{value}'}}")
            watched.until(rf"RESULT {value} \[\({value}, 'm'\)\] 2")
        watched.save(5)
        watched.until(r"RESULT 5 \[\(5, 'm'\)\] 2")
        flag.touch()
        theirs.until("WAITED mine4")
        assert "no worker yet" not in watched.text + theirs.text  # while the other restarts all
    finally:
        theirs.close()


@pytest.fixture
def pushing(cluster):
    pushing = Pushing(cluster)
    yield pushing
    pushing.close()


ON_ALL = "set(client.run(lambda: __import__('shared').V).values())"


def test_modules_of_one_name_come_from_the_watch_that_is_there(cluster, pushing, colleague):
    roots = {name: Project(cluster.hides / name).save("src/shared.py", f"V = {name!r}\n").parent for name in ("a", "b")}
    for _ in range(2):  # the second time the workers have what one of them sends
        said = pushing.at_once(**roots)
        assert sorted(one[:7] for one in said.values()) == ["2 of 2 ", "refused"], said
    pushing.at_once(a=roots["a"])
    pushing.at_once(b=roots["b"])
    assert colleague.ask(ON_ALL) == "{'b'}"
    pushing.at_once(a=roots["a"])
    assert colleague.ask(ON_ALL) == "{'a'}"


PROGRAM = """
import sys, time
sys.path.insert(0, "src")
from distributed import Client
from ipy_autorestart import restart_on_change
import pkg.job
client = Client(sys.argv[1])
restart_on_change("src", enabled=True, cluster=client)
held = client.submit(pkg.job.f, 1)
print("RESULT", held.key, held.result(), flush=True)
time.sleep(999)
"""


def test_a_program_restarts_itself_when_each_worker_has_its_code(project, cluster):
    project.script(PROGRAM)
    program = Job(project, cluster, program=[sys.executable, "main.py", cluster.address])
    try:
        keys = [program.until(r"RESULT (\S+) \(1, 'm'\)")]
        for value in (2, 3):
            program.save(value)
            keys.append(program.until(rf"RESULT (\S+) \({value}, 'm'\)"))
        assert len(set(keys)) == 3
    finally:
        program.close()
