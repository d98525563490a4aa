"""What memory is left, as the system tells it, and whether that is short."""

import os

import psutil
import pytest

from ipy_autorestart.memory import ENDED_FIRST, available_bytes, expose, groups_of, is_short, rooms_of

GB = 1 << 30


@pytest.fixture
def system(tmp_path):
    """Make files as the system has them: a machine with 100 GB, in it a control group with a limit, and one in that."""

    def make(available, *, most=10 * GB, used=0, cache=0, group="0::/outer/inner\n"):
        for name, text in {
            "proc/meminfo": f"MemTotal: {100 << 20} kB\nMemFree: 1 kB\nMemAvailable: {available >> 10} kB\n",
            "proc/self/cgroup": group,
            "groups/outer/memory.max": f"{most}\n",
            "groups/outer/memory.current": f"{used}\n",
            "groups/outer/memory.stat": f"anon 1\ninactive_file {cache // 2}\nactive_file {cache // 2}\n",
            "groups/outer/inner/memory.max": "max\n",
            "groups/outer/inner/memory.current": f"{used}\n",
        }.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(tmp_path / "proc"), str(tmp_path / "groups")

    return make


def test_memory_is_short_when_little_is_available(system):
    assert not is_short(*system(6 * GB))
    assert is_short(*system(4 * GB))


def test_memory_is_short_when_a_control_group_comes_near_its_limit(system):
    assert not is_short(*system(50 * GB, used=9 * GB))
    assert is_short(*system(50 * GB, used=10 * GB - 1))
    assert not is_short(*system(50 * GB, used=10 * GB - 1, cache=4 * GB))  # of which it gives some back
    assert not is_short(*system(50 * GB, used=10 * GB - 1, most="max"))
    assert not is_short(*system(50 * GB, used=10 * GB - 1, group="1:memory:/outer/inner\n"))  # version 1


def test_where_nothing_is_told_memory_is_not_short(tmp_path):
    assert not is_short(str(tmp_path), str(tmp_path))


def test_the_system_of_the_test_can_be_asked():
    is_short()


def test_no_more_is_available_than_there_is():
    assert 0 < available_bytes() <= psutil.virtual_memory().total


@pytest.fixture
def mount(tmp_path):
    """Folders of cgroups, version 2, with nothing in them."""
    (tmp_path / "user/app").mkdir(parents=True)
    return tmp_path


def write(group, **contents):
    for name, content in contents.items():
        (group / f"memory.{name}").write_text(f"{content}\n")


def left(group):
    return [free for free, _ in rooms_of(str(group))]


def test_a_group_may_have_what_its_limits_leave(mount):
    write(mount, max="max", high="max", current=500, stat="anon 1\ninactive_file 70\nactive_file 9")
    assert left(mount) == []
    write(mount, max=1000)
    assert left(mount) == [570]
    write(mount, high=900)
    assert sorted(left(mount)) == [470, 570]
    assert left(mount / "user") == []


def test_a_group_of_version_1_may_have_what_its_limit_leaves(mount):
    write(mount, limit_in_bytes=1000, usage_in_bytes=500, stat="inactive_file 1\ntotal_inactive_file 70")
    assert left(mount) == [570]


def test_each_group_around_a_process_counts(mount):
    def found(lines):
        return [os.path.relpath(folder, mount) for folder in groups_of(lines, str(mount))]

    assert found("0::/user/app\n") == ["user/app", "user", "."]
    assert found("0::/\n") == ["."]
    assert found("0::/docker/of/outside\n") == ["."]
    assert found("3:cpu:/user\n2:name=systemd:/user:x\n") == []
    (mount / "memory/user").mkdir(parents=True)
    assert found("4:memory:/user/app\n3:cpu:/user\n") == ["memory/user", "memory"]
    assert found("4:cpu,memory:/user\n") == ["memory/user", "memory"]
    (mount / "unified/user").mkdir(parents=True)
    assert found("0::/user\n") == ["user", ".", "unified/user", "unified"]


def test_a_process_can_be_the_first_to_be_ended_and_one_as_this():
    def order(pid):
        with open(f"/proc/{pid}/oom_score_adj") as file:
            return int(file.read())

    begin, go = os.pipe()
    child = os.fork()
    if not child:
        os.read(begin, 1)
        os._exit(0)
    try:
        expose(child, ENDED_FIRST)
        assert order(child) == ENDED_FIRST
        expose(child, None)
        assert order(child) == order(os.getpid())
    finally:
        os.write(go, b".")
        os.waitpid(child, 0)
        os.close(begin)
        os.close(go)
    expose(child, ENDED_FIRST)  # it is gone
