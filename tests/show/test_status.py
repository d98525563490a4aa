import json
import re
from dataclasses import replace
from datetime import datetime

import pytest

from ipy_autorestart import Cause, Checkpoint, Decided, Files, Ran, State, Statistics, Status, status_line
from ipy_autorestart.decide.change import Broken, Change, Kind
from ipy_autorestart.decide.facts import Reason
from ipy_autorestart.kernel.replay import OLD
from ipy_autorestart.show import status as show
from ipy_autorestart.show import tables

A, B = Change("src/a.py", Kind.MODIFIED), Change("/q/b.py", Kind.DELETED)
SAVED = Cause(Reason.CHANGE, (A,))


def test_a_status_line_says_what_why_and_how_often():
    status = Status(State.RUNNING, SAVED, runs=3, took=0.004, notes=("one message",), warm=True)
    assert status_line("main.py", status) == (
        "⟳ main.py · running · one message · run 3 · src/a.py changed · restarted warm in 4 ms"
    )
    kernel = Status(State.RUNNING, runs=1, polling=True)
    assert status_line("kernel", kernel) == "⟳ kernel · running · 1 restart · polling"


@pytest.mark.parametrize(
    ("name", "status", "line"),
    [
        (
            "main.py",
            Status(State.FINISHED, SAVED, runs=4, exit_status=0, lasted=0.013, took=0.004, warm=True),
            "finished in 13 ms · run 4 · src/a.py changed · restarted warm in 4 ms",
        ),
        (
            "src/clean.py",
            Status(State.BROKEN, SAVED, runs=6, took=0.0007, warm=True, broken=Broken("src/a.py", "invalid syntax", 1)),
            "syntax error at src/a.py:1 · invalid syntax; runs again when fixed · run 6",
        ),
        (
            "main.py",
            Status(State.RUNNING, SAVED, runs=3, took=0.004, pid=7, warm=True, unused=Files(("src/model.py",))),
            "running · src/model.py changed, not used by main.py: not restarted (--all) · run 3",
        ),
        (
            "kernel",
            Status(State.RUNNING, SAVED, runs=2, took=0.094, rerun="3 cells rerun in 180 ms"),
            "running · 3 cells rerun in 180 ms · 2 restarts · src/a.py changed · restarted in 94 ms",
        ),
        (
            "kernel",
            Status(State.RUNNING, SAVED, runs=2, took=0.094, rerun="back to cell 2 in 24 ms, saved 31.0 s · x x x"),
            "running · back to cell 2 in 24 ms, saved 31.0 s · x x x · 2 restarts · src/a.py changed",
        ),
        (
            "kernel",
            Status(
                *(State.RUNNING, SAVED, 2),
                stopped="stopped at cell 2: ZeroDivisionError",
                rerun="cells 3–102 show old output · back to cell 1 in 24 ms, saved 31.0 s",
            ),
            "stopped at cell 2: ZeroDivisionError · cells 3–102 show old output · 2 restarts",
        ),
    ],
)
def test_what_is_so_now_comes_first_and_what_is_older_has_the_room_that_is_left(name, status, line):
    assert status_line(name, status) == f"⟳ {name} · {line}"
    assert len(status_line(name, status)) <= show.WIDTH


def test_the_common_forms_have_room():
    rerun = "back to cell 12 in 124 ms, saved 31.0 s · 3 cells rerun in 180 ms"
    status = Status(State.RUNNING, SAVED, runs=12, took=0.124, rerun=rerun)
    assert status_line("kernel", status) == f"⟳ kernel · running · {rerun} · 12 restarts"


def test_what_has_no_room_stands_in_a_dimmer_line_below():
    notes = tuple(f"/a/rather/long/path/{word} is on nfs: checked at intervals" for word in ("one", "two"))
    status = Status(State.RUNNING, SAVED, runs=3, took=0.004, warm=True, notes=notes)
    assert status_line("main.py", status) == (f"⟳ main.py · running · {notes[0]} · run 3\n    {notes[1]}")
    shown = show.as_html("main.py", replace(status, notes=("<x>" * 40,)))
    assert "running · run 3" in shown
    assert f'{show.BELOW}">{"&lt;x&gt;" * 40}</div>' in shown
    broken = Status(State.BROKEN, broken=Broken("a.py", "invalid", 1, 1, "x"), notes=notes)
    assert status_line("main.py", broken).splitlines()[1:] == [f"    {' · '.join(notes)}", "    x", "    ^"]


