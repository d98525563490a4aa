"""What may stand in production code: nothing happens unless it is wanted, and little is imported either way."""

import os
import subprocess
import sys
import threading

import pytest

from ipy_autorestart import BadInput, kept_sockets, restart_if_changed, restart_on_change

HEAVY = ("IPython", "ipykernel", "jupyter_client", "jupyter_core", "zmq", "traitlets", "tornado", "asyncio")


def imported(call):
    code = f"""
import sys
from ipy_autorestart import restart_on_change
{call}
print(*{{name.partition(".")[0] for name in sys.modules}})
"""
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split())


def test_without_being_asked_to_it_does_nothing(monkeypatch):
    for value in ("", "0", "no", "off"):
        monkeypatch.setenv("IPY_AUTORESTART", value)
        with restart_on_change("no/such/folder", keep=[None]) as watch:  # nothing_left looks for what it might leave
            assert not watch.is_active
            watch.keep(None)
            restart_if_changed()
        watch.close()
    assert kept_sockets() == []


@pytest.mark.e2e
def test_switched_off_it_imports_next_to_nothing():
    assert not imported("restart_on_change()") & {*HEAVY, "watchdog", "dataclasses", "logging", "socket"}


@pytest.mark.e2e
def test_switched_on_it_imports_nothing_of_jupyter(project):
    assert not imported("restart_on_change('src', enabled=True).close()") & {*HEAVY, "watchdog"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"enabled": "yes"}, "enabled: expected True, False or None, got 'yes'"),
        ({"when": "soon"}, "when: expected anywhere or asked, got 'soon'"),
        ({"options": {}}, "options: expected Options(...), got {}"),
        ({"keep": [3]}, "keep: expected an open socket, such as socket.create_server(...), got 3"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_fix(project, arguments, said):
    with pytest.raises(BadInput) as caught:
        restart_on_change("src", **{"enabled": True, **arguments})
    assert str(caught.value) == said


def test_a_path_that_is_none_is_a_mistake(project):
    with pytest.raises(BadInput, match=r"scr: there is no such file or folder in .*; did you mean src\?"):
        restart_on_change("scr", enabled=True)


def test_another_thread_than_the_main_one_is_a_mistake(project):
    said = []

    def call():
        for function in (lambda: restart_on_change("src", enabled=True), restart_if_changed):
            try:
                function()
            except BadInput as error:
                said.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert [one.partition(";")[2] for one in said] == [" call it there, before others start", " call it there"]


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], "import {0}; {0}.restart_on_change('src', enabled=True)", "put the program in a file"),
        (
            ["-c", "import {0}; [{0}.restart_on_change('src', enabled=True) for _ in '12']"],
            "",
            "a watch is already running; close it first, or name all paths in one call",
        ),
        (
            ["-m", "IPython", "-c", "import {0}; {0}.restart_on_change('src', enabled=True)"],
            "",
            "use %load_ext ipy_autorestart, then %watch_restart src/",
        ),
    ],
)
def test_a_call_at_a_wrong_place_is_a_mistake(project, words, code, said):
    words = [word.format("ipy_autorestart") for word in words]
    ended = subprocess.run(
        [sys.executable, *words],
        input=code.format("ipy_autorestart"),
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert said in ended.stdout + ended.stderr
