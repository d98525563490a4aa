"""From a request to the supervisor's parts."""

import socket
import subprocess
import sys

import pytest

from ipy_autorestart import BadInput, Kernel, Options, Script
from ipy_autorestart.client.process import PROGRAM
from ipy_autorestart.engine.build import POLL, _poll, _timing, _unwatched, listen, lost
from ipy_autorestart.protocol.messages import encode
from ipy_autorestart.protocol.request import LINK, Launch, Request
from ipy_autorestart.script.program import prefixes


def test_a_kernel_waits_for_quiet_and_stops_itself():
    timing = _timing(Options(debounce=0.5, stop_timeout=3))
    assert (timing.quiet, timing.stop_timeout) == (0.5, 3)
    assert (Kernel.manner.leading, Kernel.manner.stops_itself) == (False, True)
    assert (Script.manner.leading, Script.manner.stops_itself) == (True, False)


@pytest.mark.parametrize(("debounce", "lone"), [(0.05, 0.015), (0.01, 0.01), (0, 0), (0.06, 0.06), (2, 2)])
def test_whoever_asks_for_a_longer_quiet_gets_it_for_each_save(debounce, lone):
    assert _timing(Options(debounce=debounce)).lone == lone


@pytest.mark.parametrize(
    ("poll", "scan", "few", "many"), [(0, 1.0, 0.05, 0.15), (0.1, 0.1, 0.15, 0.25), (5, 5, 0.2, 0.5)]
)
def test_scans_that_lie_apart_make_a_burst_longer(monkeypatch, poll, scan, few, many):
    monkeypatch.delenv(POLL, raising=False)
    timing = _timing(Options(poll=poll))
    assert (timing.scan, timing.quiet, timing.quiet_many) == (scan, pytest.approx(few), many)
    assert timing.lone == (0.015 if poll == 0 else timing.quiet)


@pytest.mark.parametrize(("value", "seconds"), [("0.5", 0.5), ("", 0), ("often", 0), ("-1", 0)])
def test_the_environment_can_ask_for_polling(monkeypatch, value, seconds):
    monkeypatch.setenv(POLL, value)
    assert _poll(Options()) == seconds
    assert _poll(Options(poll=2)) == 2


def test_a_run_reports_of_paths_as_named_and_without_symlinks(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "link").symlink_to("src")
    assert prefixes([f"{tmp_path}/link", f"{tmp_path}/a.py"]) == [
        f"{tmp_path}/link/",
        f"{tmp_path}/src/",
        f"{tmp_path}/a.py",
    ]


@pytest.mark.parametrize("name", ["{}.py", "{}/a.py"])
def test_a_run_reports_of_more_where_there_are_many_roots(tmp_path, name):
    roots = [f"{tmp_path}/{name.format(number)}" for number in range(3000)]
    found = tuple(prefixes(roots))
    assert all(root.startswith(found) for root in roots)
    assert sum(map(len, found)) < 1000


NOWHERE = Launch(request=Request(Script("a.py", cwd="/"), cwd="/nowhere"))


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        (b"", 0, ""),
        (b"{}", 0, ""),
        (b"{}\n", 2, "not a Launch: {}\n"),
        (
            encode(Launch(request=Request(Script("a.py", cwd="/"), cwd="/nowhere"))),
            2,
            "No such file or directory: '/nowhere'\n",
        ),
    ],
    ids=["nothing", "half a line", "something else", "a folder that is gone"],
)
def test_a_supervisor_that_cannot_begin_says_why_in_one_line(line, status, said):
    ours, theirs = socket.socketpair()
    command = [sys.executable, PROGRAM, LINK]
    with ours, theirs, subprocess.Popen(command, stdin=theirs, stderr=subprocess.PIPE, text=True) as supervisor:
        theirs.close()
        ours.sendall(line)
        ours.close()
        told = supervisor.stderr.read()
    assert supervisor.returncode == status
    assert told.endswith(said)
    assert told.count("\n") == bool(said)


def test_sockets_listen_where_they_are_asked_to():
    (one,) = listen(["127.0.0.1:0"])
    with one:
        host, port = one.getsockname()
        assert (host, one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) == ("127.0.0.1", 1)
        with pytest.raises(
            BadInput, match=rf"--socket: can't listen on 127.0.0.1:{port} \(Address already in use\); choo"
        ):
            list(listen([f"127.0.0.1:{port}"]))


def test_a_host_that_is_none_is_told():
    with pytest.raises(BadInput, match=r"--socket: can't listen on nowhere.invalid:1 \("):
        list(listen(["nowhere.invalid:1"]))


def test_what_is_not_watched_is_named_with_the_line_that_would_watch_it():
    request = Request(Script("main.py", cwd="/p"), ("src/", "two words"), cwd="/p")
    line = "%watch_restart src/ 'two words' a.csv main.py"
    assert _unwatched(request, ["/p/a.csv"], magic=True) == f"a.csv is read, but not watched: {line}"
    paths = ["/p/a b.csv", "/p/c", "/p/d", "/p/e"]
    many = _unwatched(Request(Script(module="app"), ("src/",), cwd="/p"), paths, magic=False)
    assert many == "'a b.csv' and 3 more is read, but not watched: ipy-autorestart src/ 'a b.csv' c d -m app"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(), "a restart empties the memory; --rerun all runs the cells again"),
        (Options(rerun="marked", warm=False), "a restart empties the memory and runs cells again"),
        (Options(checkpoints=True), "a restart keeps what cells made before they first used a changed file"),
        (
            Options(rerun="all"),
            "a restart keeps what cells made before they first used a changed file, and runs the others again",
        ),
    ],
)
def test_what_becomes_of_the_memory_is_told(options, words):
    assert lost(options) == words
