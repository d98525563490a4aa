"""What a kernel leaves to the proxy that it becomes."""

import os

from carried import PROCESS

from ipy_autorestart.reexec.process import ListeningSocket, ProxyState


def test_it_is_the_same_behind_the_exec():
    shell, start, backup, link = (os.dup(0) for _ in range(4))
    state = ProxyState(
        process=PROCESS,
        connection_file="/k.json",
        connection={"key": "k", "shell_port": 1},
        owns_connection_file=True,
        listeners=(ListeningSocket("shell", 1, shell, None),),
        requests={"shell": ((b"a", b"\xff\x00"),), "control": ()},
        folder="/f",
        packages="/p",
        copied=7,
        roots=("src",),
        start=start,
        backup=(backup, link),
    )
    assert state.fds == (shell, start, backup, link)
    file = os.memfd_create("state")
    state.write(file)
    for fd in state.fds:
        os.set_inheritable(fd, True)  # noqa: FBT003  # the name says it
    found = ProxyState.read(file)
    assert found == state
    found.keep_from_children()
    assert not any(map(os.get_inheritable, state.fds))
    for fd in state.fds:
        os.close(fd)
