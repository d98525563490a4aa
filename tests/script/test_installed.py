"""What is installed is watched without a look at each file."""

import sys

import pytest

from ipy_autorestart.script.installed import Installed

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
