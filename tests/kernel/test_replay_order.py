"""Cells run again, as requests to a kernel that is none."""

import asyncio
import contextlib
import os
import signal
import types

import pytest

from ipy_autorestart.ipython.ledger import Cell, Ledger, Rerun, chosen, gone_back
from ipy_autorestart.kernel.replay import InputNeeded, Replay
from ipy_autorestart.protocol.messages import Reran
from ipy_autorestart.reexec.interrupts import Interrupts
from ipy_autorestart.wire.messages import OWN


class FakeSession:
    """Serializes nothing, and keeps what is published."""

    def __init__(self):
        self.sent = []
        self.waits = []  # of clears

    def serialize(self, message, ident):
        return [ident, message]

    def send(self, stream, message, content=None, parent=None, ident=None):
        kind = message if isinstance(message, str) else message["header"]["msg_type"]
        if kind == "clear_output":
            self.waits.append(content["wait"])
        self.sent.append((kind, parent if isinstance(message, str) else {"header": message["parent_header"]}))


class FakeKernel:
    """Knows the request of the code that runs, asks at once, and keeps the inputs that are published."""

    def __init__(self):
        self.parent = {}
        self.published = []

    def get_parent(self, channel):
        assert channel == "shell"
        return self.parent

    def _publish_execute_input(self, *args):
        self.published.append(args)

    def raw_input(self, prompt=""):
        return f"asked {prompt}"

    def getpass(self, prompt="", stream=None):
        return f"asked secretly {prompt}"


