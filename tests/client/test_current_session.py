import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from ipy_autorestart.client.session import ATTRIBUTE, current_session


@pytest.fixture
def shell(monkeypatch, tmp_path):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    yield InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    InteractiveShell.clear_instance()


def test_a_process_without_a_shell_has_no_session():
    assert current_session() is None


def test_a_shell_without_the_extension_has_no_session(shell):
    assert current_session() is None


def test_a_shells_session_is_found(shell):
    session = object()
    setattr(shell, ATTRIBUTE, session)

    assert current_session() is session
