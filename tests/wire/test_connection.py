"""The connection of a kernel, and the file that tells it."""

import json
import os
import stat

import pytest
from ipykernel.kernelapp import IPKernelApp

from ipy_autorestart.wire.connection import connect_as, connection_of, read_file, restore_file

CONNECTION = {
    "transport": "ipc",
    "ip": "/tmp/somewhere",
    "shell_port": 1,
    "iopub_port": 2,
    "stdin_port": 3,
    "control_port": 4,
    "hb_port": 5,
    "signature_scheme": "hmac-sha512",
    "key": "secret",
}


def test_a_kernel_connects_as_another_whatever_its_command_line_says():
    app = IPKernelApp(shell_port=9)
    connect_as(app, CONNECTION)
    assert connection_of(app) == CONNECTION


@pytest.mark.parametrize("text", [None, "", "no JSON", "[]", '{"shell_port": 9, "key": "other"}'])
def test_a_file_that_says_something_else_is_written_anew(tmp_path, text):
    file = tmp_path / "runtime/kernel.json"
    if text is not None:
        file.parent.mkdir()
        file.write_text(text)
    restore_file(str(file), CONNECTION)
    assert json.loads(file.read_text()) == CONNECTION
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_file_that_says_more_is_left_alone(tmp_path):
    file = tmp_path / "kernel.json"
    file.write_text(json.dumps({**CONNECTION, "kernel_name": "python3", "more": [1]}))
    before = file.stat()
    restore_file(str(file), CONNECTION)
    assert file.stat().st_ino == before.st_ino
    assert read_file(str(file)) == {**CONNECTION, "kernel_name": "python3", "more": [1]}


def test_of_no_file_nothing_is_known(tmp_path):
    assert read_file("") == read_file(os.fspath(tmp_path)) == {}
