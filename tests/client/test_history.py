"""What a front remembers of a target."""

import json
import logging

from ipy_autorestart.client.history import DECISIONS_MAX, RUNS_MAX, History, Statistics
from ipy_autorestart.protocol.messages import Decided, Ran, Status


def test_a_run_that_has_ended_replaces_the_same_one_that_ran():
    history = History("main.py")
    history.take(Ran(1, at=10.0))
    history.take(Ran(1, at=10.0, lasted=2.0, exit_status=0))
    history.take(Ran(2, at=13.0))
    assert history.runs == (Ran(1, at=10.0, lasted=2.0, exit_status=0), Ran(2, at=13.0))


def test_the_latest_are_kept():
    history = History("main.py")
    for number in range(100):
        history.take(Ran(number, at=0.0))
        history.take(Decided(0.0, str(number)))
    assert [ran.run for ran in history.runs] == list(range(100 - RUNS_MAX, 100))
    assert [decided.why for decided in history.decisions] == [str(n) for n in range(100 - DECISIONS_MAX, 100)]


def test_decisions_are_logged_for_who_wants_them(caplog):
    caplog.set_level(logging.INFO, "ipy_autorestart")
    History("main.py").take(Decided(0.0, "a.py changed: restarted"))
    assert caplog.messages == ["main.py: a.py changed: restarted"]


def test_statistics_are_plain_data_for_programs():
    statistics = Statistics("main.py", ("src",), Status("running"), (Ran(1, at=1.0),), (Decided(2.0, "why"),))
    plain = json.loads(json.dumps(statistics.to_plain()))
    assert (plain["target"], plain["watched"], plain["runs"][0]["run"]) == ("main.py", ["src"], 1)
