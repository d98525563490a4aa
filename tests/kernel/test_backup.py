"""The state that the proxy has of a kernel as cells end."""

import contextlib
import os
import socket

import pytest
from carried import PROCESS

from ipy_autorestart.ipython.ledger import Cell, Ledger, from_plain, ran, to_plain
from ipy_autorestart.kernel.backup import ADDED_MAX, Backups, News
from ipy_autorestart.reexec.state import Carried, KernelState
from ipy_autorestart.wire import at_work
from ipy_autorestart.wire.link import Backup, Link, Working


def state_with(ledger):
    own = KernelState(
        connection_file="",
        connection={},
        owns_connection_file=False,
        plain_debugger=False,
        early_embed=False,
        subshells=(),
        listeners=(),
        requests={},
        gaps=(),
        cells=None if ledger is None else to_plain(ledger),
    )
    return Carried(PROCESS, (), own)


class Given:
    """Backups, what it puts off, and what the proxy has."""

    def __init__(self):
        self.ours, self.theirs = (Link(one) for one in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        self.later, self.count, self.file, self.ledger = [], 0, -1, Ledger()
        self.backups = Backups(self.ours, self._state, call_later=lambda _, act: self.later.append(act))
        self.at_work = self._at_work()

    def _at_work(self):
        word, [fd] = self.theirs.receive()
        assert word == Working()
        return fd

    def renew(self):
        self.backups.renew(self.ours)
        os.close(self.at_work)
        self.at_work = self._at_work()

    def _state(self):
        self.count += 1
        return state_with(self.ledger)

    def run(self, key, code="", *, watches=("one",), others=()):
        self.ledger = ran(self.ledger, Cell(key, 1, code, {}, {}, 0.1))
        self.note(watches=watches, others=others)

    def note(self, *, watches=("one",), others=()):
        self.backups.note(News(self.ledger, watches, others))

    def give(self):
        for act in self.later:
            act()
        self.later.clear()

    def carried(self):
        """Return what the proxy would have a kernel go on from now."""
        with contextlib.suppress(BlockingIOError):
            while True:
                word, [file] = self.theirs.receive(wait=False)
                assert word == Backup()
                if self.file >= 0:
                    os.close(self.file)
                self.file = file
        os.lseek(self.file, 0, os.SEEK_SET)
        return Carried.read(os.dup(self.file)).own

    def known(self):
        return from_plain(self.carried().cells)

    def close(self):
        for fd in (self.file, self.at_work):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def given():
    given = Given()
    yield given
    given.close()
    given.backups.leave()
    given.ours.close()
    given.theirs.close()


def test_the_first_state_is_put_off_for_the_proxy_has_that_of_the_kernel_before(given):
    given.run("a")
    with pytest.raises(BlockingIOError):
        given.theirs.receive(wait=False)
    given.run("b")
    assert len(given.later) == 1
    given.give()
    assert (given.known(), given.count) == (given.ledger, 1)


def test_what_cells_have_run_since_is_there_at_once_and_nobody_is_told(given):
    given.run("a")
    given.give()
    for key in "bcbda":
        given.run(key)
        assert given.known() == given.ledger
    assert (given.count, given.later) == (1, [])


def test_what_was_put_off_is_given_before_the_next_request_which_may_end_the_kernel(given):
    given.backups.before_request()
    given.run("a")
    assert given.count == 0
    given.backups.before_request()
    given.backups.before_request()
    given.give()
    assert (given.known(), given.count) == (given.ledger, 1)


def test_all_is_given_anew_when_there_is_other_news(given):
    given.run("a")
    given.give()
    given.note(others=("a comm",))
    given.run("b", others=("a comm",))
    assert len(given.later) == 1
    given.give()
    assert (given.known(), given.count) == (given.ledger, 2)
    given.note(watches=("one", "another"), others=("a comm",))
    given.give()
    assert given.count == 3


def test_the_end_of_a_watch_is_told_at_once(given):
    """Else the next kernel would take up a watch that is gone, if this one died within that moment."""
    given.note()
    given.note(watches=())
    assert (given.known(), given.count) == (Ledger(), 1)


def test_no_more_is_added_than_is_worth_it(given):
    given.run("a")
    given.give()
    given.run("b", "#" * ADDED_MAX)
    assert [cell.key for cell in given.known().cells] == ["a"]
    given.give()
    assert (given.known(), given.count) == (given.ledger, 2)


def test_what_a_kernel_was_adding_when_it_died_is_left_out(given):
    given.run("a")
    given.give()
    given.run("b")
    whole = given.ledger
    given.run("c")
    [_, file] = given.backups.fds()
    os.ftruncate(file, os.fstat(file).st_size - 1)
    assert given.known() == whole


def test_where_no_cell_runs_again_none_is_told(given):
    given.backups._state = lambda: state_with(None)
    given.run("a")
    given.give()
    given.run("b")
    assert given.carried().cells is None


def test_a_copy_has_a_state_of_its_own(given):
    given.run("a")
    given.give()
    before = given.ledger
    assert given.known() == before
    given.run("b")
    given.backups.leave()
    assert list(given.backups.fds()) == []
    given.give()  # what the other one had put off
    given.renew()
    given.run("c")
    assert len(given.later) == 1
    given.give()
    assert (given.known(), given.count) == (given.ledger, 2)


def test_a_state_that_cannot_be_told_is_no_error_of_the_cell(given):
    given.backups._state = lambda: 1 / 0
    given.run("a")
    given.give()
    with pytest.raises(BlockingIOError):
        given.theirs.receive(wait=False)
    given.backups._state = given._state
    given.run("b")
    given.give()
    assert given.known() == given.ledger


def test_a_copy_of_the_kernel_tells_by_a_file_of_its_own_what_it_is_at_work_on(given):
    given.backups.at_work.begin("a", again=False)
    ours, theirs = (Link(one) for one in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    before = given.backups.fds()
    given.backups.leave()
    assert not any(map(_is_open, before))
    given.backups.renew(ours)
    _, [fd] = theirs.receive()
    assert (at_work.read(given.at_work), at_work.read(fd)) == (at_work.Work({"a": False}), None)
    given.backups.at_work.begin("b", again=True)
    assert (at_work.read(given.at_work), at_work.read(fd)) == (at_work.Work({"a": False}), at_work.Work({"b": True}))
    os.close(fd)
    ours.close()
    theirs.close()


def _is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
