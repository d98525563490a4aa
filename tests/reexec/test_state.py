"""What is handed over an exec arrives as it was written."""

import os

import pytest
from carried import PROCESS
from hypothesis import given
from hypothesis import strategies as st

from ipy_autorestart.decide.change import Broken, Change, Kind
from ipy_autorestart.decide.facts import Cause, Reason, State
from ipy_autorestart.protocol.messages import Decided, Files, Ran, Status
from ipy_autorestart.protocol.options import Options
from ipy_autorestart.protocol.request import Kernel, Request, Script
from ipy_autorestart.reexec.process import ListeningSocket, ProcessState
from ipy_autorestart.reexec.state import (
    Carried,
    KernelState,
    ProgramState,
    SupervisorState,
    TerminalState,
)

TEXT = st.text(max_size=5)
FDS = st.integers(3, 1 << 20)
FRAMES = st.lists(st.binary(max_size=5), max_size=3).map(tuple)
PLAIN = st.none() | st.dictionaries(TEXT, st.none() | st.booleans() | st.integers() | TEXT | st.lists(TEXT), max_size=3)
NAMES = st.text("abc-é/\udc80", min_size=1, max_size=5)
TARGETS = st.builds(Kernel, name=TEXT) | st.builds(
    Script, NAMES, args=st.lists(NAMES), cwd=st.just("/srv"), env=st.dictionaries(st.text("AB", min_size=1), NAMES)
)
REQUESTS = st.builds(
    Request,
    TARGETS,
    st.lists(NAMES, max_size=2).map(tuple),
    st.builds(Options, pattern=st.lists(NAMES, max_size=2).map(tuple), debounce=st.floats(0, 3600), all=st.booleans()),
    st.just("/srv"),
)
PROCESSES = st.builds(
    ProcessState,
    argv=st.lists(TEXT).map(tuple),
    folder=TEXT,
    environment=st.dictionaries(NAMES, NAMES, max_size=3),
    surroundings=PLAIN.map(lambda plain: plain or {}),
    hangup_ignored=st.booleans(),
    ignored=st.frozensets(st.integers(1, 64)),
    blocked=st.frozensets(st.integers(1, 64)),
)
CHANGES = st.lists(st.builds(Change, TEXT, st.sampled_from(Kind)), max_size=3).map(tuple)
CAUSES = st.none() | st.builds(Cause, st.sampled_from(Reason), CHANGES, more=st.integers(0, 9))
FILES = st.none() | st.builds(Files, st.lists(TEXT, min_size=1, max_size=3).map(tuple), st.integers(0, 9))
STATUSES = st.builds(
    Status,
    st.sampled_from(State),
    CAUSES,
    runs=st.integers(),
    lasted=st.none() | st.floats(0, 9),
    broken=st.none() | st.builds(Broken, TEXT, TEXT, st.integers(0, 9)),
    unused=FILES,
    notes=st.lists(TEXT, max_size=3).map(tuple),
    warm=st.none() | st.booleans(),
)
SUPERVISORS = st.builds(
    SupervisorState,
    link=FDS,
    received=st.binary(),
    pid=FDS,
    request=REQUESTS,
    label=TEXT,
    screen=PLAIN,
    status=STATUSES,
    runs=st.lists(st.builds(Ran, run=st.integers(), at=st.floats(0, 9), cause=CAUSES), max_size=3).map(tuple),
    decisions=st.lists(st.builds(Decided, at=st.floats(0, 9), why=TEXT), max_size=3).map(tuple),
)
KERNELS = st.builds(
    KernelState,
    gaps=st.lists(st.floats(0, 1), max_size=3).map(tuple),
    connection_file=TEXT,
    connection=PLAIN.map(lambda plain: plain or {}),
    owns_connection_file=st.booleans(),
    plain_debugger=st.booleans(),
    early_embed=st.booleans(),
    subshells=st.lists(TEXT).map(tuple),
    listeners=st.lists(st.builds(ListeningSocket, TEXT, FDS, FDS, st.none() | FDS), max_size=3).map(tuple),
    requests=st.dictionaries(TEXT, st.lists(FRAMES, max_size=3).map(tuple), max_size=3),
    cells=PLAIN,
)
PROGRAMS = st.builds(
    ProgramState,
    pid=FDS,
    inherited=st.lists(st.tuples(FDS, FDS, FDS)).map(tuple),
    kept=st.lists(FDS).map(tuple),
    since_ns=st.integers(0, 1 << 62),
)
TERMINALS = st.builds(TerminalState, typed=TEXT, cells=PLAIN)
ALL = st.builds(Carried, PROCESSES, st.lists(SUPERVISORS, max_size=2).map(tuple), KERNELS | TERMINALS | PROGRAMS, TEXT)


@given(ALL)
def test_what_is_written_is_read(carried):
    fd = os.memfd_create("state")
    carried.write(fd)
    assert Carried.read(fd) == carried


def test_the_file_is_closed_once_it_is_read():
    fd = os.memfd_create("state")
    Carried(PROCESS, (), TerminalState(typed="x", cells=None)).write(fd)
    Carried.read(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


@pytest.mark.parametrize("text", [b"", b"[]\n", b"{}\n", b'{"class": "Carried", "own": {}}\n', b"\x80"])
def test_a_file_of_somebody_elses_is_none(text):
    fd = os.memfd_create("state")
    os.write(fd, text)
    os.lseek(fd, 0, os.SEEK_SET)
    with pytest.raises(ValueError):  # noqa: PT011  # of whatever kind
        Carried.read(fd)


def test_it_names_each_descriptor_that_stays_open():
    supervisor = SupervisorState(
        link=3,
        hangups=8,
        received=b"",
        pid=1,
        request=Request(Kernel(), (), Options(), "/"),
        label="",
        screen=None,
        status=Status(),
        runs=(),
        decisions=(),
    )
    kernel = KernelState(
        connection_file="",
        connection={},
        owns_connection_file=False,
        plain_debugger=False,
        early_embed=False,
        subshells=(),
        listeners=(ListeningSocket("shell", 8000, 4, 1), ListeningSocket("hb", 8001, 5, None)),
        requests={},
        gaps=(),
        cells=None,
    )
    program = ProgramState(pid=1, inherited=((9, 0, 0),), kept=(6, 7), since_ns=0)
    assert Carried(PROCESS, (supervisor,), kernel).fds == (3, 8, 4, 5)
    assert Carried(PROCESS, (supervisor,), program).fds == (3, 8, 6, 7)
    assert Carried(PROCESS, (), TerminalState(typed="", cells=None)).fds == ()


def test_its_descriptors_can_be_kept_from_children():
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)  # noqa: FBT003  # the name says it
    program = ProgramState(pid=1, inherited=(), kept=(reader,), since_ns=0)
    Carried(PROCESS, (), program).keep_from_children()
    assert not os.get_inheritable(reader)
    os.close(reader)
    os.close(writer)