@pytest.mark.parametrize(
    ("warm", "waited", "words"),
    [
        (True, 0.0, "restarted warm in 120 ms"),
        (True, 0.11, "restarted warm in 10 ms · waited 110 ms for the burst"),
        (False, 0.0, "restarted cold in 120 ms"),
        (None, 0.0, "restarted in 120 ms"),
    ],
)
def test_how_a_restart_went_is_told_without_the_wait_for_its_burst(warm, waited, words):
    status = Status(State.RUNNING, replace(SAVED, waited=waited), runs=2, took=0.12, warm=warm)
    assert status_line("a.py", status).endswith(f"src/a.py changed · {words}")


def test_a_rerun_that_stopped_is_red():
    status = Status(State.RUNNING, runs=2, stopped="stopped at cell 2: ZeroDivisionError")
    assert show.colour(status) == show.COLOURS[State.CRASHED]
    assert show.colour(Status(State.WAITING, runs=2, stopped="stopped")) == show.COLOURS[State.WAITING]
    now, _, then = show.as_html("kernel", replace(status, cause=SAVED)).partition("opacity: 0.7")
    assert "ZeroDivisionError" in now
    assert "src/a.py changed" in then


def test_a_syntax_error_shows_its_line_and_place():
    status = Status(State.BROKEN, broken=Broken("a.py", "invalid syntax", 1, 5, "x = <"), pid=7)
    shown = "⟳ main.py · syntax error at a.py:1 · invalid syntax; the old code keeps running\n    x = <\n        ^"
    assert status_line("main.py", status) == shown
    assert "x = &lt;\n    ^</pre>" in show.bundle("main.py", status)["text/html"]


NAME = "<img onerror=alert(1)>.py"
CAUSE = Cause(Reason.CHANGE, (Change(NAME, Kind.MODIFIED),))
STATUS = Status(State.BROKEN, CAUSE, broken=Broken(NAME, NAME, 1, 1, NAME), notes=(NAME,), preloads=NAME)
STATISTICS = Statistics(NAME, (NAME,), STATUS, (Ran(1, 0.0, CAUSE, 0.004, 1.5, 1, warm=True),), (Decided(0.0, NAME),))


def test_what_comes_from_files_is_escaped():
    for shown in (show.bundle(NAME, STATUS), tables.overview([STATISTICS], at=0), tables.reasons([STATISTICS])):
        assert "<img" not in shown["text/html"]
        assert "&lt;img onerror=alert(1)&gt;.py" in shown["text/html"]
        assert NAME in shown["text/plain"]


def test_tables_are_aligned_text_and_html():
    bundle = tables.overview([STATISTICS], at=0)
    first, second, _, third, fourth, _, note, taken = bundle["text/plain"].splitlines()
    assert first.index("state") == second.index("syntax error")
    assert third.index("lasted") == fourth.index("1.5 s")
    assert (third.index("exit status"), third.rindex("start")) == (fourth.rindex("1  "), fourth.index("warm"))
    assert bundle["text/html"].count("<td") == 5 + 8, "no column in which nothing stands"
    assert taken == f"as of {datetime.fromtimestamp(0):%H:%M:%S}"
    assert f"<div>{taken}</div>" in bundle["text/html"]
    assert note == f"{NAME}: {NAME}"
    assert tables.overview([], at=0)["text/plain"] == "nothing is watched; %watch_restart src/ main.py starts a watch"


def test_checkpoints_are_a_table_and_what_has_none_says_why():
    polars = Checkpoint(4, why="5 threads of <polars>")
    parked = (Checkpoint(3, seconds=31.2, memory_bytes=11_400_000, pid=7), polars, Checkpoint(6, 0.3, 4_300_000))
    kernel = Statistics("kernel", ("src/",), Status(), checkpoints=parked)
    bundle = tables.overview([Statistics("main.py", ("src/",), Status()), kernel, kernel], at=0)
    assert bundle["text/plain"].splitlines()[-7:-1] == [
        "",
        "checkpoint after  saves   memory",
        "cell 3            31.2 s  11 MB",
        "cell 6            300 ms  4.3 MB",
        "",
        "no checkpoint after cell 4: 5 threads of <polars>",
    ]
    assert '<td style="text-align: left">31.2\N{NO-BREAK SPACE}s</td>' in bundle["text/html"]
    assert "no checkpoint after cell 4: 5 threads of &lt;polars&gt;" in bundle["text/html"]
    only = tables.overview([replace(kernel, checkpoints=(polars,))], at=0)
    assert "saves" not in only["text/plain"]
    (one,) = json.loads(tables.as_json([kernel])["text/plain"])
    assert one["checkpoints"][0] == {"after": 3, "seconds": 31.2, "memory_bytes": 11_400_000, "why": "", "pid": 7}


