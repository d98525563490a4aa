"""What the extension keeps of one shell, and how a new image goes on with it."""

import contextlib
import os
import signal
import socket
import sys
import types

import pytest
from fakes import FakeShell
from ipykernel.kernelapp import IPKernelApp

from ipy_autorestart import extension
from ipy_autorestart.extension import session_of
from ipy_autorestart.kernel.restarter import KernelRestarter
from ipy_autorestart.protocol.messages import Status
from ipy_autorestart.protocol.options import Options
from ipy_autorestart.protocol.request import Kernel, Request
from ipy_autorestart.reexec.state import SupervisorState


@pytest.fixture
def shell():
    shell = FakeShell()
    yield shell
    with contextlib.suppress(AttributeError):
        shell._ipy_autorestart.close()


def callbacks(shell):
    return sum(map(len, shell.events.callbacks.values()))


def test_a_shell_has_one(shell):
    assert session_of(shell) is session_of(shell)


def test_closed_it_leaves_nothing_in_the_shell(shell):
    before = callbacks(shell)
    session_of(shell)
    assert callbacks(shell) > before
    session_of(shell).close()
    assert callbacks(shell) == before
    assert not hasattr(shell, "_ipy_autorestart")


def test_a_kernel_of_its_own_can_be_restarted_and_what_is_embedded_can_not(shell, monkeypatch):
    assert session_of(shell).restarter is None
    assert "an IPython at a prompt" in session_of(shell).why_not
    session_of(shell).close()
    monkeypatch.setattr(sys, "orig_argv", ["python", "main.py"])
    shell.kernel = types.SimpleNamespace(
        get_parent=lambda channel: {}, parent=IPKernelApp(), user_module=None, user_ns=None
    )
    session_of(shell)  # as a startup file does, before a program says where its cells run
    shell.kernel.user_ns = {}
    assert session_of(shell).restarter is None
    assert "part of another program (main.py)" in session_of(shell).why_not
    shell.kernel.user_ns = None
    assert isinstance(session_of(shell).restarter, KernelRestarter)
    assert session_of(shell).lines is None


class FakeHangups:
    """The bootstrap's, which noted nothing."""

    noted, previous = False, signal.SIG_DFL

    def __init__(self):
        self.ended = False

    def end(self):
        self.ended = True


def test_a_supervisor_that_cannot_go_on_is_ended_by_its_link(shell):
    ours, theirs = socket.socketpair()
    state = SupervisorState(
        link=ours.detach(),
        hangups=os.open(os.devnull, os.O_RDONLY),
        received=b"",
        pid=1,
        request=Request(Kernel(), ("/",), Options(), "/"),  # which this shell can't restart
        label="",
        screen=None,
        status=Status(),
        runs=(),
        decisions=(),
    )
    hangups = FakeHangups()
    extension.resume(shell, [state], hangups, None)
    assert hangups.ended
    assert session_of(shell).supervisors == []
    with theirs:
        assert theirs.recv(1) == b""
