"""The restarter of a plain program, short of the exec: it waits for the program to ask."""

import os
import signal
import socket
import threading

import pytest
from fakes import FakeSupervisor

from ipy_autorestart import BadInput
from ipy_autorestart.program.restarter import ProgramRestarter
from ipy_autorestart.reexec.start import ProgramStart


@pytest.fixture
def restarter():
    restarter = ProgramRestarter(ProgramStart.of_program("/", None), asked=True, hangup_ignored=False)
    yield restarter
    restarter.close()


def hang_up():
    os.kill(os.getpid(), signal.SIGHUP)


def test_a_hangup_waits_until_the_program_asks(restarter):
    restarter.arm(FakeSupervisor())
    hang_up()
    with restarter.held():
        hang_up()
    assert restarter.describe() == "restart_if_changed()"
    assert restarter.withdraw()
    assert not restarter.withdraw()
    restarter.restart_if_pending()


def test_a_program_outlives_its_supervisor(restarter):
    supervisor = FakeSupervisor()
    restarter.arm(supervisor)
    restarter.disarm(supervisor)
    hang_up()
    assert restarter.withdraw()


def test_closing_stops_the_supervisor_and_gives_the_handler_back(restarter):
    before = signal.getsignal(signal.SIGHUP)
    supervisor = FakeSupervisor()
    restarter.supervisors.append(supervisor)
    restarter.arm(supervisor)
    assert restarter.is_active
    restarter.close()
    restarter.close()
    assert not restarter.is_active
    assert not supervisor.is_alive
    assert signal.getsignal(signal.SIGHUP) == before


def test_only_the_main_thread_can_close(restarter):
    restarter.arm(FakeSupervisor())
    caught = []

    def close():
        try:
            restarter.close()
        except BadInput as error:
            caught.append(str(error))

    thread = threading.Thread(target=close)
    thread.start()
    thread.join()
    assert caught == ["only the main thread can end the watch; close it there"]


def test_only_open_sockets_can_be_kept(restarter):
    with socket.socket() as sock:
        restarter.keep(sock)
    for other in (sock, None, 3):
        with pytest.raises(BadInput, match="expected an open socket"):
            restarter.keep(other)


def test_where_hangups_were_ignored_they_are_so_again():
    before = signal.getsignal(signal.SIGHUP)
    restarter = ProgramRestarter(ProgramStart.of_program("/", None), asked=True, hangup_ignored=True)
    restarter.arm(FakeSupervisor())
    restarter.close()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    signal.signal(signal.SIGHUP, before)
