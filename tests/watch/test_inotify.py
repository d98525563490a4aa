import ctypes
import os
import queue
import threading

import pytest
from waiting import eventually

from ipy_autorestart.decide.change import Progress
from ipy_autorestart.decide.filters import Filter
from ipy_autorestart.watch.filesystem import inotify_fds, watched_inodes
from ipy_autorestart.watch.inotify import Observer
from ipy_autorestart.watch.plan import anchors
from ipy_autorestart.watch.tree import Tree

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fdinfo"), reason="watches are counted by proc(5)")


@pytest.fixture
def notices():
    return queue.SimpleQueue()


@pytest.fixture
def observer(notices):
    observer = Observer(lambda path, progress, *, folder: notices.put((path, progress, folder)))
    assert observer.start()
    yield observer
    observer.stop()


@pytest.fixture
def tree(stage, observer):
    return Tree([stage.path()], Filter(), enter=observer.enter)


def walked(tree, observer, now=0.0):
    """Walk a tree, and say whether watches have come late."""
    tree.walk()
    return observer.keep_up(tree, anchors(tree, ()), now)


def heard(notices, wanted):
    """Return the notices up to one of a path."""
    found = []
    while not found or found[-1][0] != wanted:
        found.append(notices.get(timeout=30))
    return found


def inode(path):
    return os.stat(path).st_ino


def test_folder_is_watched_before_it_is_listed(stage, observer, tree, notices):
    steps = tree.steps()
    next(steps)

    stage.write("new.py")

    assert heard(notices, stage.path("new.py"))
    assert inode(stage.path("pkg")) not in watched_inodes()
    assert next(steps).path == stage.path("pkg")
    assert inode(stage.path("pkg")) in watched_inodes()


def test_each_act_has_its_progress(stage, observer, tree, notices):
    walked(tree, observer)
    path, other = stage.path("x.py"), stage.path("y.py")
    stage.write("x.py")
    os.rename(path, other)
    os.unlink(other)
    os.mkdir(stage.path("d"))
    os.mkdir(stage.path("end"))

    progress = {}
    for name, how, folder in heard(notices, stage.path("end")):
        progress.setdefault((name, folder), []).append(how)

    assert set(progress[path, False][:-2]) == {Progress.WRITING}
    assert progress[path, False][-2:] == [Progress.DONE, Progress.DONE], "closed, moved"
    assert progress[other, False] == [Progress.DONE, Progress.DONE], "moved, deleted"
    assert progress[stage.path("d"), True] == [Progress.UNKNOWN]


def test_what_may_be_a_symlink_to_a_folder_is_told_as_a_folder(stage, observer, tree, notices):
    walked(tree, observer)

    os.symlink(stage.out, stage.path("link"))

    assert heard(notices, stage.path("link"))[-1][2]


def test_root_that_is_made_again_is_noticed_in_the_folder_around_it(stage, observer, tree, notices):
    walked(tree, observer)
    os.rename(stage.root, stage.base / "old")
    stage.write("x.py")
    assert heard(notices, stage.path())

    walked(tree, observer)

    assert inode(stage.base / "old") not in watched_inodes(), "nobody listens to what it was"
    stage.write("x.py", "V = 3\n")
    assert heard(notices, stage.path("x.py"))


def test_folder_that_moves_has_its_new_path_and_one_watch(stage, observer, tree, notices):
    walked(tree, observer)
    before = len(observer._shown)
    os.rename(stage.path("pkg"), stage.path("other"))
    walked(tree, observer)

    stage.write("other/m.py")

    assert heard(notices, stage.path("other/m.py"))
    assert len(observer._shown) == before


def test_folder_that_leaves_is_watched_no_more(stage, observer, tree):
    walked(tree, observer)
    os.rename(stage.path("pkg"), stage.out / "pkg")

    walked(tree, observer)

    assert inode(stage.out / "pkg") not in watched_inodes()


def test_second_walk_adds_no_watch(observer, tree):
    assert walked(tree, observer)
    assert not walked(tree, observer)


def test_lost_events_are_told_as_anything(observer, notices):
    observer._take(observer_event(-1, 0x4000))

    assert notices.get(timeout=30) == ("", Progress.UNKNOWN, True)


def observer_event(number, mask):
    return number.to_bytes(4, "little", signed=True) + mask.to_bytes(4, "little") + bytes(8)


def kill(observer):
    """Have the thread raise where it wakes next."""
    thread = observer._thread
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
    return thread


def test_thread_that_dies_asks_for_a_look_and_is_started_again(stage, observer, tree, notices, caplog):
    walked(tree, observer)
    thread = kill(observer)
    stage.write("x.py")
    heard(notices, "")
    eventually(lambda: not thread.is_alive())
    assert not observer.complete

    assert walked(tree, observer, now=1.0), "at once, with all its watches"

    assert observer.complete
    assert "the observer's thread died" in caplog.text
    stage.write("pkg/m.py")
    assert heard(notices, stage.path("pkg/m.py"))


def test_thread_that_dies_again_waits_before_it_is_started(stage, observer, tree, notices):
    def die(now):
        thread = kill(observer)
        stage.write("x.py")
        eventually(lambda: not thread.is_alive())
        return walked(tree, observer, now)

    walked(tree, observer)
    assert die(1.0), "the first time at once"
    assert not die(1.5)
    assert not observer.complete
    assert walked(tree, observer, 2.5)


def test_receiver_that_raises_does_not_end_the_thread(stage, observer, tree, notices, caplog):
    walked(tree, observer)
    good, observer._notice = observer._notice, lambda *_, **__: 1 / 0
    stage.write("x.py")
    eventually(lambda: "ZeroDivisionError" in caplog.text)

    observer._notice = good
    stage.write("pkg/m.py")

    assert heard(notices, stage.path("pkg/m.py"))


def test_stopping_leaves_no_thread_and_no_descriptor(stage, observer, tree):
    walked(tree, observer)

    observer.stop()

    assert not any(thread.name == "ipy-autorestart-observer" for thread in threading.enumerate())
    assert not inotify_fds()
    assert not observer.complete
