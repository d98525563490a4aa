"""Whether memory is short, as the system tells it."""

import os

import pytest

from ipy_autorestart.proxy.memory import expose, is_short

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


def test_a_process_can_be_the_first_to_be_ended_and_one_as_any_other():
    def order(pid):
        with open(f"/proc/{pid}/oom_score_adj") as file:
            return int(file.read())

    begin, go = os.pipe()
    child = os.fork()
    if not child:
        os.read(begin, 1)
        os._exit(0)
    try:
        expose(child, really=True)
        assert order(child) == 1000
        expose(child, really=False)
        assert order(child) == order(os.getpid())
    finally:
        os.write(go, b".")
        os.waitpid(child, 0)
        os.close(begin)
        os.close(go)
    expose(child, really=True)  # it is gone
