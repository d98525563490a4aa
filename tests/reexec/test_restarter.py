"""The restarters' common part: SIGHUP is taken while somebody needs it, and a pending restart is handed over once."""

import os
import signal
import threading

import pytest
from fakes import FakeSupervisor

from ipy_autorestart.protocol.messages import Exited, Hangup, Refused
from ipy_autorestart.protocol.options import BadInput
from ipy_autorestart.reexec.restarter import Restarter
from ipy_autorestart.reexec.start import CantRestart


class FakeHandover:
    def __init__(self):
        self.handed_over = []
        self.held = []

    def hold_hangups(self):
        self.held.append("those to come")

    def hold_hangup(self):
        self.held.append("one that has come")

    def exec(self, supervisors, *, hangup_ignored):
        self.handed_over.append((list(supervisors), hangup_ignored))


class FakeRestarter(Restarter):
    """One that restarts when it is told to."""

    def __init__(self, supervisors):
        super().__init__(supervisors)
        self.noted = 0
        self.handover = FakeHandover()
        self.refusal = None

    def describe(self):
        return "the test"

    def _hang_up(self, _):
        self.noted += 1
        self._pending = 1.0

    def restart(self):
        self._hand_over(self._prepare)

    def _prepare(self):
        if self.refusal:
            raise CantRestart(self.refusal)
        return self.handover


@pytest.fixture
def supervisor():
    return FakeSupervisor()


@pytest.fixture
def restarter(supervisor):
    restarter = FakeRestarter([supervisor])
    yield restarter
    restarter.close()


def hang_up():
    os.kill(os.getpid(), signal.SIGHUP)


def handler(*_):
    raise AssertionError("SIGHUP was not taken")


@pytest.fixture
def before():
    """A handler of somebody else's."""
    previous = signal.signal(signal.SIGHUP, handler)
    yield handler
    signal.signal(signal.SIGHUP, previous)


def test_the_handler_is_set_before_what_needs_it_begins(restarter, supervisor):
    restarter.arm(supervisor, then=hang_up)
    assert restarter.noted == 1


def test_the_last_one_that_disarms_gives_the_handler_back(before, restarter, supervisor):
    other = FakeSupervisor()
    restarter.arm(supervisor)
    restarter.arm(other)
    restarter.disarm(supervisor)
    restarter.disarm(supervisor)
    hang_up()
    assert restarter.noted == 1
    restarter.disarm(other)
    assert signal.getsignal(signal.SIGHUP) is before


def test_what_is_armed_for_a_handler_of_before_gives_that_back(before, restarter, supervisor):
    restarter.arm(supervisor, previous=signal.SIG_IGN)
    restarter.disarm(supervisor)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_closing_disarms_for_all(before, restarter, supervisor):
    restarter.arm(supervisor)
    restarter.arm(FakeSupervisor())
    restarter.close()
    assert signal.getsignal(signal.SIGHUP) is before


def test_another_thread_leaves_the_handler_to_the_main_one(before, restarter, supervisor):
    restarter.arm(supervisor)
    thread = threading.Thread(target=restarter.disarm, args=[supervisor])
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGHUP) != before
    restarter.close()
    assert signal.getsignal(signal.SIGHUP) is before


def test_a_pending_restart_can_be_withdrawn_once(restarter, supervisor):
    restarter.arm(supervisor)
    assert not restarter.withdraw()
    hang_up()
    assert restarter.withdraw()
    assert not restarter.withdraw()


def test_a_hangup_that_comes_while_it_is_handed_over_is_left_to_who_follows(restarter, supervisor):
    restarter.arm(supervisor)
    hang_up()
    restarter.restart()
    assert restarter.handover.held == ["those to come"]
    supervisor.send = lambda record: hang_up() if record == Exited() else None
    restarter.restart()
    assert restarter.handover.held[1:] == ["those to come", "one that has come"]


def test_a_hand_over_is_reported_and_takes_all_supervisors_along(before, restarter, supervisor):
    owner = FakeSupervisor()
    restarter.arm(owner, previous=signal.SIG_IGN)
    hang_up()
    restarter.restart()
    assert owner.reported == [Hangup(), Exited()]
    assert supervisor.reported == []  # it runs a script, say
    assert restarter.handover.handed_over == [([supervisor], True)]
    assert not restarter.withdraw()


def test_a_refusal_is_reported_and_all_goes_on(restarter, supervisor):
    restarter.arm(supervisor)
    restarter.refusal = "no room"
    restarter.restart()
    assert supervisor.reported == [Hangup(), Refused("no room")]
    assert restarter.handover.handed_over == []
    hang_up()
    assert restarter.noted == 1


def test_hangups_that_were_ignored_still_are_but_for_our_own(before, restarter, supervisor):
    restarter.arm(supervisor, previous=signal.SIG_IGN)
    hang_up()
    assert restarter.noted == 0
    supervisor.hung_up = True
    hang_up()
    assert restarter.noted == 1
    hang_up()
    assert restarter.noted == 1


def test_one_that_comes_again_is_the_same(before, restarter, supervisor):
    restarter.arm(supervisor, previous=signal.SIG_IGN)
    restarter._hang_up_again()
    assert restarter.noted == 1
    hang_up()
    assert restarter.noted == 1


def test_an_error_is_reported_and_never_raised_where_the_program_is_interrupted(restarter, supervisor, caplog):
    restarter.arm(supervisor)
    supervisor.has_hung_up = None  # a mistake of ours
    hang_up()
    assert supervisor.reported == [Refused("TypeError: 'NoneType' object is not callable")]
    assert "SIGHUP could not be handled" in caplog.text


def test_one_without_checkpoints_says_so(restarter):
    assert restarter.checkpoints() == ()
    with pytest.raises(BadInput, match=r"^--back: there is no checkpoint; to have some, watch with"):
        restarter.go_back(None)
    with pytest.raises(BadInput, match="there is no checkpoint before cell 3"):
        restarter.go_back(3)


def test_a_forked_child_goes_as_ever(before, restarter, supervisor):
    restarter.arm(supervisor, previous=signal.SIG_DFL)
    supervisor.hung_up = True
    child = os.fork()
    if not child:
        hang_up()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGHUP
    assert restarter.noted == 0
