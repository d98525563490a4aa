"""What a forked process inherits of libzmq and event loops is let go of, and nothing else."""

import asyncio
import os
import select
import signal
import socket
import threading
import traceback

import pytest
import zmq
from tornado.ioloop import IOLoop
from waiting import eventually
from zmq.eventloop.zmqstream import ZMQStream

from ipy_autorestart.kernel import inherited, proc
from ipy_autorestart.kernel.inherited import (
    CantCopy,
    epolls_of_libzmq,
    let_go_of_libzmq,
    let_go_of_loop,
    renew_loop,
    wakeup_fd,
)

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="only Linux tells of descriptors in /proc")


def descriptors():
    return {fd: what for fd, _, what in proc.descriptors()}


def in_a_fork(act):
    """Call a function in a forked process; return its status, which is 0 if it has returned."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        act()
        os._exit(0)
    except BaseException:  # noqa: BLE001  # it must not run the other tests
        os.write(2, traceback.format_exc().encode())
        os._exit(1)


@pytest.fixture
def before():
    """The descriptors before all else."""
    return set(descriptors())


@pytest.fixture
def context():
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture
def talking(context):
    """Two sockets that have spoken with each other, over TCP and within the process."""
    server, client = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    port = server.bind_to_random_port("tcp://127.0.0.1")
    client.connect(f"tcp://127.0.0.1:{port}")
    client.send(b"here")
    assert server.recv() == b"here"
    return server, client


def test_all_of_a_context_is_closed_and_nothing_else(before, context, talking):
    epoll, _, event = users = select.epoll(), socket.socket(), os.fdopen(os.eventfd(0), "wb", buffering=0)
    epoll.register(event, select.EPOLLIN)
    numbers = {user.fileno() for user in users}
    twin = os.dup(next(filter(listens, set(descriptors()) - before)))
    epolls = epolls_of_libzmq([context])
    assert len(epolls) == 2  # one thread reads and writes, one closes

    def let_go():
        let_go_of_libzmq([context], epolls)
        left = set(descriptors()) - before
        assert numbers <= left
        rest = {fd: what for fd, what in descriptors().items() if fd in left - numbers}
        assert len(rest) <= 1, rest  # libzmq has one more for each context, which nothing tells of
        for each in talking:
            assert each.closed
            with pytest.raises(zmq.ZMQError, match="non-socket"):
                each.send(b"late")
        assert context.closed

    assert in_a_fork(let_go) == 0
    talking[1].send(b"goes on")
    assert talking[0].recv() == b"goes on"
    os.close(twin)
    for user in users:
        user.close()


def listens(fd):
    try:
        sock = socket.socket(fileno=fd)
    except OSError:  # no socket
        return False
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    finally:
        sock.detach()


def test_what_nothing_tells_of_is_closed_where_the_user_has_no_such_thing(before, context, talking):
    epolls = epolls_of_libzmq([context])

    def let_go():
        let_go_of_libzmq([context], epolls)
        assert not {fd: what for fd, what in descriptors().items() if fd not in before}

    assert in_a_fork(let_go) == 0


def test_a_thread_that_does_not_wait_is_waited_for(context, talking, monkeypatch):
    monkeypatch.setattr(inherited, "WAITING_MAX", 0.05)
    monkeypatch.setattr(proc, "EPOLL", "nothing")
    with pytest.raises(CantCopy, match="busy"):
        epolls_of_libzmq([context])


def test_the_loop_of_a_thread_is_closed_without_a_word(caplog):
    made = []

    def run():
        io_loop = IOLoop(make_current=False)
        io_loop.add_callback(lambda: made.append(asyncio.ensure_future(asyncio.sleep(1000))))
        made.append(io_loop)
        io_loop.start()
        made[1].cancel()
        io_loop.run_sync(lambda: asyncio.sleep(0))
        io_loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    eventually(lambda: len(made) == 2)
    io_loop = made[0]
    mine = {io_loop.asyncio_loop._ssock.fileno(), io_loop.asyncio_loop._csock.fileno()}

    def let_go():
        let_go_of_loop(io_loop)
        assert not mine & set(descriptors())
        assert io_loop.asyncio_loop.is_closed()
        io_loop.add_callback(print)  # which tornado doesn't mind
        made.clear()
        assert not caplog.records

    assert in_a_fork(let_go) == 0
    io_loop.add_callback(io_loop.stop)  # it is there and hears
    thread.join()


def test_a_programs_own_way_to_be_woken_by_signals_stays():
    async def play():
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)  # noqa: FBT003
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)

        io_loop, wakeup = IOLoop.current(), wakeup_fd()
        assert wakeup == theirs.fileno()

        def renew():
            renew_loop(io_loop, is_running=True, wakeup=wakeup)
            assert signal.set_wakeup_fd(-1) == theirs.fileno()
            theirs.close()
            renew_loop(io_loop, is_running=True, wakeup=wakeup)
            assert signal.set_wakeup_fd(-1) == -1

        assert in_a_fork(renew) == 0
        assert signal.set_wakeup_fd(-1) == theirs.fileno()
        ours.close()
        theirs.close()

    asyncio.run(play())


def test_the_main_loop_goes_on_in_both(context, talking):
    """With tasks, timers, callbacks that are due, the user's descriptors and signals; libzmq's sockets leave it."""
    server, client = talking
    heard = []

    async def play():
        io_loop = IOLoop.current()
        loop = asyncio.get_running_loop()
        stream = ZMQStream(server, io_loop)
        stream.on_recv(heard.append)
        readable, written = socket.socketpair()
        loop.add_reader(readable, lambda: heard.append(readable.recv(10)))
        loop.add_signal_handler(signal.SIGUSR1, heard.append, "signal")
        task = loop.create_task(asyncio.sleep(0.05, "slept"))
        epolls = epolls_of_libzmq([context])
        client.send(b"late")
        assert select.select([server.FD], [], [], 10)[0]  # it is due, and nothing has been read
        loop.call_soon(heard.append, "due")
        wakeup = wakeup_fd()
        pid = os.fork()
        if not pid:
            try:
                renew_loop(io_loop, is_running=True, wakeup=wakeup)
                let_go_of_libzmq([context], epolls)
                written.send(b"mine")
                os.kill(os.getpid(), signal.SIGUSR1)
                assert await task == "slept"
                assert sorted(map(str, heard)) == ["b'mine'", "due", "signal"], heard
                assert asyncio.get_event_loop() is loop
                os._exit(0)
            except BaseException:  # noqa: BLE001  # it must not run the other tests
                os.write(2, traceback.format_exc().encode())
                os._exit(1)
        loop.remove_reader(readable)  # it is one for both, and meant for the other one
        status = await asyncio.to_thread(os.waitpid, pid, 0)
        assert status[1] == 0
        assert await task == "slept"
        assert sorted(map(str, heard)) == ["[b'late']", "due"]
        client.send(b"later")
        while len(heard) < 3:
            await asyncio.sleep(0.001)
        loop.remove_signal_handler(signal.SIGUSR1)
        stream.close()
        readable.close()
        written.close()

    asyncio.run(play())
