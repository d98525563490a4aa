import os
import sys

import pytest

from ipy_autorestart.watch import filesystem
from ipy_autorestart.watch.filesystem import lock_of

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="statfs is asked on Linux only")


def test_local_disk_tells_of_its_changes(tmp_path):
    assert filesystem.silent_kind(str(tmp_path)) is None


@linux
def test_kind_of_a_file_system_is_known():
    assert filesystem._magic("/proc") == 0x9FA0
    assert filesystem._mounted_as("/proc/self") == "proc"


@linux
def test_folder_that_is_gone_is_of_no_kind(tmp_path):
    assert filesystem.silent_kind(str(tmp_path / "gone")) is None


def is_locked(folder):
    return os.path.exists(lock_of(folder) or "")


def test_repository_is_locked_while_the_index_is(tmp_path):
    below = tmp_path / "a/b"
    below.mkdir(parents=True)
    assert not is_locked(str(below))
    (tmp_path / ".git").mkdir()
    assert not is_locked(str(below))

    (tmp_path / ".git/index.lock").touch()

    assert is_locked(str(below))


def test_lock_of_a_worktree_lies_where_its_file_says(tmp_path):
    (tmp_path / "main/.git/worktrees/one").mkdir(parents=True)
    (tmp_path / "one").mkdir()
    (tmp_path / "one/.git").write_text("gitdir: ../main/.git/worktrees/one\n")
    assert not is_locked(str(tmp_path / "one"))

    (tmp_path / "main/.git/worktrees/one/index.lock").touch()

    assert is_locked(str(tmp_path / "one"))


def test_repository_behind_a_symlink_is_found(tmp_path):
    (tmp_path / "real/.git").mkdir(parents=True)
    (tmp_path / "real/.git/index.lock").touch()
    os.symlink(tmp_path / "real", tmp_path / "link")

    assert is_locked(str(tmp_path / "link"))
