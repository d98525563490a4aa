"""The folder of a proxy outlasts those who clean up where it lies."""

import fcntl
import os
import shutil

import pytest

from ipy_autorestart.proxy.folder import Folder
from ipy_autorestart.wire.link import NAME, Link, make_folder


@pytest.fixture
def folder():
    folder = Folder(make_folder())
    yield folder
    folder.close()
    assert not os.path.exists(folder.path)


def is_reached(folder):
    """Whether a kernel that starts now gets in touch."""
    link = Link.to_proxy(folder.path)
    accepted, _ = folder.listener.accept()
    accepted.close()
    link.close()
    return True


def is_locked(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def test_who_has_left_before_the_door_is_opened_is_not_waited_for(folder):
    with pytest.raises(BlockingIOError):
        folder.listener.accept()


def test_it_is_locked_against_those_who_heed_locks(folder):
    assert is_locked(folder.path)
    assert is_reached(folder)


@pytest.mark.parametrize("what", ["all", "the socket", "nothing"])
def test_what_has_been_removed_is_made_anew(folder, what):
    listener = folder.listener
    if what == "all":
        shutil.rmtree(folder.path)
    elif what == "the socket":
        os.unlink(f"{folder.path}/{NAME}")
    for _ in range(2):
        folder.restore()
        assert is_reached(folder)
        assert is_locked(folder.path)
        assert os.stat(folder.path).st_mode & 0o777 == 0o700
    assert (folder.listener is listener) is (what == "nothing")


def test_somebody_elses_folder_of_that_name_is_not_used(folder, tmp_path):
    shutil.rmtree(folder.path)
    os.symlink(tmp_path, folder.path)
    with pytest.raises(FileExistsError):
        folder.restore()
    os.unlink(folder.path)
    os.mkdir(folder.path)
    with pytest.raises(FileExistsError, match="somebody else"):
        folder.restore()
