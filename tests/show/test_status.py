import json
from datetime import datetime

from ipy_autorestart import Decided, Ran, Statistics, Status
from ipy_autorestart.decide import describe
from ipy_autorestart.decide.change import Broken, Change, Found, Kind
from ipy_autorestart.decide.cycle import Cause, Closed, Cycle, Ended, Pending, Reason, Run, Running, Starting, Stopping
from ipy_autorestart.decide.timing import KERNEL, SCRIPT
from ipy_autorestart.show import status as show


def test_a_status_line_says_what_why_and_how_often():
    status = Status("running", "running", "src/a.py changed", 3, took=0.004, message="one message", warm=True)
    assert show.text("main.py", status) == (
        "⟳ main.py · running · src/a.py changed · new code in 4 ms · warm · 3 runs · one message"
    )
    assert show.text("kernel", Status("running", runs=1, polling=True)) == "⟳ kernel · running · polling · 1 restart"


def test_a_syntax_error_shows_its_line_and_place():
    status = Status("syntax error at a.py:1", "broken", message="invalid syntax", excerpt="x = <\n    ^")
    shown = "⟳ main.py · syntax error at a.py:1 · invalid syntax\n    x = <\n        ^"
    assert show.text("main.py", status) == shown
    assert "x = &lt;\n    ^</pre>" in show.bundle("main.py", status)["text/html"]


NAME = "<img onerror=alert(1)>.py"
STATUS = Status("running", cause=f"{NAME} changed", message=NAME, excerpt=NAME, preloads=NAME)
STATISTICS = Statistics(NAME, (NAME,), STATUS, (Ran(1, 0.0, NAME, 0.004, 1.5, 1, warm=True),), (Decided(0.0, NAME),))


def test_what_comes_from_files_is_escaped():
    for shown in (show.bundle(NAME, STATUS), show.overview([STATISTICS]), show.reasons([STATISTICS])):
        assert "<img" not in shown["text/html"]
        assert "&lt;img onerror=alert(1)&gt;.py" in shown["text/html"]
        assert NAME in shown["text/plain"]


def test_tables_are_aligned_text_and_html():
    bundle = show.overview([STATISTICS])
    first, second, _, third, fourth, _, note = bundle["text/plain"].splitlines()
    assert first.index("state") == second.index("running")
    assert third.index("lasted") == fourth.index("1.5 s")
    assert (third.index("exit status"), third.index("start")) == (fourth.rindex("1  "), fourth.index("warm"))
    assert bundle["text/html"].count("<td") == 7 + 8
    assert note == f"{NAME}: {NAME}"
    assert show.overview([])["text/plain"] == "nothing is watched; %watch_restart src/ main.py begins"


def test_reasons_have_their_time():
    when, target, why = show.reasons([STATISTICS])["text/plain"].splitlines()[1].split()[0], NAME, NAME
    assert datetime.strptime(when, "%H:%M:%S.%f").microsecond == 0
    assert show.reasons([STATISTICS])["text/plain"].count(NAME) == len((target, why))
    assert "nothing" in show.reasons([])["text/plain"]


def test_programs_are_told_in_json():
    bundle = show.as_json([STATISTICS])
    assert json.loads(bundle["text/plain"]) == json.loads(json.dumps(bundle["application/json"]))
    (one,) = bundle["application/json"]
    assert (one["target"], one["status"]["state"], one["runs"][0]["lasted"]) == (NAME, "running", 1.5)


def test_causes_are_told_relative_to_the_folder():
    a, b = Change("/p/src/a.py", Kind.MODIFIED), Change("/q/b.py", Kind.DELETED)
    assert Cause(Reason.CHANGE, (a,)).describe("/p") == "src/a.py changed"
    assert Cause(Reason.CHANGE, (b,)).describe("/p") == "/q/b.py deleted"
    assert Cause(Reason.CHANGE, (a, b, b)).describe("/p") == "src/a.py and 2 more changed"
    assert Cause(Reason.HANGUP).describe("/p") == "SIGHUP received"
    assert Cause(Reason.ASKED).describe("/p") == "asked by hand"


