"""A target's cell: one status line, and below it what the run shows."""

import threading
from dataclasses import replace

import pytest
from fakes import FakeKernel

from ipy_autorestart import State, Status
from ipy_autorestart.protocol.messages import Clear, Display
from ipy_autorestart.protocol.page import MOMENT, keep_height
from ipy_autorestart.protocol.plain import to_json
from ipy_autorestart.show.buttons import BREAK
from ipy_autorestart.show.cell import RESTART, CellScreen, ConsoleScreen, Showing
from ipy_autorestart.show.status import OLD

HEADER = {"msg_id": "request 1"}

#: The line keeps the cell's height, and stands there again after the clear.
CLEARED = [("update_display_data", ""), ("clear_output", ""), ("display_data", "")]


@pytest.fixture
def kernel():
    return FakeKernel()


@pytest.fixture
def screen(kernel):
    return CellScreen(kernel, "main.py", header=HEADER, display_id="line")


def told(kernel):
    """What was published since this was asked last."""
    news, kernel.published = kernel.published, []
    return news


def published(kernel):
    """Likewise, in brief, and all under the header of the request."""
    news = told(kernel)
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
    ((_, kind, dimmed),) = told(kernel)
    assert (kind, OLD in dimmed["data"]["text/html"]) == ("update_display_data", True)
    screen.write("stdout", "two\n")
    (_, update, last), (_, clear, how), (_, line, shown), (_, stream, _) = told(kernel)
    assert (update, clear, how) == ("update_display_data", "clear_output", {"wait": True})
    assert (line, stream) == ("display_data", "stream")
    assert [keep_height(MOMENT) in each["data"]["text/html"] for each in (last, shown)] == [True, False]
    assert OLD not in shown["data"]["text/html"]


RUNNING, ENDED = State.RUNNING, (State.FINISHED, State.CRASHED, State.PAUSED, State.BROKEN, State.IDLE, State.ENDED)


@pytest.mark.parametrize(
    "status", [Status(RUNNING, runs=2, running_for=1), *(Status(state, runs=2, exit_status=1) for state in ENDED)]
)
def test_old_output_goes_with_the_end_of_a_run_that_shows_nothing_and_after_a_second(kernel, screen, status):
    screen.begin(2)
    screen.show(Status(State.CRASHED, runs=1, exit_status=1))  # of the run before, as the kernel restarts meanwhile
    for state in (State.STOPPING, State.STARTING, RUNNING):
        screen.show(Status(state, runs=2))
    assert {kind for kind, _ in published(kernel)} == {"update_display_data"}
    screen.show(status)
    assert published(kernel) == CLEARED
    screen.show(replace(status, runs=3))
    assert published(kernel) == [("update_display_data", "")], "it is gone"


def test_old_output_is_old_in_the_next_kernel_too(kernel, screen):
    screen.begin(2)
    published(kernel)
    other = CellScreen(kernel, "main.py", **screen.to_state())
    other.write("stdout", "two\n")
    assert published(kernel) == [*CLEARED, ("stream", "two\n")]
    screen.go_on(Status(), other.to_state())
    screen.write("stdout", "more\n")
    assert published(kernel) == [("update_display_data", ""), ("stream", "more\n")]


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
    assert published(kernel) == [*CLEARED, ("stream", "new\n")]
    screen.clear(Clear(wait=False))
    assert published(kernel) == CLEARED


def test_what_one_screen_clears_the_others_of_its_cell_show_again(kernel):
    screens = []
    showing = Showing(lambda: screens)
    for name, request in ("one", "request 1"), ("elsewhere", "request 2"), ("two", "request 1"):
        screens.append(CellScreen(kernel, name, header={"msg_id": request}, display_id=name, showing=showing))
    one, _, two = screens

    def page():
        """What is shown, since it was cleared."""
        kinds = [kind for _, kind, _ in kernel.published]
        last = len(kinds) - kinds[::-1].index("clear_output")
        contents = [content for _, kind, content in kernel.published[last:] if not kind.startswith("update")]
        contents = [content for content in contents if content != BREAK]
        return [content.get("text") or content["data"]["text/plain"] for content in contents]

    two.display(Display({"text/plain": "10%"}, display_id="x", run=1))
    two.display(Display({"text/plain": "20%"}, display_id="x", update=True, run=1))
    one.begin(2)
    assert OLD not in kernel.published[-1][2]["data"]["text/html"], "below it is what the other shows, too"
    one.write("stdout", "new\n")
    assert page() == ["⟳ one · starting", "⟳ two · starting", "20%", "new\n"]
    two.begin(2)
    two.write("stdout", "as new\n")
    assert page() == ["⟳ one · starting", "new\n", "⟳ two · starting", "as new\n"]
    screens.remove(one)
    one.clear(Clear(wait=False))
    assert page() == ["⟳ two · starting", "as new\n", "⟳ one · starting"]


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


