"""Whatever is typed behind a magic works or gets one clear line; hypothesis types it."""

import os
import shlex
import sys

import length
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from IPython.core.completer import CompletionContext
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from ipy_autorestart.magics import BY_HAND, WatchMagics, _options
from ipy_autorestart.protocol.options import each
from ipy_autorestart.protocol.parse import parse
from ipy_autorestart.protocol.plain import from_json, to_json
from ipy_autorestart.protocol.request import Launch, Script

pytestmark = pytest.mark.timeout(60 + length.examples(200) / 50)

FLAGS = ["-m", "--", *BY_HAND, *(option.flag for option in (*each(), *each(Script)))]

WORDS = [
    *("src/", "src/a.py", "main.py", "./main.py", "~/main.py", "~nobody/x.py", "/", ".", "..", "kernel", "mine"),
    *("pkg.m", "*.toml", "[!a-", "[]", "**/x", "{a,b}", "*" * 40, "-1", "0", "1e999", "nan", "inf", "9" * 400, "1_0"),
    *("TERM", "sigint", "SIGKILL", "wait", "interrupt", "all", "marked", "A=1", "=", "A==", "numpy,torch", ",", "a.b."),
    *(
        "=x",
        "--=",
        "--cwd=src",
        "--python=nowhere/python",
        "x" * 300,
        "x" * 5000,
        "\0",
        "a\0b.py",
        "\ud800",
        "\udc80.py",
    ),
    *(
        "ä",
        "雪.py",
        "\u202e",
        "🐍.py",
        "\x1b[31m",
        "\r",
        "a\nb.py",
        "%d",
        "{x}",
        "$HOME",
        "`id`",
        "\\",
        "'",
        '"',
        "#",
        "-",
    ),
]

word = st.one_of(st.sampled_from(FLAGS), st.sampled_from(WORDS), st.text(max_size=20))
worded = st.tuples(st.sampled_from(FLAGS), st.sampled_from(["=", " "]), word).map(lambda parts: "".join(parts))
quoted = st.one_of(word, word.map(shlex.quote), worded)
lines = st.lists(quoted, max_size=8).map(" ".join)

VALID = [
    "src/ main.py",
    "src/ main.py --debounce 0.5 --pattern '*.toml' --ignore tmp/ -- --port 80",
    "src/ -m app serve --stop-signal INT --env A=1 --cwd src -- -m x",
    "src/ --rerun all --on-busy interrupt --busy-timeout 3",
    "main.py --cold --keep --strict --all --gitignore --poll 0.1 --preload numpy,torch",
    "--now main.py",
]


@st.composite
def mutated(draw):
    """A line that is right but for a few characters."""
    line = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(line)))
        cut = draw(st.integers(0, 3))
        line = line[:at] + draw(st.one_of(st.just(""), st.text(max_size=3), st.sampled_from(WORDS))) + line[at + cut :]
    return line


@pytest.fixture
def magics(project, monkeypatch):
    """The magics in a shell of their own, whose supervisors can't be started: what gets so far is right."""
    monkeypatch.setattr(sys, "executable", os.fspath(project / "no-python"))
    (project / "app.py").touch()
    magics = WatchMagics(InteractiveShell(config=Config(HistoryManager={"enabled": False})))
    yield magics
    magics.close()


NOT_STARTED = "the supervisor can't be started: [Errno 2]"

ONE_BY_ONE = settings(
    max_examples=length.examples(200),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def said(magic, line):
    """What a user is told, "" for nothing; any other exception than one for users fails the test."""
    try:
        magic(line)
    except UsageError as error:
        return str(error).replace("\n  ", " ")  # broken to fit a terminal
    return ""


@ONE_BY_ONE
@given(line=st.one_of(lines, mutated()))
def test_what_begins_a_watch_is_right_or_gets_one_clear_line(magics, line):
    told = said(magics.watch_restart, line)
    begins = [f"%watch_restart{act}: " for act in ("", *(f" {one}" for one in BY_HAND))]
    assert told.startswith(tuple(begins)), "nothing can be started here"
    assert told.isprintable(), told
    assert not magics._session.supervisors
    if NOT_STARTED in told:
        assert_the_supervisor_reads_the_same(magics, line)


def assert_the_supervisor_reads_the_same(magics, line):
    """What the magic has accepted must not be refused, or read otherwise, by the process that it starts."""
    request = parse(shlex.split(line), defaults=_options(magics.defaults))
    launch = Launch(request=request)
    assert from_json(Launch, to_json(launch, [])) == launch


@ONE_BY_ONE
@given(line=lines)
def test_what_ends_a_watch_or_asks_for_it_gets_one_clear_line(magics, line):
    for name, magic in (("%unwatch", magics.unwatch), ("%watch_status", magics.watch_status)):
        told = said(magic, line)
        assert told.startswith(f"{name}: ") or not line.strip() or line.strip() in ("--why", "--json"), told
        assert told.isprintable(), told


@ONE_BY_ONE
@given(magic=st.sampled_from(["watch_restart", "%unwatch", "  %watch_status"]), line=st.one_of(lines, mutated()))
def test_any_line_can_be_completed(magics, magic, line):
    text = f"{magic} {line}"
    magics.match(CompletionContext(token="", full_text=text, cursor_position=len(text), cursor_line=0, limit=None))