def test_a_table_that_does_not_fit_becomes_a_list():
    one = Statistics("main.py", ("src/", "more/" * 12), Status(State.FINISHED, SAVED, runs=2, exit_status=0, warm=True))
    text = tables.overview([one, replace(one, target="-m app")], at=0, width=80)["text/plain"]
    assert max(map(len, text.splitlines())) <= 80
    assert text.splitlines()[:7] == [
        "main.py",
        f"  watched: src/, {'more/' * 12}",
        "  state: finished",
        "  runs: 2",
        "  last cause: src/a.py changed",
        "  last start: warm",
        "  exit status: 0",
    ]
    assert "-m app\n  watched" in text


def test_a_run_that_a_restart_has_ended_was_stopped():
    ran = Ran(1, 0.0, None, None, 1.5, -15, warm=False, stopped=True)
    for stopped, words in ((True, "stopped"), (False, "-15")):
        text = tables.overview([replace(STATISTICS, runs=(replace(ran, stopped=stopped),))], at=0)["text/plain"]
        assert words in text.splitlines()[4].split()


def test_reasons_of_several_targets_stand_in_the_order_of_their_time():
    kernel = replace(STATISTICS, target="kernel", decisions=(Decided(1.0, "two"), Decided(3.0, "four")))
    script = replace(STATISTICS, target="main.py", decisions=(Decided(0.0, "one"), Decided(2.0, "three")))
    lines = tables.reasons([kernel, script])["text/plain"].splitlines()[1:]
    assert [line.split()[-1] for line in lines] == ["one", "two", "three", "four"]


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
    cause = one["status"]["cause"]
    assert (cause["reason"], cause["changes"]) == ("change", ({"path": NAME, "kind": "modified"},))
    assert (cause["more"], cause["waited"]) == (0, 0.0)
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
        (Cause(Reason.CHANGE, (Change("/a" * 40, Kind.DELETED),)), f"…a{'/a' * 19} deleted"),
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
        (Status(State.FINISHED, exit_status=0), "finished"),
        (Status(State.FINISHED, exit_status=0, lasted=0.0123), "finished in 12 ms"),
        (Status(CRASHED, exit_status=3), "crashed with status 3"),
        (Status(CRASHED, exit_status=-11), "killed by SIGSEGV (segmentation fault)"),
        (Status(CRASHED, exit_status=-200), "killed by signal 200"),
        (Status(CRASHED, exit_status=-2, lasted=2), "interrupted after 2.0 s"),
        (Status(State.RUNNING, stopped="stopped at cell 2: ValueError"), "stopped at cell 2: ValueError"),
        (
            Status(CRASHED, exit_status=1, lasted=75, runs_again_in=0.2),
            "crashed after 1 min 15 s, runs again in 200 ms",
        ),
        (Status(State.IDLE), "not running"),
        (Status(State.STOPPING), "stopping"),
        (Status(State.STARTING), "starting"),
        (Status(State.RESTARTING), "restarting"),
        (Status(State.WAITING), "waiting for the kernel to be idle"),
        (Status(State.WAITING, waits_for="cell 7"), "waiting for cell 7"),
        (Status(State.ENDED), "watch ended"),
        (Status(State.PAUSED, pid=7, warm=False), "paused, running"),
        (Status(State.PAUSED, pid=7, warm=False, running_for=3), "paused, running for 3.0 s"),
        (Status(State.PAUSED, exit_status=1, lasted=2, warm=False), "paused, crashed after 2.0 s"),
        (Status(State.PAUSED, pid=7), "paused"),
        (Status(State.BROKEN, broken=BROKEN), "syntax error at a.py:3"),
        (Status(State.BROKEN, broken=Broken("a.py", "unknown encoding")), "syntax error at a.py"),
    ],
)
def test_a_state_is_a_few_words(status, words):
    assert show.state(status) == words


