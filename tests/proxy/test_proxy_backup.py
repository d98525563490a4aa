"""The state that a proxy has for the next kernel."""

import os
import socket

import pytest
from carried import PROCESS

from ipy_autorestart.proxy.backup import Backup
from ipy_autorestart.reexec.state import Carried, ProgramState
from ipy_autorestart.wire.link import Link, TakeOver


def state(*kept):
    file = os.memfd_create("state")
    Carried(PROCESS, (), ProgramState(pid=7, inherited=(), kept=kept, since_ns=0)).write(file)
    return [file, *kept]


@pytest.fixture
def ends():
    pair = [Link(one) for one in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)]
    yield pair
    for one in pair:
        one.close()


def test_it_can_be_handed_over_again_and_again_until_there_is_another(ends):
    ours, theirs = ends
    first, link, hangups, write = os.dup(0), os.dup(0), *os.pipe()
    backup = Backup(state(first))
    for _ in range(2):
        backup.hand_over(ours, TakeOver(gone=("1",)))
        word, [file, *fds] = theirs.receive()
        assert word == TakeOver(gone=("1",))
        assert Carried.read(file).renumbered(fds).own.pid == 7
        os.close(fds[0])
    other = os.memfd_create("other")
    backup.replace([other, link, hangups])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(first)
    assert not backup.announces_hangup()
    os.write(write, b".")
    assert backup.announces_hangup()
    backup.close()
    for fd in (other, link, hangups):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    os.close(write)
