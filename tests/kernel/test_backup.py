"""The state that the proxy is given as cells end."""

import os
import socket

import pytest
from carried import PROCESS

from ipy_autorestart.ipython.ledger import Ledger
from ipy_autorestart.kernel import backup
from ipy_autorestart.kernel.backup import Backups
from ipy_autorestart.reexec.state import Carried, ProgramState
from ipy_autorestart.wire.link import Backup, Link


class Given:
    """Backups, what it puts off, and what the proxy gets."""

    def __init__(self):
        ours, theirs = (Link(one) for one in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        self.links, self._theirs, self.later, self.count = (ours, theirs), theirs, [], 0
        self.backups = Backups(ours, self._state, call_later=lambda _, act: self.later.append(act))

    def _state(self):
        self.count += 1
        return Carried(PROCESS, (), ProgramState(pid=self.count, inherited=(), kept=(), since_ns=0))

    def received(self):
        word, [file] = self._theirs.receive(wait=False)
        assert word == Backup()
        os.lseek(file, 0, os.SEEK_SET)
        return Carried.read(file).own.pid


@pytest.fixture
def given():
    given = Given()
    yield given
    for link in given.links:
        link.close()


@pytest.fixture
def rarely(monkeypatch):
    """Whatever the machine does meanwhile, nothing is given at once."""
    monkeypatch.setattr(backup, "SHARE", 10**9)


@pytest.mark.usefixtures("rarely")
def test_the_first_state_is_put_off_for_the_proxy_has_that_of_the_kernel_before(given):
    given.backups.note(Ledger(), ("one",))
    with pytest.raises(BlockingIOError):
        given.received()
    [act] = given.later
    act()
    assert given.received() == 1


def test_a_state_is_given_at_once_and_the_same_only_once(given, monkeypatch):
    monkeypatch.setattr(backup, "SHARE", 0)
    ledger = Ledger()
    given.backups.note(ledger, ("one",))
    given.backups.note(ledger, ("one",))
    assert (given.received(), given.later) == (1, [])
    with pytest.raises(BlockingIOError):
        given.received()


def test_it_is_news_when_others_watch(given, monkeypatch):
    monkeypatch.setattr(backup, "SHARE", 0)
    ledger = Ledger()
    for watches in (("one",), ("one",), ()):
        given.backups.note(ledger, watches)
    assert (given.received(), given.received(), given.count) == (1, 2, 2)


@pytest.mark.usefixtures("rarely")
def test_what_follows_too_closely_is_put_off_and_given_once(given):
    for _ in range(3):
        given.backups.note(Ledger(), ("one",))
    [act] = given.later
    act()
    assert given.received() == 1
    given.backups.note(Ledger(), ("one",))
    assert len(given.later) == 2


@pytest.mark.usefixtures("rarely")
def test_what_was_put_off_is_given_before_the_next_request_which_may_end_the_kernel(given, monkeypatch):
    given.backups.before_request()
    given.backups.note(Ledger(), ("one",))
    monkeypatch.setattr(backup, "SHARE_BEFORE", 10**9)  # one of a flood
    given.backups.before_request()
    assert given.count == 0
    monkeypatch.setattr(backup, "SHARE_BEFORE", 0)
    given.backups.before_request()
    given.backups.before_request()
    [act] = given.later
    act()
    assert (given.received(), given.count) == (1, 1)


@pytest.mark.usefixtures("rarely")
def test_a_state_that_cannot_be_told_is_no_error_of_the_cell(given):
    given.backups._state = lambda: 1 / 0
    given.backups.note(Ledger(), ("one",))
    given.later[0]()
    with pytest.raises(BlockingIOError):
        given.received()


@pytest.mark.usefixtures("rarely")
def test_the_end_of_a_watch_is_told_at_once(given):
    """Else the next kernel would take up a watch that is gone, if this one died within that moment."""
    ledger = Ledger()
    given.backups.note(ledger, ("one",))
    given.backups.note(ledger, ())
    assert given.received() == 1