def test_states_are_told_in_words():
    stopping, starting = Stopping(FIRST, 0.0), Starting(FIRST)
    for cycle, words in {
        Cycle(phase=Running()): "running",
        Cycle(run=Run(exit_status=0)): "finished, waiting for a change",
        Cycle(run=Run(exit_status=3)): "crashed with status 3, waiting for a change",
        Cycle(run=Run(exit_status=-11)): "killed by SIGSEGV (segmentation fault), waiting for a change",
        Cycle(run=Run(exit_status=-200)): "killed by signal 200, waiting for a change",
        Cycle(): "not running",
        Cycle(run=Run(exit_status=0, lasted=0.0123)): "finished after 12 ms, waiting for a change",
        Cycle(phase=Ended(respawn_at=9), run=Run(exit_status=1, lasted=75), pause=0.2): (
            "crashed with status 1 after 1 min 15 s, runs again in 200 ms"
        ),
        Cycle(phase=stopping): "stopping",
        Cycle(phase=starting): "starting",
        Cycle(phase=starting, run=Run(1)): "restarting",
        Cycle(phase=starting, manner=KERNEL): "restarting",
        Cycle(phase=stopping, manner=KERNEL): "waiting for the kernel to be idle",
        Cycle(phase=Running(), pending=Pending(), manner=KERNEL): "waiting for the kernel to be idle",
        Cycle(phase=Closed()): "ended",
        Cycle(phase=Running(), paused=True): "paused, running",
        Cycle(run=Run(exit_status=1, lasted=2), paused=True): "paused, crashed with status 1 after 2.0 s",
        Cycle(phase=Running(), manner=KERNEL, paused=True): "paused",
        Cycle(phase=Stopping(FIRST, 0.0, "cell 7"), manner=KERNEL): "waiting for cell 7",
        Cycle(phase=Running(), found=Found(broken=(BROKEN,))): "syntax error at a.py:3",
    }.items():
        assert describe.state(cycle, "/p") == words
    assert describe.state(Cycle(phase=Running()), seconds=75) == "running for 1 min 15 s"


def test_each_state_has_a_word_and_a_colour():
    phases = Running(), Ended(), Stopping(FIRST, 0.0), Starting(FIRST), Closed()
    cycles = [
        *(Cycle(phase=phase, manner=manner) for phase in phases for manner in (SCRIPT, KERNEL)),
        *(Cycle(run=Run(exit_status=status)) for status in (0, 1)),
        *(Cycle(phase=Running(), paused=True), Cycle(phase=Running(), found=Found(broken=(BROKEN,)))),
    ]
    assert {describe.kind(cycle) for cycle in cycles} | {"restarting"} == set(show.COLOURS)


FIRST = Cause(Reason.FIRST)
BROKEN = Broken("/p/a.py", "invalid syntax", 3, 3, "\tx <")


def test_messages_name_the_file_and_what_it_means():
    broken = Found(broken=(BROKEN,))
    assert describe.message(Cycle(phase=Running(), found=broken), "/p") == "invalid syntax; what runs goes on"
    assert describe.message(Cycle(found=broken), "/p") == "invalid syntax; it runs again when this is mended"
    assert describe.excerpt(Cycle(found=broken)) == "\tx <\n\t ^"
    waits = Cycle(paused=True, found=Found((Change("/p/a.py", Kind.MODIFIED), Change("/p/b.py", Kind.ADDED))))
    assert describe.message(waits, "/p") == "a.py and 1 more changed meanwhile"
    alike = Cycle(found=Found(alike=("/p/a.py",)))
    assert describe.message(alike, "/p") == "only comments or layout changed in a.py: not restarted"
    assert describe.message(Cycle(phase=Ended(refusal="no python")), "/p") == "no python"
    assert describe.message(Cycle(), "/p") == ""