class FakeGate:
    """Answers requests at once, as the test says."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.ran = []
        self.let = False
        self.on_take = lambda: None

    async def take(self):
        self.on_take()

    async def run(self, requests):
        for ident, message in requests:
            assert ident == OWN
            self.kernel.parent = message
            self.kernel._publish_execute_input("", message, 1)
            self.ran.append(message)
            await self.kernel.shell_handlers["execute_request"](message)

    async def let_cells(self, *, while_):
        self.let = True


class FakeRecorder:
    def __init__(self, *cells):
        self.ledger = Ledger(cells)
        self.error = None
        self.next = None

    def choose(self, rerun):
        return chosen(gone_back(self.ledger), rerun)

    @contextlib.contextmanager
    def again(self, cell):
        self.error = None
        yield lambda: self.error

    def go_on_from(self, number):
        self.next = number


def cell(number, code="x", error=""):
    header = {"msg_id": f"m{number}", "subshell_id": "s"}
    return Cell(f"c{number}", number, code, header, {"cellId": f"c{number}"}, 0.1, error, place=number)


@pytest.fixture(autouse=True)
def no_interrupts():
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


class Played:
    """A replay, and what has come of it."""

    def __init__(self, *cells, answer=lambda played: None, may_go_on=lambda: True):
        self.kernel = kernel = FakeKernel()
        self.shell = types.SimpleNamespace(kernel=kernel, debugger=lambda: "debugger")
        self.published = kernel.published
        kernel.shell_handlers = {"execute_request": self.execute}
        kernel.session, kernel.iopub_socket = FakeSession(), None
        self.session = kernel.session
        self.recorder = FakeRecorder(*cells)
        self.gate = FakeGate(kernel)
        self.answer = answer
        self.cleared, self.reported, self.betweens = [], [], []
        self.goes_on_elsewhere = False
        self.interrupts = Interrupts()
        replay = Replay(
            self.shell,
            self.gate,
            self.recorder,
            may_go_on=may_go_on,
            between=self.between,
            on_cleared=self.cleared.append,
            report=self.reported.append,
            interrupts=self.interrupts,
        )
        self.run = lambda rerun=Rerun.ALL: asyncio.run(replay.run(rerun))

    def of(self, kind):
        return [sent for sent in self.session.sent if sent[0] == kind]

    async def execute(self, message):
        self.answer(self)

    async def between(self):
        self.betweens.append(len(self.gate.ran))
        return self.goes_on_elsewhere


def test_each_cell_runs_as_its_own_request():
    played = Played(cell(1), cell(2))
    played.run()
    assert [message["header"] for message in played.gate.ran] == [{"msg_id": "m1"}, {"msg_id": "m2"}]
    assert [message["metadata"] for message in played.gate.ran] == [{"cellId": "c1"}, {"cellId": "c2"}]
    assert [kind for kind, _ in played.session.sent] == ["clear_output", "clear_output"]
    assert played.cleared == ["m1", "m2"]
    assert [code for code, *_ in played.published] == ["x", "x"]
    *_, last = played.reported
    assert last.what.startswith("2 cells rerun")
    assert not last.goes_on
    assert played.recorder.next == 3
    assert played.gate.let


def test_what_has_come_during_a_cell_is_taken_before_the_next_one():
    played = Played(cell(1), cell(2), cell(3), cell(4))

    def delete():
        if len(played.gate.ran) == 1:
            played.recorder.ledger = Ledger((cell(1), cell(4)))

    played.gate.on_take = delete
    played.run()
    assert [message["header"]["msg_id"] for message in played.gate.ran] == ["m1", "m4"]


SHOWS = {
    "nothing": lambda _: [],
    "a stream": lambda header: ["stream", {"text": "x"}, {"header": header}],
    "a result": lambda header: [{"header": {"msg_type": "execute_result"}, "parent_header": header}],
    "what another cell shows": lambda _: ["stream", {"text": "x"}, {"header": {"msg_id": "another"}}],
    "what belongs to none": lambda _: ["stream", {"text": "x"}],
}


@pytest.mark.parametrize("shows", SHOWS)
def test_what_a_cell_has_shown_is_cleared_just_before_what_is_new_or_in_the_end(shows):
    def answer(played):
        header = played.kernel.parent["header"]
        played.session.send(None, "status", {}, {"header": header})
        for _ in range(2):
            if message := SHOWS[shows](header):
                played.session.send(None, *message)
        played.session.send(None, "execute_reply", {}, {"header": header})

    played = Played(cell(1), answer=answer)
    send = played.session.send
    played.run()
    kinds = [kind for kind, _ in played.session.sent]
    new = {"a stream": ["stream"] * 2, "a result": ["execute_result"] * 2}.get(shows)
    if new:
        assert kinds == ["status", "display_data", "clear_output", *new, "execute_reply"], "the first keeps its height"
    else:
        assert kinds[-2:] == ["execute_reply", "clear_output"]
    assert played.session.waits == [bool(new)]
    assert played.cleared == ["m1"]
    assert played.session.send == send


def failing(*errors):
    """Return what gives the cells, one after the other, these errors."""
    coming = iter(errors)

    def answer(played):
        played.recorder.error = next(coming)

    return answer


def test_an_error_ends_it_and_the_cells_that_were_not_run_are_named_and_marked():
    played = Played(cell(1), cell(2), cell(3), answer=failing(ValueError()))
    played.run()
    assert len(played.gate.ran) == 1
    assert played.reported[-1] == Reran("cells 2–3 show old output", stopped="stopped at cell 1: ValueError")
    assert [parent["header"]["msg_id"] for _, parent in played.of("display_data")] == ["m2", "m3"]
    assert [one.old for one in played.recorder.ledger.cells] == [False, True, True]
    assert played.gate.let


def test_what_is_marked_is_marked_once():
    played = Played(cell(1), cell(2)._replace(old=True), cell(3), answer=failing(ValueError()))
    played.run()
    assert [parent["header"]["msg_id"] for _, parent in played.of("display_data")] == ["m3"]


def test_an_error_that_a_cell_had_before_ends_nothing():
    played = Played(cell(1, error="ValueError"), cell(2), answer=failing(ValueError(), None))
    played.run()
    assert len(played.gate.ran) == 2
    assert "2 cells rerun" in played.reported[-1].what
    assert played.reported[-1].what.endswith("failed as before: cell 1")
    assert played.of("display_data") == []


def test_what_was_interrupted_is_left_out_told_and_marked():
    played = Played(cell(1, error="KeyboardInterrupt"), cell(2))
    played.run()
    assert played.cleared == ["m2"]
    assert played.reported[-1].what.endswith("left out: cell 1 (interrupted)")
    assert [parent["header"]["msg_id"] for _, parent in played.of("display_data")] == ["m1"]


def interrupt(_):
    os.kill(os.getpid(), signal.SIGINT)


def interrupt_the_request(_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("answer", [interrupt, interrupt_the_request])
def test_an_interrupt_outside_of_a_cells_code_ends_it(answer):
    played = Played(cell(1), cell(2), answer=answer)
    played.run()
    assert played.reported[-1] == Reran("cell 2 shows old output", stopped="stopped before cell 2: interrupted")
    assert len(played.of("display_data")) == 1
    assert not played.interrupts.noted


def test_an_interrupt_during_the_restart_ends_it_before_the_first_cell():
    played = Played(cell(1), cell(2))
    interrupt(None)
    played.run()
    assert played.reported == [Reran("cells 1–2 show old output", stopped="stopped before cell 1: interrupted")]


def test_an_interrupt_of_the_restart_that_follows_is_kept_for_it():
    played = Played(cell(1), answer=interrupt, may_go_on=lambda: not played.gate.ran)
    played.run()
    assert played.interrupts.noted


def test_there_is_time_for_a_checkpoint_after_each_cell():
    played = Played(cell(1), cell(2))
    played.run()
    assert played.betweens == [1, 2]


def test_in_a_kernel_that_goes_on_from_a_checkpoint_between_two_cells_it_leaves_all_to_the_next():
    played = Played(cell(1), cell(2))
    played.goes_on_elsewhere = True
    played.run()
    assert len(played.gate.ran) == 1
    assert played.recorder.next is None
    assert [record.what for record in played.reported] == ["rerunning cell 1 (1 of 2)"]


def test_another_restart_ends_it_without_a_word():
    played = Played(cell(1), may_go_on=lambda: False)
    played.run()
    assert played.gate.ran == []
    assert played.reported == [Reran("")]


@pytest.mark.parametrize(("rerun", "ran"), [(Rerun.NONE, []), (Rerun.MARKED, [2])])
def test_only_chosen_cells_run(rerun, ran):
    played = Played(cell(1), cell(2, "#| rerun: true\nx"))
    played.run(rerun)
    assert [number for number in (1, 2) if f"m{number}" in played.cleared] == ran


def test_at_the_end_of_the_watch_the_cells_behind_the_running_one_are_marked():
    def cancel(_):
        raise asyncio.CancelledError

    played = Played(cell(1), cell(2), answer=cancel)
    with pytest.raises(asyncio.CancelledError):
        played.run()
    assert [parent["header"]["msg_id"] for _, parent in played.of("display_data")] == ["m2"]


def test_a_subshells_cell_beside_it_is_left_alone():
    def answer(played):
        kernel = played.kernel
        for ask in (kernel.raw_input, kernel.getpass):
            with pytest.raises(InputNeeded):
                ask("own?")
        assert played.shell.debugger() is None
        kernel.parent = other = {"header": {"msg_id": "of a subshell"}}
        assert (kernel.raw_input("x?"), kernel.getpass(prompt="y?")) == ("asked x?", "asked secretly y?")
        assert played.shell.debugger() == "debugger"
        kernel._publish_execute_input("code", other, 7)

    played = Played(cell(1), answer=answer)
    played.run()
    assert [(code, count) for code, _, count in played.published] == [("x", 1), ("code", 7)]
    assert played.cleared == ["m1"]
    assert len(played.of("clear_output")) == 1
