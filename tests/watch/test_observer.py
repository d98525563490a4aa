import os
import queue
import threading

import pytest

from ipy_autorestart.decide.filters import Filter
from ipy_autorestart.watch.observer import Observer
from ipy_autorestart.watch.plan import Plan, plan
from ipy_autorestart.watch.tree import Tree


@pytest.fixture
def notices():
    return queue.SimpleQueue()


@pytest.fixture
def observer(notices):
    observer = Observer(lambda path, progress, *, folder: notices.put(path))
    yield observer
    observer.stop()


def planned(stage):
    tree = Tree([stage.path()], Filter())
    tree.walk()
    return plan(tree.folders)


def test_change_below_the_plan_is_noticed(stage, observer, notices):
    assert observer.follow(planned(stage), 0.0)
    assert observer.complete

    stage.write("pkg/m.py")

    assert notices.get(timeout=30) == stage.path("pkg/m.py")


def test_same_plan_adds_no_watch(stage, observer):
    observer.follow(planned(stage), 0.0)

    assert not observer.follow(planned(stage), 1.0)


def test_folder_that_left_the_plan_is_noticed_no_more(stage, observer, notices):
    stage.write("node_modules/a.py")  # so that each folder has a watch of its own
    both = planned(stage)
    observer.follow(both, 0.0)

    observer.follow(Plan(tuple(spot for spot in both.spots if spot.real != stage.path("pkg")), both.folders), 0.0)
    stage.write("pkg/m.py")
    stage.write("x.py")

    assert notices.get(timeout=30) == stage.path("x.py")


def test_folder_made_again_in_the_same_place_is_watched_again(stage, observer, notices):
    observer.follow(planned(stage), 0.0)
    os.rename(stage.root, stage.base / "old")
    stage.write("x.py")

    assert observer.follow(planned(stage), 1.0)
    while not notices.empty():
        notices.get()
    stage.write("x.py", "V = 3\n")

    assert notices.get(timeout=30) == stage.path("x.py")


def test_observer_that_dies_again_waits_before_it_is_started(stage, observer):
    wanted = planned(stage)
    observer.follow(wanted, 0.0)

    def die(now):
        observer._native.stop()
        observer._native.join()
        return observer.follow(wanted, now)

    assert die(1.0), "the first time at once"
    assert not die(1.5)
    assert not observer.complete
    assert observer.follow(wanted, 2.5)


def test_stopping_leaves_no_thread(stage, observer):
    before = threading.active_count()
    observer.follow(planned(stage), 0.0)
    assert threading.active_count() > before

    observer.stop()

    assert threading.active_count() == before
    assert not observer.complete
