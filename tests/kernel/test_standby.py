"""The names of pyzmq as a kernel finds them that starts behind a proxy; the rest is tested with real proxies."""

import pytest
import zmq

from ipy_autorestart.kernel.standby import _Kinds, _look_anew


def test_sockets_to_be_connected_to_are_made_to_connect():
    kinds = _Kinds(zmq)
    assert kinds.ROUTER == zmq.DEALER
    assert kinds.XPUB == kinds.PUB == zmq.PUSH
    assert kinds.STREAM == zmq.STREAM
    assert not hasattr(kinds, "ROUTER_HANDOVER")


def test_a_folder_that_was_made_anew_is_entered(tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rename(tmp_path / "old")
    folder.mkdir()
    _look_anew(str(folder))
    (folder / "new").touch()
    assert (tmp_path / "folder/new").samefile("new")


@pytest.mark.parametrize("gone", [True, False])
def test_a_folder_that_is_gone_or_was_left_is_left_alone(tmp_path, monkeypatch, gone):
    monkeypatch.chdir(tmp_path)
    _look_anew(str(tmp_path / "nowhere") if gone else str(tmp_path))
