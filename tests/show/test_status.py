import json
from dataclasses import replace
from datetime import datetime

import pytest

from ipy_autorestart import Cause, Checkpoint, Decided, Files, Ran, State, Statistics, Status, status_line
from ipy_autorestart.decide.change import Broken, Change, Kind
from ipy_autorestart.decide.facts import Reason
from ipy_autorestart.show import status as show
from ipy_autorestart.show import tables

A, B = Change("src/a.py", Kind.MODIFIED), Change("/q/b.py", Kind.DELETED)
SAVED = Cause(Reason.CHANGE, (A,))


def test_a_status_line_says_what_why_and_how_often():
    status = Status(State.RUNNING, SAVED, runs=3, took=0.004, notes=("one message",), warm=True)
    assert status_line("main.py", status) == (
        "⟳ main.py · running · src/a.py changed · restarted in 4 ms · warm · 3 runs · one message"
    )
    kernel = Status(State.RUNNING, runs=1, polling=True)
    assert status_line("kernel", kernel) == "⟳ kernel · running · polling · 1 restart"


def test_a_syntax_error_shows_its_line_and_place():
    status = Status(State.BROKEN, broken=Broken("a.py", "invalid syntax", 1, 5, "x = <"), pid=7)
    shown = "⟳ main.py · syntax error at a.py:1 · invalid syntax; what runs goes on\n    x = <\n        ^"
    assert status_line("main.py", status) == shown
    assert "x = &lt;\n    ^</pre>" in show.bundle("main.py", status)["text/html"]


NAME = "<img onerror=alert(1)>.py"
CAUSE = Cause(Reason.CHANGE, (Change(NAME, Kind.MODIFIED),))
STATUS = Status(State.BROKEN, CAUSE, broken=Broken(NAME, NAME, 1, 1, NAME), notes=(NAME,), preloads=NAME)
STATISTICS = Statistics(NAME, (NAME,), STATUS, (Ran(1, 0.0, CAUSE, 0.004, 1.5, 1, warm=True),), (Decided(0.0, NAME),))


def test_what_comes_from_files_is_escaped():
    for shown in (show.bundle(NAME, STATUS), tables.overview([STATISTICS]), tables.reasons([STATISTICS])):
        assert "<img" not in shown["text/html"]
        assert "&lt;img onerror=alert(1)&gt;.py" in shown["text/html"]
        assert NAME in shown["text/plain"]


def test_tables_are_aligned_text_and_html():
    bundle = tables.overview([STATISTICS])
    first, second, _, third, fourth, _, note = bundle["text/plain"].splitlines()
    assert first.index("state") == second.index("syntax error")
    assert third.index("lasted") == fourth.index("1.5 s")
    assert (third.index("exit status"), third.rindex("start")) == (fourth.rindex("1  "), fourth.index("warm"))
    assert bundle["text/html"].count("<td") == 7 + 8
    assert note == f"{NAME}: {NAME}"
    assert tables.overview([])["text/plain"] == "nothing is watched; %watch_restart src/ main.py begins"


def test_checkpoints_are_a_table_and_what_has_none_says_why():
    polars = Checkpoint(4, why="5 threads of <polars>")
    parked = (Checkpoint(3, seconds=31.2, memory_bytes=11_400_000, pid=7), polars, Checkpoint(6, 0.3, 4_300_000))
    kernel = Statistics("kernel", ("src/",), Status(), checkpoints=parked)
    bundle = tables.overview([Statistics("main.py", ("src/",), Status()), kernel, kernel])
    assert bundle["text/plain"].splitlines()[-6:] == [
        "",
        "checkpoint after  saves   memory",
        "cell 3            31.2 s  11 MB",
        "cell 6            300 ms  4.3 MB",
        "",
        "no checkpoint after cell 4: 5 threads of <polars>",
    ]
    assert '<td style="text-align: left">31.2 s</td>' in bundle["text/html"]
    assert "no checkpoint after cell 4: 5 threads of &lt;polars&gt;" in bundle["text/html"]
    only = tables.overview([replace(kernel, checkpoints=(polars,))])
    assert "saves" not in only["text/plain"]
    (one,) = json.loads(tables.as_json([kernel])["text/plain"])
    assert one["checkpoints"][0] == {"after": 3, "seconds": 31.2, "memory_bytes": 11_400_000, "why": "", "pid": 7}


def test_reasons_have_their_time():
    when, target, why = tables.reasons([STATISTICS])["text/plain"].splitlines()[1].split()[0], NAME, NAME
    assert datetime.strptime(when, "%H:%M:%S.%f").microsecond == 0
    assert tables.reasons([STATISTICS])["text/plain"].count(NAME) == len((target, why))
    assert "nothing" in tables.reasons([])["text/plain"]


def test_programs_are_told_in_json():
    bundle = tables.as_json([STATISTICS])
    assert json.loads(bundle["text/plain"]) == json.loads(json.dumps(bundle["application/json"]))
    (one,) = bundle["application/json"]
    assert (one["target"], one["status"]["state"], one["runs"][0]["lasted"]) == (NAME, "broken", 1.5)
    assert one["status"]["cause"] == {"reason": "change", "changes": ({"path": NAME, "kind": "modified"},), "more": 0}
    assert one["status"]["broken"]["line"] == 1


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (None, ""),
        (SAVED, "src/a.py changed"),
        (Cause(Reason.CHANGE, (B,)), "/q/b.py deleted"),
        (Cause(Reason.CHANGE, (Change("c.py", Kind.ADDED),)), "c.py added"),
        (Cause(Reason.CHANGE, (A, B, B)), "src/a.py and 2 more changed"),
        (Cause(Reason.CHANGE, (A, B, B), more=4000), "src/a.py and 4002 more changed"),
        (Cause(Reason.FIRST), "first run"),
        (Cause(Reason.HANGUP), "SIGHUP received"),
        (Cause(Reason.ASKED), "asked by hand"),
        (Cause(Reason.ENDED), "it had ended"),
    ],
)
def test_a_cause_is_a_few_words(cause, words):
    assert show.cause(cause) == words


