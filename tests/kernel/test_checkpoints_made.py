"""When a kernel makes a checkpoint, what it tells the proxy of it, and which it keeps."""

import contextlib
import os
import socket

import pytest

from ipy_autorestart.decide.change import Change, Kind
from ipy_autorestart.ipython.ledger import Cell, Ledger, gone_back, ran
from ipy_autorestart.ipython.uses import Uses
from ipy_autorestart.kernel.checkpoints import Checkpoints
from ipy_autorestart.kernel.inherited import CantCopy
from ipy_autorestart.wire.link import Keep, Link, Parked


class FakeCopy:
    """Makes no copy: this very process stands for all of them."""

    def __init__(self):
        self.error = None
        self.closed = False

    def fork(self, live, *, repair, apart, within):
        assert apart
        if self.error:
            raise self.error
        return os.getpid()

    def close(self):
        self.closed = True


class FakeTrust:
    def __init__(self):
        self.before, self.after = (), ()
        self.known = []

    def doubts(self, known, baseline):
        self.known.append(known)
        return self.before

    def repair(self):
        return ()

    def survivors(self):
        return self.after


class Made:
    def __init__(self, uses):
        self.copy, self.trust, self.uses, self.ledger = FakeCopy(), FakeTrust(), uses, Ledger()
        self.checkpoints = Checkpoints(self.copy, self.trust, uses)  # type: ignore[arg-type]  # enough of them
        self.link, self.proxy = (Link(one) for one in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))

    def run(self, seconds=1.0, error="", key=""):
        number = self.ledger.executions + 1
        self.ledger = ran(self.ledger, Cell(key or f"c{number}", number, "x", {}, {}, seconds, error))

    def make(self):
        assert self.checkpoints.make(self.link, self.ledger, supervisors=[7], fds=[8], leave=lambda: None) is None

    def told(self):
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                word, fds = self.proxy.receive(wait=False)
                found.append(word)
                for fd in fds:
                    os.close(fd)
        return found


@pytest.fixture
def made():
    uses = Uses(is_fresh=True)
    made = Made(uses)
    yield made
    uses.close()
    made.link.close()
    made.proxy.close()


def test_one_is_due_after_work_that_came_to_its_end(made):
    def is_due():
        return made.checkpoints.is_due(made.ledger)

    assert not is_due()
    made.run(0.1)
    assert not is_due()
    made.run(0.1)
    made.run(0.1, error="ValueError")
    assert not is_due()
    made.run(0.1)
    assert is_due()
    made.make()
    assert not is_due()
    made.run(0.2)
    assert not is_due()
    made.run(0.2)
    assert is_due()


def test_cells_that_have_yet_to_run_again_are_no_work(made):
    made.run()
    assert not made.checkpoints.is_due(gone_back(made.ledger))


def test_the_proxy_is_told_of_it_and_what_is_ours_is_known(made):
    made.run(2.0)
    made.make()
    assert made.told() == [Parked(1, os.getpid())]
    [one] = made.checkpoints.made
    assert (one.number, one.uses, one.seconds, one.after, one.pid) == (1, len(made.uses), 2.0, 1, os.getpid())
    [known] = made.trust.known
    assert {7} <= known.children
    assert known.fds == {8, made.link.fileno()}


@pytest.mark.parametrize("when", ["before", "after"])
def test_it_is_said_why_there_is_none(made, when):
    setattr(made.trust, when, ("5 threads of polars",))
    made.run()
    made.make()
    assert made.told() == []
    assert made.checkpoints.made == ()
    assert made.checkpoints.why_none == {1: "5 threads of polars"}
    setattr(made.trust, when, ())
    assert not made.checkpoints.is_due(made.ledger)  # not at once: to look costs something, too
    made.checkpoints._not_before = 0
    assert not made.checkpoints.is_due(made.ledger)  # nor is a cell to wait for it twice
    made.run(0)
    assert made.checkpoints.is_due(made.ledger)


def test_a_copy_that_can_not_be_made_is_no_checkpoint(made):
    made.copy.error = CantCopy("a thread of the kernel is busy")
    made.run()
    made.make()
    assert (made.told(), made.checkpoints.made) == ([], ())
    assert "a thread of the kernel is busy" in made.checkpoints.why_none[1]


def test_what_a_signal_handler_raises_meanwhile_leaves_no_checkpoint_behind(made):
    made.copy.error = SystemExit()
    made.run()
    with pytest.raises(SystemExit):
        made.make()
    assert (made.told(), made.checkpoints.made) == ([], ())
    made.copy.error = None
    made.run(0)
    assert made.checkpoints.is_due(made.ledger)  # for the work before, too


def test_it_goes_back_to_before_the_first_use(made, tmp_path):
    def use(name):
        (tmp_path / name).write_text("x")
        open(tmp_path / name).close()
        return Change(str(tmp_path / name), Kind.MODIFIED)

    made.run()
    made.make()
    first = use("first.py")
    made.run()
    made.make()
    second = use("second.py")
    right_for = made.checkpoints.right_for
    assert [right_for([one]) for one in (first, second)] == [(1,), (2, 1)]
    assert right_for([first, second]) == (1,)
    assert right_for([Change(str(tmp_path / "nobody.py"), Kind.MODIFIED)]) == (2, 1)
    assert right_for([Change(str(tmp_path / "data.bin"), Kind.MODIFIED)]) == ()
    assert right_for([]) == ()


def test_only_what_can_be_of_use_is_kept(made, tmp_path):
    for _ in range(3):
        made.run()
        made.make()
    (tmp_path / "used").touch()
    open(tmp_path / "used").close()
    made.run()
    made.make()
    made.told()
    made.checkpoints.sort_out(made.link, lambda: made.uses.places(lambda path: path == str(tmp_path / "used")))
    assert made.told() == [Keep((3, 4), likely=3)]
    assert made.checkpoints.numbers == (4, 3)
    made.checkpoints.sort_out(made.link, lambda: pytest.fail("nothing is new"))
    made.checkpoints.close(made.link)
    assert made.told() == [Keep(())]
    assert made.copy.closed


def test_one_that_has_died_is_forgotten(made):
    made.run()
    made.make()
    made.copy.fork = lambda *_, **__: 2**22 + 1  # no process has such a number
    made.run()
    made.make()
    made.checkpoints.sort_out(made.link, set)
    assert made.checkpoints.numbers == (1,)
