"""Pipes between a run and the supervisor, and the reports that come through one."""

import os

import pytest
from starting import program

from ipy_autorestart.decide.use import Used
from ipy_autorestart.script.pipes import DRAIN_READS, READ_BYTES, Pipe, ReportPipe, ends


class Kept(Pipe):
    """A pipe that keeps what is read."""

    def __init__(self, fd):
        super().__init__(fd)
        self.data = []

    def take_bytes(self, data):
        self.data.append(data)


@pytest.fixture
def pipe():
    read, write = os.pipe()
    kept = Kept(read)
    yield kept, write
    kept.close()
    os.close(write)


def test_reading_never_waits_and_says_whether_anything_came(pipe):
    kept, write = pipe
    assert kept.read() is False
    os.write(write, b"ab")
    assert kept.read() is True
    assert kept.drain() is False
    assert kept.data == [b"ab"]


def test_it_closes_at_the_end_of_what_was_written():
    read, write = os.pipe()
    kept = Kept(read)
    os.write(write, b"ab")
    os.close(write)
    assert kept.drain() is True
    assert kept.data == [b"ab", b""]
    assert not kept.is_open
    kept.close()  # once more


class Endless(Pipe):
    """A pipe whose writer never stops."""

    reads = 0

    def read(self):
        self.reads += 1
        return True


def test_a_writer_that_goes_on_does_not_keep_the_reader(pipe):
    endless = Endless(os.dup(pipe[1]))
    assert endless.drain() is True
    assert endless.reads == DRAIN_READS
    assert DRAIN_READS * READ_BYTES >= 1 << 20  # the largest pipe that anybody may ask for
    endless.close()


def open_count():
    return len(os.listdir("/dev/fd"))


def test_a_runs_own_ends_are_closed_here_when_it_has_started():
    before = open_count()
    with ends(program("main.py")) as (ours, theirs):
        assert len(theirs.stdio) == 3
        assert len(theirs.others) == 2
        assert not any(map(os.get_inheritable, (*theirs.stdio, *theirs.others)))
    assert open_count() == before + 4
    ours.close()
    assert open_count() == before


def test_all_ends_are_closed_when_the_start_fails():
    before = open_count()
    with pytest.raises(OSError, match="no such"), ends(program("main.py")):
        raise OSError("no such program")
    assert open_count() == before


def test_a_run_with_streams_of_ours_is_not_read():
    with ends(program("main.py", displays="")) as (ours, theirs):
        assert ours.displays is None
        assert len(theirs.others) == 1
    ours.close()


@pytest.fixture
def reports():
    read, write = os.pipe()
    reports = ReportPipe(read)
    yield reports
    reports.close()
    os.close(write)


def test_what_was_read_and_written_is_known_once_the_shim_says_that_it_sees_all(reports):
    assert reports.used == Used(None, frozenset())
    for data in (b"b12.5\0!", b"\0r/p/a.py\0w/p/out", b".txt\0mpkg.b\0"):
        reports.take_bytes(data)
    assert reports.begun_at == 12.5
    assert reports.used == Used(frozenset({"/p/a.py"}), frozenset({"/p/out.txt"}), frozenset({"pkg.b"}))


def test_a_run_that_starts_other_programs_may_use_anything(reports):
    reports.take_bytes(b"b1\0!\0r/p/a.py\0*\0")
    assert reports.used == Used(None, frozenset())
    assert reports.read_below == {"/p/a.py"}


def test_imports_behind_a_change_of_the_environment_are_told_from_others(reports):
    reports.take_bytes(b"i/lib/one.pyc\0eTHREADS\0i/lib/two.pyc\0eMORE\0")
    assert reports.imported == ["/lib/one.pyc", "/lib/two.pyc"]
    assert reports.late == {"/lib/two.pyc"}
    assert reports.changes_environment == "THREADS"
