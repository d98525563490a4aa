"""The names of pyzmq as a kernel finds them that starts behind a proxy; the rest is tested with real proxies."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import zmq

from ipy_autorestart.kernel.standby import Folder, _address, _Kinds, number_of
from ipy_autorestart.wire.link import Connect, Ready


def test_sockets_to_be_connected_to_are_made_to_connect():
    kinds = _Kinds(zmq)
    assert kinds.ROUTER == zmq.DEALER
    assert kinds.XPUB == kinds.PUB == zmq.PUSH
    assert kinds.STREAM == zmq.STREAM
    assert not hasattr(kinds, "ROUTER_HANDOVER")


def test_the_first_word_is_the_number_of_the_sockets():
    """It is checked where Python is told not to check what is asserted, too."""
    words = [Connect(7), Ready()]
    link = SimpleNamespace(receive=lambda: (words.pop(0), []))
    assert number_of(link) == 7
    with pytest.raises(ValueError, match="Ready instead of Connect"):
        number_of(link)


@pytest.mark.parametrize("act", ["Link.to_proxy({folder!r})", "number_of(Link(closed))"])
def test_a_kernel_whose_proxy_is_gone_ends_without_a_word(act, tmp_path):
    code = f"""
import socket
from ipy_autorestart.kernel.standby import Link, number_of, reached
closed, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
other.close()
with reached():
    {act.format(folder=str(tmp_path))}
print("went on")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_the_proxy_is_found_where_it_is_bound():
    for transport, ip, address in (
        ("tcp", "127.0.0.1", "tcp://127.0.0.1:5"),
        ("tcp", "*", "tcp://0.0.0.0:5"),
        ("ipc", "/run/kernel", "ipc:///run/kernel-5"),
    ):
        assert _address(SimpleNamespace(transport=transport, ip=ip), 5) == address


def test_a_folder_that_was_made_anew_is_entered(tmp_path, monkeypatch):
    path = tmp_path / "folder"
    path.mkdir()
    monkeypatch.chdir(path)
    folder = Folder()
    path.rename(tmp_path / "old")
    path.mkdir()
    folder.enter()
    (path / "new").touch()
    assert (tmp_path / "folder/new").samefile("new")


def test_a_folder_that_is_gone_is_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "folder"
    path.mkdir()
    monkeypatch.chdir(path)
    folder = Folder()
    path.rmdir()
    folder.enter()
    Folder().enter()
    with pytest.raises(FileNotFoundError):
        os.getcwd()
