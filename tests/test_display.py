from ipy_autorestart import Status, display
from ipy_autorestart.decide import state
from ipy_autorestart.decide.cause import Cause, Reason
from ipy_autorestart.decide.change import Broken, Change, Kind
from ipy_autorestart.decide.cycle import Cycle, Phase
from ipy_autorestart.decide.timing import Timing


def test_a_status_line_says_what_why_and_how_often():
    status = Status("running", "src/a.py changed", 3, took=0.004, message="one message")
    assert display.text("main.py", status) == "⟳ main.py · running · src/a.py changed (4 ms) · 3 runs · one message"
    assert display.text("kernel", Status("running", runs=1)) == "⟳ kernel · running · 1 restart"


def test_what_comes_from_files_is_escaped():
    name = "<img onerror=alert(1)>.py"
    bundle = display.bundle(name, Status("running", cause=f"{name} changed"))
    assert "<img" not in bundle["text/html"]
    assert bundle["text/html"].count("&lt;img onerror=alert(1)&gt;.py") == 2
    assert "<img" not in display.table([[name] * 7], [name])["text/html"]


def test_the_table_is_aligned_text_and_html():
    bundle = display.table([["main.py", "src/", "running", "2", "src/a.py changed", "warm", ""]], ["a note"])
    first, second, third = bundle["text/plain"].splitlines()
    assert first.index("state") == second.index("running")
    assert bundle["text/html"].count("<td>") == 7
    assert third == "a note"
    assert display.table([])["text/plain"] == "nothing is watched"


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
    }.items():
        assert state.state(cycle) == words


def test_messages_name_the_file_and_what_it_means():
    broken = Cycle(broken=(Broken("/p/a.py", "invalid syntax", 3),))
    assert state.message(broken, "/p") == "syntax error in a.py, line 3: invalid syntax; what runs goes on"
    assert state.message(Cycle(alike=("/p/a.py",)), "/p") == "only comments or layout changed in a.py: not restarted"
    assert state.message(Cycle(refusal="no python"), "/p") == "no python"
    assert state.message(Cycle(), "/p") == ""
