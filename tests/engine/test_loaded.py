"""What a process has loaded, from the system's list."""

import ctypes
import os
import sys

import pytest
from compiling import library, replaced

from ipy_autorestart.engine.loaded import loaded_by

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="proc(5) is Linux's")


def test_a_library_is_known_by_its_path_and_inode_even_when_it_was_replaced(tmp_path):
    path = tmp_path / "with space" / "libext.so"
    path.parent.mkdir()
    path.write_bytes(library("1"))
    ctypes.CDLL(str(path))
    inode = path.stat().st_ino
    assert loaded_by(os.getpid())[str(path)] == {inode}
    replaced(path, "2")
    assert loaded_by(os.getpid())[str(path)] == {inode}
    path.unlink()
    assert loaded_by(os.getpid())[str(path)] == {inode}


def test_what_is_only_read_is_not_loaded(tmp_path):
    assert str(tmp_path) not in str(loaded_by(os.getpid()))
    assert not any(path.endswith(".py") for path in loaded_by(os.getpid()))


def test_of_a_process_that_is_not_there_nothing_is_known():
    assert loaded_by(0) is None
