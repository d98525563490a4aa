import json
from datetime import datetime

from ipy_autorestart import Decided, Ran, Statistics, Status
from ipy_autorestart.decide import describe
from ipy_autorestart.decide.change import Broken, Change, Kind
from ipy_autorestart.decide.cycle import Cause, Cycle, Phase, Reason
from ipy_autorestart.decide.timing import Timing
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
    kernel = Timing(leading=False, stop_timeout=None)
    for cycle, words in {
        Cycle(phase=Phase.RUNNING): "running",
        Cycle(phase=Phase.ENDED, exit_status=0): "finished, waiting for a change",
        Cycle(phase=Phase.ENDED, exit_status=3): "crashed with status 3, waiting for a change",
        Cycle(phase=Phase.ENDED, exit_status=-11): "killed by SIGSEGV (segmentation fault), waiting for a change",
        Cycle(phase=Phase.ENDED, exit_status=-200): "killed by signal 200, waiting for a change",
        Cycle(phase=Phase.ENDED): "not running",
        Cycle(phase=Phase.ENDED, exit_status=0, lasted=0.0123): "finished after 12 ms, waiting for a change",
        Cycle(phase=Phase.ENDED, exit_status=1, lasted=75, respawn_at=9, pause=0.2): (
            "crashed with status 1 after 1 min 15 s, runs again in 200 ms"
        ),
        Cycle(phase=Phase.STOPPING): "stopping",
        Cycle(phase=Phase.STARTING): "starting",
        Cycle(phase=Phase.STARTING, timing=kernel): "restarting",
        Cycle(phase=Phase.STOPPING, timing=kernel): "waiting for the kernel to be idle",
        Cycle(phase=Phase.RUNNING, signalled=True, timing=kernel): "waiting for the kernel to be idle",
        Cycle(phase=Phase.CLOSED): "ended",
        Cycle(phase=Phase.RUNNING, paused=True): "paused, running",
        Cycle(phase=Phase.ENDED, exit_status=1, lasted=2, paused=True): "paused, crashed with status 1 after 2.0 s",
        Cycle(phase=Phase.RUNNING, timing=kernel, paused=True): "paused",
        Cycle(phase=Phase.STOPPING, timing=kernel, waits_for="cell 7"): "waiting for cell 7",
        Cycle(phase=Phase.RUNNING, broken=(BROKEN,)): "syntax error at a.py:3",
    }.items():
        assert describe.state(cycle, "/p") == words
    assert describe.state(Cycle(phase=Phase.RUNNING), seconds=75) == "running for 1 min 15 s"


def test_each_state_has_a_word_and_a_colour():
    kernel = Timing(leading=False, stop_timeout=None)
    cycles = [
        *(Cycle(phase=phase, timing=timing) for phase in Phase for timing in (Timing(), kernel)),
        *(Cycle(phase=Phase.ENDED, exit_status=status) for status in (0, 1)),
        *(Cycle(phase=Phase.RUNNING, paused=True), Cycle(phase=Phase.RUNNING, broken=(BROKEN,))),
    ]
    assert {describe.kind(cycle) for cycle in cycles} | {"restarting"} == set(show.COLOURS)


BROKEN = Broken("/p/a.py", "invalid syntax", 3, 3, "\tx <")


def test_messages_name_the_file_and_what_it_means():
    assert describe.message(Cycle(phase=Phase.RUNNING, broken=(BROKEN,)), "/p") == "invalid syntax; what runs goes on"
    assert describe.message(Cycle(broken=(BROKEN,)), "/p") == "invalid syntax; it runs again when this is mended"
    assert describe.excerpt(Cycle(broken=(BROKEN,))) == "\tx <\n\t ^"
    waits = Cycle(paused=True, changes=(Change("/p/a.py", Kind.MODIFIED), Change("/p/b.py", Kind.ADDED)))
    assert describe.message(waits, "/p") == "a.py and 1 more changed meanwhile"
    assert describe.message(Cycle(alike=("/p/a.py",)), "/p") == "only comments or layout changed in a.py: not restarted"
    assert describe.message(Cycle(refusal="no python"), "/p") == "no python"
    assert describe.message(Cycle(), "/p") == ""
