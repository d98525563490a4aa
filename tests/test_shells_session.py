"""What the extension keeps of one shell, and how a new image goes on with it."""

import contextlib
import types

import pytest
from fakes import FakeShell

from ipy_autorestart.extension import session_of
from ipy_autorestart.kernel.restarter import KernelRestarter


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


def test_a_kernel_can_be_restarted_and_an_embedded_shell_can_not(shell):
    assert session_of(shell).restarter is None
    session_of(shell).close()
    shell.kernel = types.SimpleNamespace(get_parent=lambda channel: {})
    assert isinstance(session_of(shell).restarter, KernelRestarter)
    assert session_of(shell).lines is None
