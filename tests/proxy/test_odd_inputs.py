"""What clients, startup files and surroundings may do to a proxy."""

import os
from pathlib import Path

import psutil
import pytest
from behind import Behind
from processes import words_of
from waiting import DEADLINE, eventually

pytestmark = pytest.mark.e2e


@pytest.fixture
def behind(kernel, project):
    return Behind(kernel, project)


def test_the_extension_can_be_reloaded(behind, kernel):
    pid = kernel.pid
    assert kernel.run("%reload_ext ipy_autorestart").error == ""
    behind.watching = kernel.run("%watch_restart src/ --rerun all", cell_id="watch")
    kernel.wait(lambda: "running" in behind.watching.text)
    behind.restarts = 0
    kernel.run("import sys; sys.path.insert(0, 'src'); import a; print('again', a.V)", cell_id="use")
    behind.save(5)
    assert kernel.pid == pid
    assert behind.live != pid


def test_a_header_without_an_end_and_a_strangers_request_do_no_harm(behind, kernel):
    live = behind.live
    kernel.run('get_ipython().kernel._ipy_autorestart_proxy._socket.send(b\'{"class": "OfALaterVersion"}\')')
    assert behind.live == live
    socket = kernel.client.shell_channel.socket
    socket.send_multipart([b"<IDS|MSG>", b"signature", b"[" * 200_000, b"{}", b"{}", b"{}"])
    client = kernel.client
    frames = client.session.serialize(client.session.msg("execute_request", {"code": "forged = 1"}))
    socket.send_multipart([frames[0], b"0" * 64, *frames[2:]])
    behind.save(3)
    assert behind.use.streams() == "value 3\n"
    assert kernel.run("'forged' in globals()").text == "False"


@pytest.mark.parametrize("cell_id", [None, 7])
def test_a_crash_of_a_cell_with_an_odd_id_is_survived(behind, kernel, cell_id):
    message = kernel.client.session.msg("execute_request", {"code": "import os; os._exit(1)"})
    message["metadata"] = {"cellId": cell_id}
    kernel.client.shell_channel.send(message)
    eventually(lambda: kernel.run("1 + 1").text == "2")


def test_startup_files_choose_the_folder_and_leave_no_children(start_kernel, project, monkeypatch):
    startup = Path(os.environ["IPYTHONDIR"], "profile_default/startup")
    startup.mkdir(parents=True)
    inner = project / "inner"
    inner.mkdir()
    (inner / "src").symlink_to("../src")
    start = f"import os, subprocess\nos.chdir({str(inner)!r})\nsubprocess.Popen(['sleep', '600'])\n"
    (startup / "start.py").write_text(start)
    deep = project / ("long" * 20)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    with start_kernel() as kernel:
        kernel.run(f"import os; os.chdir({str(project)!r})")
        behind = Behind(kernel, project)
        assert kernel.run("import os; os.getcwd()").text == repr(str(inner))
        assert not behind.folder.startswith(str(deep))
        ours = psutil.Process(kernel.pid).children(recursive=True)
        assert any("sleep" in words_of(one) for one in ours)
    _, alive = psutil.wait_procs(ours, timeout=DEADLINE)
    assert alive == []