def test_a_line_says_that_the_kernel_restarts(kernel, screen):
    screen.open()
    screen.before_exec(Status(State.RESTARTING, runs=1))
    (_, _, before), (_, kind, after) = told(kernel)
    assert (kind, after["transient"]) == ("update_display_data", before["transient"])
    assert after["data"]["text/plain"] == "⟳ main.py · restarting · 1 restart"
    CellScreen(kernel, "main.py", **screen.to_state()).show(Status(State.RUNNING, runs=2))
    assert kernel.published[0][2]["data"]["text/plain"] == "⟳ main.py · running · 2 restarts"


def test_a_cell_keeps_its_height_while_the_kernel_restarts_amid_the_output_of_a_run(kernel, screen):
    def keeps(seconds):
        return any(keep_height(seconds) in content["data"]["text/html"] for _, _, content in told(kernel))

    for state, is_kept in ((RUNNING, True), (State.FINISHED, False)):
        screen.before_exec(Status(state, runs=2, warm=True))
        assert keeps(RESTART) == is_kept
        CellScreen(kernel, "main.py", **screen.to_state()).arrive(None)
        assert keeps(MOMENT) == is_kept


def test_a_line_that_is_shown_again_is_never_older_than_what_the_listening_thread_shows(kernel):
    other = threading.Thread(target=lambda: screen.show(Status(State.CRASHED, runs=2, exit_status=1, warm=True)))
    send = kernel.send

    def send_later(*args, **options):
        if other.ident is None:
            other.start()
            other.join(0.1)  # as long as it may take to overtake
        send(*args, **options)

    kernel.send = send_later
    screen = CellScreen(kernel, "main.py", header=HEADER, status=to_json(Status(RUNNING, runs=2, warm=True), []))
    screen.arrive(None)
    other.join()
    assert [each["data"]["text/plain"] for _, _, each in told(kernel)] == [
        "⟳ main.py · running · run 2",
        "⟳ main.py · crashed · run 2",
    ]


def test_a_console_gets_lines_and_nothing_that_it_could_not_change(kernel):
    console = ConsoleScreen(kernel, "main.py", header=HEADER)
    console.open()
    assert kernel.published == []
    console.show(Status())
    console.show(Status(State.RUNNING, runs=1, warm=False))
    console.wait(5.0)
    console.begin(1)
    console.write("stdout", "value 1")
    console.show(Status(State.FINISHED, runs=1, warm=False, exit_status=0))
    console.begin(2)
    console.clear(Clear(wait=True))
    console.write("stdout", "value 2\n")
    console.show(Status(State.CRASHED, runs=2, warm=True, exit_status=3))
    assert published(kernel) == [
        ("stream", "⟳ main.py · running · run 1\n"),
        ("stream", "value 1"),
        ("stream", "\n⟳ main.py · finished · run 1\n"),
        ("stream", "value 2\n"),
        ("stream", "⟳ main.py · crashed with status 3 · run 2\n"),
    ]


def test_a_console_goes_on_after_a_restart_of_the_kernel(kernel):
    console = ConsoleScreen(kernel, "kernel", header=HEADER)
    console.show(Status(State.RUNNING))
    console.before_exec(Status(State.RESTARTING))
    plain = console.to_state()
    assert plain.pop("prints")
    again = ConsoleScreen(kernel, "kernel", **plain)
    again.go_on(Status(State.RESTARTING), plain)
    again.add_buttons(None)
    again.show(Status(State.RUNNING, runs=1, took=0.09))
    assert published(kernel) == [("stream", "⟳ kernel · running\n"), ("stream", "⟳ kernel · running · 1 restart\n")]
