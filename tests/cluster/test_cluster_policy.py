"""A push as a matter of values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipy_autorestart.cluster.policy import (
    Process,
    Step,
    at_once,
    lacking,
    listed,
    must_restart,
    next_step,
    place,
    refuse,
    refuse_broken,
    refuse_clash,
    refuse_loss,
    ship_to,
    told,
    waves,
    who_lacks,
)

NEW, OLD = "3f2a9c", "11aa22"


def worker(name, **facts):
    return Process(**{"name": name, "store": "s1", "python": "3.12.1", "engine": "2026.1", **facts})


def refused(*workers):
    found = refuse(workers, python="3.12.4", engine="2026.1", called="Dask")
    return found and found.why


def test_workers_as_here_are_not_refused():
    assert refused(worker("a"), worker("b")) is None
    assert refused() is None  # those that join get it


def test_a_worker_that_nothing_restarts_is_refused_by_name():
    why = refused(worker("a"), worker("b", can_restart=False))
    assert why.startswith("no nanny restarts b: ")
    assert "--no-nanny" in why


def test_another_python_or_engine_is_refused_with_both_versions():
    assert refused(worker("a", python="3.11.9")) == "Python 3.11 on a, 3.12 here: use the same on both"
    assert refused(worker("a", engine="2025.2")) == "Dask 2025.2 on a, 2026.1 here: install the same"


def test_what_was_sent_before_must_be_whole():
    broken = {"/p/a.py": "line 3: invalid syntax"}
    assert refuse_broken(broken, ()) is None  # a template, which nobody imports
    assert "syntax error in /p/a.py: line 3: invalid syntax" in refuse_broken(broken, {"/p/a.py"}).why


def test_the_same_module_of_two_users_is_refused():
    assert refuse_clash({"pkg"}, {"eve": {"other"}}) is None
    assert refuse_clash({"pkg", "own"}, {"eve": {"pkg"}}).why.startswith("pkg is also pushed by eve")


def test_the_only_copy_of_others_data_is_not_lost():
    assert refuse_loss(()) is None
    assert refuse_loss(["k1", "k2", "k3", "k4"]).why == (
        "a restart of the workers would lose k1, k2, k3 and 1 more, which no other can take: add a worker, "
        "gather or unpublish it, or use --lose-data"
    )


def test_one_process_of_each_machine_is_sent_the_files():
    processes = [worker("a"), worker("b"), worker("c", store="s2"), worker("d", store="s3", has=True)]
    assert len(ship_to(processes)) == 2
    assert "c" in ship_to(processes)


def test_those_that_hold_other_code_or_run_what_nobody_wants_restart():
    workers = [worker("a", outdated=("pkg",)), worker("b", orphans=1), worker("c")]
    assert must_restart(workers) == ("a", "b")


@given(st.lists(st.integers(), unique=True), st.integers(1, 7))
def test_waves_are_all_of_them_and_none_too_large(names, size):
    found = list(waves(names, size=size))
    assert [name for wave in found for name in wave] == names
    assert all(0 < len(wave) <= size for wave in found)


def test_no_more_than_half_restart_at_once_if_the_others_keep_their_data():
    assert [at_once(count) for count in (1, 2, 3, 40, 1000)] == [1, 1, 1, 20, 50]


def test_data_goes_where_there_is_room():
    sizes = {"small": 1, "large": 8, ("x", 0): 5, "actor": None}
    places, nowhere = place(sizes, {"a": 10, "b": 6})
    assert (places, nowhere) == ({"a": ["large", "small"], "b": [("x", 0)]}, ["actor"])
    assert place(sizes, {"a": 7}) == ({"a": [("x", 0), "small"]}, ["large", "actor"])
    assert place({"any": 1 << 50}, {"a": 1, "b": None}) == ({"b": ["any"]}, [])
    assert place({"any": 1}, {}) == ({}, ["any"])


ON = {"has": True, "version": NEW}

STEPS = [
    ("nobody has the files", [worker("a")], Step.SHIP),
    ("a machine lacks them", [worker("a", **ON), worker("b", store="s2")], Step.SHIP),
    ("one is on another path", [worker("a", has=True, version=OLD)], Step.ENTER),
    ("one holds other code", [worker("a", has=True, version=OLD, outdated=("pkg",))], Step.RESTART),
    ("one holds none", [worker("a", has=True, version=OLD, outdated=("pkg",)), worker("b", has=True)], Step.ENTER),
    ("one runs an orphan", [worker("a", **ON, orphans=1)], Step.RESTART),
    ("all say the version", [worker("a", **ON), worker("b", **ON)], Step.DONE),
    ("there is no worker", [], Step.DONE),
]


@pytest.mark.parametrize(("workers", "step"), [row[1:] for row in STEPS], ids=[row[0] for row in STEPS])
def test_the_next_step_follows_from_what_all_say(workers, step):
    scheduler = worker("scheduler", **ON)
    assert next_step(workers, scheduler, NEW, silent=(), late=False) is step
    if step is not Step.DONE:
        assert next_step(workers, scheduler, NEW, silent=(), late=True) is Step.GIVE_UP


def test_the_scheduler_must_have_the_version_too():
    on = [worker("a", **ON)]
    lags = worker("s", has=True, version=OLD)
    assert next_step(on, lags, NEW, silent=(), late=False) is Step.ENTER
    outdated = [*on, worker("b", has=True, version=OLD, outdated=("pkg",))]
    assert next_step(outdated, lags, NEW, silent=(), late=False) is Step.RESTART  # it gets it then, too
    assert next_step(on, None, NEW, silent=(), late=False) is Step.DONE  # a cluster that has none


def test_who_has_not_answered_is_waited_for():
    on = [worker("a", **ON)]
    assert next_step(on, None, NEW, silent=("b",), late=False) is Step.WAIT
    assert next_step(on, None, NEW, silent=("b",), late=True) is Step.GIVE_UP


def test_the_ones_that_lack_the_version_are_named():
    workers = [worker("a", **ON), worker("b", has=True, version=OLD)]
    assert lacking(workers, NEW) == ("b",)
    assert who_lacks(workers, NEW, silent=("c",), seconds=30) == "2 of 3 workers lack 3f2a after 30 s: b, c"


def test_a_push_is_told_in_a_few_words():
    assert told(40, NEW, restarted=12) == "40 of 40 workers on 3f2a · 12 restarted"
    assert told(2, NEW, restarted=0) == "2 of 2 workers on 3f2a"
    assert told(0, NEW, restarted=0) == "no worker yet · those that join get 3f2a"
    assert listed("abcde") == "a, b, c and 2 more"
