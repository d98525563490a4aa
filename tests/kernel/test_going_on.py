"""A kernel that was made of a checkpoint knows what has become of the one that has ended."""

import os
import time
from types import SimpleNamespace

import pytest
from carried import PROCESS
from jupyter_client.session import Session

from ipy_autorestart.ipython.ledger import Cell, Ledger, to_plain
from ipy_autorestart.kernel.going_on import GoingOn, rehearsal
from ipy_autorestart.kernel.parked import Turn
from ipy_autorestart.reexec.state import Carried, KernelState
from ipy_autorestart.wire.link import TakeOver, TookOver


def cell(key, number):
    return Cell(key, number, "x", {}, {}, 1.0, place=number, settled=True, last=number)


THEN = Ledger((cell("load", 1),), 1)
NOW = Ledger((cell("load", 1), cell("use", 2), cell("die", 3)), 3)


class FakeLink:
    def __init__(self):
        self.sent = []

    def send(self, word):
        self.sent.append(word)


def state_with(cells, *, undoes=False):
    return KernelState(
        connection_file="",
        connection={},
        owns_connection_file=False,
        plain_debugger=False,
        early_embed=False,
        subshells=(),
        listeners=(),
        requests={},
        gaps=(),
        cells=cells and to_plain(cells),
        left_at=time.monotonic() - 600,
        undoes=undoes,
    )


def going_on(*, undoes=False, cells=NOW, **word):
    carrier = os.memfd_create("state")
    Carried(PROCESS, (), state_with(cells, undoes=undoes)).write(carrier)
    return GoingOn(Turn(TakeOver(**word), [carrier], FakeLink()))


def test_it_tells_the_cells_of_then_from_those_since():
    told = going_on().told(THEN)
    assert [(one.key, one.last) for one in told.cells] == [("load", 1), ("use", 0), ("die", 0)]
    assert [one.key for one in told.kept] == ["load"]


def test_the_cell_that_the_other_died_of_is_forgotten():
    told = going_on(died="SIGSEGV", gone=("die",)).told(THEN)
    assert [one.key for one in told.cells] == ["load", "use"]


def test_it_knows_its_own_past_where_nothing_was_told():
    assert going_on(cells=None).told(THEN) == THEN


@pytest.mark.parametrize(
    ("facts", "may"), [({}, True), ({"undoes": True}, False), ({"rerun": False, "died": "SIGKILL"}, False)]
)
def test_nothing_runs_again_that_was_undone_or_has_killed(facts, may):
    assert going_on(**facts).may_rerun is may


def test_people_are_told_what_is_kept_and_what_is_left():
    then = going_on()
    ledger = then.told(THEN)
    took, _, said = then.describe(ledger, after=1, runs_again=True).partition(", ")
    assert took.startswith("back to cell 1 in 10 min")
    assert said == "saved 1.0 s"
    assert then.describe(ledger, after=1, runs_again=False).endswith(f"{said} · cells 2–3 are to be run again")


def test_after_a_death_it_counts_from_its_own_beginning():
    then = going_on(died="SIGKILL")
    said = then.describe(then.told(THEN), after=1, runs_again=True)
    assert "SIGKILL" in said
    assert "10 min" not in said


def test_the_proxy_hears_of_it():
    then = going_on(interrupted=True)
    then.take_over()
    assert then.link.sent == [TookOver()]
    assert then.is_interrupted


@pytest.mark.parametrize("cells", [None, NOW])
def test_a_turn_can_be_rehearsed_to_no_effect(cells):
    session, publishing = Session(), SimpleNamespace(schedule=lambda act: act())
    rehearse = rehearsal(
        SimpleNamespace(session=session, iopub_thread=publishing), Carried(PROCESS, (), state_with(cells))
    )
    for _ in range(2):
        rehearse()
    assert session.message_count == 0
