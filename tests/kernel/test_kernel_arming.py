"""Parts of the way behind a proxy; the whole of it is tested with real kernels, beside the proxy's tests."""

import os
import socket
import threading

import pytest

from ipy_autorestart.kernel import arming
from ipy_autorestart.wire.link import NAME, Connect, Link


def test_the_copy_waits_for_the_proxy(tmp_path):
    found = []
    thread = threading.Thread(target=lambda: found.append(arming._connected(str(tmp_path))))
    thread.start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"{tmp_path}/{NAME}")
        listener.listen()
        accepted, _ = listener.accept()
    thread.join()
    proxy = Link(accepted)
    proxy.send(Connect(1))
    assert found[0].receive() == (Connect(1), [])
    for one in (proxy, *found):
        one.close()


def test_it_does_not_wait_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(arming, "PROXY_MAX", 0.0)
    with pytest.raises(FileNotFoundError):
        arming._connected(str(tmp_path))


def test_modules_are_told_by_their_files_in_the_order_of_their_import():
    found = arming._installed()
    assert found.index(os.__file__) < found.index(pytest.__file__)
    assert arming.__file__ not in found  # a project's own, here
    assert __file__ not in found