CRASHED = State.CRASHED
BROKEN = Broken("a.py", "invalid syntax", 3, 3, "\tx <")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status(State.RUNNING), "running"),
        (Status(State.RUNNING, running_for=75), "running for 1 min 15 s"),
        (Status(State.FINISHED, exit_status=0), "finished, waiting for a change"),
        (Status(State.FINISHED, exit_status=0, lasted=0.0123), "finished after 12 ms, waiting for a change"),
        (Status(CRASHED, exit_status=3), "crashed with status 3, waiting for a change"),
        (Status(CRASHED, exit_status=-11), "killed by SIGSEGV (segmentation fault), waiting for a change"),
        (Status(CRASHED, exit_status=-200), "killed by signal 200, waiting for a change"),
        (
            Status(CRASHED, exit_status=1, lasted=75, runs_again_in=0.2),
            "crashed with status 1 after 1 min 15 s, runs again in 200 ms",
        ),
        (Status(State.IDLE), "not running"),
        (Status(State.STOPPING), "stopping"),
        (Status(State.STARTING), "starting"),
        (Status(State.RESTARTING), "restarting"),
        (Status(State.WAITING), "waiting for the kernel to be idle"),
        (Status(State.WAITING, waits_for="cell 7"), "waiting for cell 7"),
        (Status(State.ENDED), "ended"),
        (Status(State.PAUSED, pid=7, warm=False), "paused, running"),
        (Status(State.PAUSED, pid=7, warm=False, running_for=3), "paused, running for 3.0 s"),
        (Status(State.PAUSED, exit_status=1, lasted=2, warm=False), "paused, crashed with status 1 after 2.0 s"),
        (Status(State.PAUSED, pid=7), "paused"),
        (Status(State.BROKEN, broken=BROKEN), "syntax error at a.py:3"),
        (Status(State.BROKEN, broken=Broken("a.py", "unknown encoding")), "syntax error at a.py"),
    ],
)
def test_a_state_is_a_few_words(status, words):
    assert show.state(status) == words


def test_each_state_has_a_colour():
    assert set(show.COLOURS) == set(State)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status(), ""),
        (Status(error="no python", broken=BROKEN), "no python"),
        (Status(broken=BROKEN, pid=7), "invalid syntax; what runs goes on"),
        (Status(broken=BROKEN), "invalid syntax; it runs again when this is mended"),
        (Status(broken=BROKEN, pid=7, exit_status=1), "invalid syntax; it runs again when this is mended"),
        (Status(held=Files(("a.py", "b.py"))), "a.py and 1 more changed meanwhile"),
        (
            Status(looping=Files(("gen.py",))),
            "gen.py changes right after every start: the next waits, for 2.0 s at most",
        ),
        (Status(State.FINISHED, waits_for="what it imports"), "restarts as soon as what it imports is imported ahead"),
        (Status(alike=Files(("a.py",))), "only comments or layout changed in a.py: not restarted"),
        (Status(written=Files(("a.log",))), "a.log is written by the run itself: not restarted"),
        (Status(unused=Files(("a.so",))), "a.so changed, but was not loaded before: not restarted"),
        (Status(unused=Files(("a.csv",)), warm=True), "a.csv changed, but this run did not use it: not restarted"),
        (
            Status(unused=Files(("a", "b", "c"), 7), warm=True),
            "a and 9 more changed, but this run did not use it: not restarted",
        ),
        (Status(left=True), "processes that it started go on until the next restart"),
        (Status(rerun="cell 2 of 5 runs again"), "cell 2 of 5 runs again"),
        (Status(rerun="cell 2 of 5 runs again", rerun_for=4), "cell 2 of 5 runs again, 4.0 s"),
        (Status(left=True, notes=("x", "y")), "processes that it started go on until the next restart · x · y"),
    ],
)
def test_a_message_names_the_file_and_what_it_means(status, words):
    assert show.message(status) == words


def test_the_caret_stands_below_the_place():
    assert show.excerpt(Status(broken=BROKEN)) == "\tx <\n\t ^"
    assert show.excerpt(Status(broken=Broken("a.py", "unknown encoding"))) == ""
    assert show.excerpt(Status()) == ""


def test_that_it_runs_for_longer_is_no_other_status():
    status = Status(State.RUNNING, SAVED, pid=7, running_for=3)
    assert show.is_later(status, Status(State.RUNNING, SAVED, pid=7))
    assert not show.is_later(status, Status(State.RUNNING, SAVED, pid=8))
    assert not show.is_later(Status(State.FINISHED, running_for=3), Status(State.FINISHED))


def test_of_thousands_of_watched_files_the_first_few_are_named():
    watched = tuple(f"src/{number}.py" for number in range(3000))
    text = tables.overview([Statistics("main.py", watched, Status(), (), ())])["text/plain"]
    assert "src/0.py, src/1.py" in text
    assert "src/7.py, 2992 more" in text
    assert "src/8.py" not in text
