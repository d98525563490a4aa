"""From a request to the supervisor's parts."""

import pytest

from ipy_autorestart import Kernel, Options, Script
from ipy_autorestart.engine.build import POLL, Front, _poll, _timing, serve


def test_a_kernel_waits_for_quiet_and_stops_itself():
    timing = _timing(Options(debounce=0.5, stop_timeout=3))
    assert (timing.quiet, timing.stop_timeout) == (0.5, 3)
    assert (Kernel.manner.leading, Kernel.manner.stops_itself) == (False, True)
    assert (Script.manner.leading, Script.manner.stops_itself) == (True, False)


@pytest.mark.parametrize(
    ("poll", "scan", "few", "many"), [(0, 1.0, 0.05, 0.15), (0.1, 0.1, 0.15, 0.25), (5, 5, 0.2, 0.5)]
)
def test_scans_that_lie_apart_make_a_burst_longer(monkeypatch, poll, scan, few, many):
    monkeypatch.delenv(POLL, raising=False)
    timing = _timing(Options(poll=poll))
    assert (timing.scan, timing.quiet, timing.quiet_many) == (scan, pytest.approx(few), many)


@pytest.mark.parametrize(("value", "seconds"), [("0.5", 0.5), ("", 0), ("often", 0), ("-1", 0)])
def test_the_environment_can_ask_for_polling(monkeypatch, value, seconds):
    monkeypatch.setenv(POLL, value)
    assert _poll(Options()) == seconds
    assert _poll(Options(poll=2)) == 2


def test_bad_words_are_told_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert serve([*Front(cwd=str(tmp_path)).to_words(), "main.py", "--debounce", "soon"]) == 2
    assert capsys.readouterr().err.startswith("--debounce: expected seconds")
