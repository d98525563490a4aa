"""A target's cell: one status line, and below it what the run shows."""

from types import MappingProxyType

import pytest
from fakes import FakeKernel

from ipy_autorestart import State, Status
from ipy_autorestart.protocol.messages import Clear, Display
from ipy_autorestart.show.cell import CellScreen

HEADER = {"msg_id": "request 1"}


@pytest.fixture
def kernel():
    return FakeKernel()


@pytest.fixture
def screen(kernel):
    return CellScreen(kernel, "main.py", header=HEADER, display_id="line")


def published(kernel):
    """What was published since this was asked last, all under the header of the request."""
    news, kernel.published = kernel.published, []
    assert {request for request, _, _ in news} <= {"request 1"}
    return [(kind, content.get("text", content.get("name", ""))) for _, kind, content in news]


def test_the_status_line_is_updated_where_it_stands(kernel, screen):
    screen.open()
    screen.show(Status(State.RUNNING, runs=1, warm=False))
    (_, kind, first), (_, update, second) = kernel.published
    assert (kind, update) == ("display_data", "update_display_data")
    assert first["transient"] == second["transient"] == {"display_id": "line"}
    assert second["data"]["text/plain"] == "⟳ main.py · running · run 1"
    screen.show(Status(State.RUNNING, runs=1, warm=False, pid=8))
    assert len(kernel.published) == 2, "it reads as before"


def test_a_new_run_clears_the_cell_and_the_line_stands_above_it(kernel, screen):
    screen.begin(1)
    screen.write("stdout", "one\n")
    assert published(kernel) == [("stream", "one\n")]
    screen.begin(2)
    assert published(kernel) == [("clear_output", ""), ("display_data", "")]


def test_earlier_runs_are_kept_on_request(kernel):
    screen = CellScreen(kernel, "main.py", header=HEADER, keep=True)
    screen.begin(2)
    assert published(kernel) == [("stream", "── run 2 ──\n")]


def test_a_run_that_was_ended_within_a_line_leaves_the_next_one_a_line_of_its_own(kernel):
    screen = CellScreen(kernel, "main.py", header=HEADER, keep=True)
    screen.write("stdout", "one")
    screen.begin(2)
    assert published(kernel) == [("stream", "one"), ("stream", "\n── run 2 ──\n")]


def test_displays_of_a_run_have_names_of_their_own(kernel, screen):
    screen.display(Display({"text/plain": "a"}, display_id="x", run=3))
    screen.display(Display({"text/plain": "b"}, display_id="x", update=True, run=3))
    assert [(kind, content["transient"]["display_id"]) for _, kind, content in kernel.published] == [
        ("display_data", "line-3-x"),
        ("update_display_data", "line-3-x"),
    ]


def test_a_clear_that_waits_is_done_with_the_next_output(kernel, screen):
    screen.clear(Clear(wait=True))
    assert published(kernel) == []
    screen.write("stdout", "new\n")
    assert published(kernel) == [("clear_output", ""), ("display_data", ""), ("stream", "new\n")]
    screen.clear(Clear(wait=False))
    assert published(kernel) == [("clear_output", ""), ("display_data", "")]


def test_only_the_cell_of_the_request_shows_the_line_again(kernel, screen):
    screen.show_again("request 2")
    assert published(kernel) == []
    screen.show_again("request 1")
    assert published(kernel) == [("display_data", "")]


def test_a_new_screen_goes_on_where_the_old_one_stopped(kernel, screen):
    status = Status(State.RUNNING, runs=1, warm=False)
    screen.show(status)
    published(kernel)
    other = CellScreen(kernel, "main.py", **screen.to_state())
    other.show(status)
    assert published(kernel) == [], "nothing is new"
    other.show(status.ended("the supervisor has ended"))
    assert kernel.published[0][2]["transient"] == {"display_id": "line"}


def test_a_kernel_that_closes_is_shown_nothing(kernel, screen):
    kernel.session = None
    screen.open()
    assert kernel.published == []


class FakeButtons:
    """A line behind buttons."""

    view = MappingProxyType({"application/vnd.jupyter.widget-view+json": {"model_id": "box"}})

    def show(self, line, *, paused):
        pass


def test_a_line_that_leaves_stands_without_the_buttons_that_end(kernel, screen):
    screen._buttons = FakeButtons()
    screen.open()
    screen.before_exec(Status(State.RESTARTING, runs=1))
    (_, _, before), (_, kind, after) = kernel.published
    assert (kind, after["transient"]) == ("update_display_data", {"display_id": "line"})
    assert before["data"].keys() - after["data"].keys() == FakeButtons.view.keys()
    assert after["data"]["text/plain"] == "⟳ main.py · restarting · 1 restart"
    kernel.published.clear()
    CellScreen(kernel, "main.py", **screen.to_state()).show(Status(State.RUNNING, runs=2))
    assert kernel.published[0][2]["data"]["text/plain"] == "⟳ main.py · running · 2 restarts"