def test_each_state_has_a_colour():
    assert set(show.COLOURS) == set(State)


#: Behind an output, and its text: in JupyterLab's themes, and as VS Code 1.100 defines its own.
PAGES = {
    "JupyterLab Light, Notebook": ("#ffffff", "#212121"),
    "JupyterLab Dark": ("#111111", "#ffffff"),
    "JupyterLab Dark, a cell": ("#212121", "#ffffff"),
    "VS Code Light Modern": ("#ffffff", "#3b3b3b"),
    "VS Code Dark Modern": ("#1f1f1f", "#cccccc"),
    "VS Code Light+": ("#ffffff", "#000000"),
    "VS Code Dark+": ("#1e1e1e", "#d4d4d4"),
    "VS Code Light High Contrast": ("#ffffff", "#292929"),
    "VS Code Dark High Contrast": ("#000000", "#ffffff"),
}


def rgb(colour):
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def luminance(colour):
    """Return the relative luminance of a colour, as WCAG 2 has it."""
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("page", PAGES)
def test_what_is_shown_can_be_seen_on_light_pages_and_dark_ones(page):
    ground, text = map(rgb, PAGES[page])
    styles = [show.as_html("a.py", Status(state, SAVED, broken=BROKEN)) for state in State]
    styles += [show.BELOW, show.EXCERPT, OLD["data"]["text/html"]]
    for colour in {found for style in styles for found in re.findall("#[0-9a-f]{6}", style)}:
        assert contrast(rgb(colour), ground) >= 3, colour  # of symbols and lines
    for dimmed in {float(found) for style in styles for found in re.findall(r"opacity: ([\d.]+)", style)}:
        mixed = [one * dimmed + other * (1 - dimmed) for one, other in zip(text, ground, strict=True)]
        assert contrast(mixed, ground) >= 4.5, dimmed  # of text


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status(), ""),
        (Status(error="no python", broken=BROKEN), "no python"),
        (Status(broken=BROKEN, pid=7), "invalid syntax; the old code keeps running"),
        (Status(broken=BROKEN), "invalid syntax; runs again when fixed"),
        (Status(broken=BROKEN, pid=7, exit_status=1), "invalid syntax; runs again when fixed"),
        (Status(held=Files(("a.py", "b.py"))), "a.py and 1 more changed meanwhile"),
        (
            Status(looping=Files(("gen.py",))),
            "gen.py changes after every start: waiting up to 2.0 s before the next",
        ),
        (Status(State.FINISHED, waits_for="what it imports"), "restarts as soon as what it imports is imported ahead"),
        (Status(alike=Files(("a.py",))), "a.py changed: the code does the same, no restart (--strict)"),
        (Status(written=Files(("a.log",))), "a.log was written by the run itself: not restarted"),
        (Status(unused=Files(("a.so",))), "a.so changed, not loaded before: not restarted (--all)"),
        (Status(unused=Files(("a.csv",)), warm=True), "a.csv changed, not used by this run: not restarted (--all)"),
        (
            Status(unused=Files(("a", "b", "c"), 7), warm=True),
            "a and 9 more changed, not used by this run: not restarted (--all)",
        ),
        (Status(left=True), "processes that it started keep running until the next restart"),
        (Status(rerun="cell 2 of 5 runs again"), "cell 2 of 5 runs again"),
        (Status(rerun="cell 2 of 5 runs again", rerun_for=4), "cell 2 of 5 runs again, 4.0 s"),
        (Status(left=True, notes=("x", "y")), "processes that it started keep running until the next restart · x · y"),
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
    assert show.is_later(replace(status, took=0.1), Status(State.RUNNING, SAVED, pid=7))
    assert not show.is_later(status, Status(State.RUNNING, SAVED, pid=8))
    assert not show.is_later(Status(State.FINISHED, running_for=3), Status(State.FINISHED))


def test_of_thousands_of_watched_files_the_first_few_are_named():
    watched = tuple(f"src/{number}.py" for number in range(3000))
    text = tables.overview([Statistics("main.py", watched, Status(), (), ())], at=0)["text/plain"]
    assert "src/0.py, src/1.py" in text
    assert "src/7.py, 2992 more" in text
    assert "src/8.py" not in text
