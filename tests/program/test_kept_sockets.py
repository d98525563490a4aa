"""Sockets that a program keeps stay open over its restarts: whoever waits to be served is."""

import re
import socket
import threading

import pytest
from waiting import DEADLINE, eventually

pytestmark = pytest.mark.e2e

SERVER = """
[server] = kept_sockets() or [socket.create_server(("localhost", 0))]
server.settimeout(0.02)
restart_on_change("src", keep=[server], enabled=True, when="asked")
assert not server.get_inheritable()
say("value", a.V, server.getsockname()[1])
while True:
    restart_if_changed()
    try: client, _ = server.accept()
    except TimeoutError: continue
    with client: client.sendall(str(a.V).encode())
"""


def answer(port):
    with socket.create_connection(("localhost", port), timeout=DEADLINE) as client:
        return client.recv(10)


def test_every_client_is_served_while_it_restarts(start):
    program = start(SERVER)
    port = int(program.wait(r"value 1 (\d+)").group(1))
    answers, ended = [], threading.Event()

    def ask():
        while not ended.is_set():
            try:
                answers.append(answer(port))
            except OSError as error:
                answers.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for number in range(2, 7):
            eventually(lambda served=b"%d" % (number - 1): served in answers)
            program.save(number)
            assert int(program.wait(rf"value {number} (\d+)").group(1)) == port
    finally:
        ended.set()
        asking.join()
    assert not [one for one in answers if isinstance(one, OSError)]
    assert {b"1", b"2", b"3", b"4", b"5"} <= set(answers) <= {b"1", b"2", b"3", b"4", b"5", b"6"}


def test_they_come_back_in_order_once_and_as_new_ones_do(start, project):
    code = """
kept = kept_sockets()
say("kept", [sock.getsockname()[1] for sock in kept], [sock.gettimeout() for sock in kept], kept_sockets())
kept = kept or [socket.create_server(("localhost", 0)) for _ in range(3)]
watch = restart_on_change("src", keep=kept[:2], enabled=True)
watch.keep(kept[2])
kept[1].setblocking(False)
atexit.register(kept[0].close)
say("ports", [sock.getsockname()[1] for sock in kept])
while True: time.sleep(0.02)
"""
    program = start(code)
    ports = program.wait(r"ports (.*)").group(1)
    assert "kept [] [] []" in program.text
    program.hang_up()
    assert program.wait(r"kept \[\d.*", times=1).group() == f"kept {ports} [None, None, None] []"


def test_what_nobody_claims_is_closed(start):
    code = """
if not os.path.exists("once"):
    open("once", "w").close()
    server = socket.create_server(("localhost", 0))
    restart_on_change("src", keep=[server], enabled=True)
    say("port", server.getsockname()[1])
else:
    restart_on_change("src", enabled=True)
    say("closed")
while True: time.sleep(0.02)
"""
    program = start(code)
    port = int(program.wait(r"port (\d+)").group(1))
    program.hang_up()
    program.wait("closed")
    with pytest.raises(ConnectionRefusedError):
        answer(port)


def test_a_child_finds_no_sockets_of_its_parents(start):
    code = """
import subprocess
if "child" in sys.argv:
    print("child has", kept_sockets())
    sys.exit()
subprocess.run([sys.executable, "main.py", "child"])
kept = kept_sockets()
sock = socket.create_server(("localhost", 0))
restart_on_change("src", keep=[sock], enabled=True)
say("parent has", len(kept))
while True: time.sleep(0.02)
"""
    program = start(code)
    program.wait("parent has 0")
    program.hang_up()
    program.wait("parent has 1")
    assert re.findall("child has .*", program.text) == ["child has []"] * 2
