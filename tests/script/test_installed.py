"""What is installed is watched without a look at each file."""

import sys

import pytest

from ipy_autorestart.protocol.link import ready
from ipy_autorestart.script.installed import Installed
from ipy_autorestart.script.pipes import state_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.fixture
def packages(tmp_path):
    folder = tmp_path / "site-packages/lib/inner"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text("V = 1\n")
    return tmp_path / "site-packages"


@pytest.fixture(params=["events", "states"])
def installed(packages, request):
    made = Installed([str(packages / "lib/inner/a.py")])
    if request.param == "states":  # as where the system allows no more watches
        made.close()
        made.add(())
    yield made
    made.close()


def test_nothing_has_changed_at_first_and_a_change_is_told_once(installed, packages):
    assert not installed.has_changed
    (packages / "lib/inner/a.py").write_text("V = 22\n")
    assert installed.has_changed
    assert not installed.has_changed


def test_a_file_that_was_replaced_or_removed_has_changed(installed, packages):
    (packages / "new").write_text("V = 1\n")
    (packages / "new").rename(packages / "lib/inner/a.py")
    assert installed.has_changed
    (packages / "lib/inner/a.py").unlink()
    assert installed.has_changed


def test_another_package_is_a_change_and_caches_and_logs_are_none(packages):
    installed = Installed([str(packages / "lib/inner/a.py")])
    (packages / "lib/inner/__pycache__").mkdir()
    (packages / "lib/inner/log.txt").write_text("x")
    assert not installed.has_changed
    (packages / "other-1.0.dist-info").mkdir()
    assert installed.has_changed
    installed.close()


def test_a_change_wakes_who_waits_and_is_kept_until_it_is_asked_for(packages):
    installed = Installed([str(packages / "lib/inner/a.py")])
    assert ready([installed], [], 0) == set()
    (packages / "lib/inner/a.py").write_text("V = 22\n")
    assert ready([installed], [], 10) == {installed.fileno()}
    installed.read()
    assert ready([installed], [], 0) == set()
    assert installed.has_changed
    assert not installed.has_changed
    installed.close()


def test_another_file_that_was_read_has_changed_once(packages, tmp_path):
    rc = tmp_path / "librc"
    rc.write_text("1")
    installed = Installed([], {str(rc): state_of(str(rc)), str(tmp_path / "absent"): ""})
    assert not installed.has_changed
    rc.write_text("22")
    assert installed.has_changed
    assert not installed.has_changed
    (tmp_path / "absent").write_text("")
    assert installed.has_changed
    installed.close()
