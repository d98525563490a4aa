"""The benchmarks start, and their tables say what was measured; no test asserts a time."""

import math
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import report
from kernel_restart import PARTS, QUIET, Watched, parts_of
from kernel_traffic import rate, round_trip
from kernels import RERUN, start, watch

FOLDER = Path(__file__).parent / "benchmarks"
LIBRARIES = ("__main__", "kernels", "peers", "projects", "reactive", "report")
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in LIBRARIES)


def run(*words):
    return subprocess.run([sys.executable, FOLDER, *words], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_loads_and_says_how_it_is_called(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert f"python tests/benchmarks/{name}.py [--rounds " in capsys.readouterr().out


@pytest.mark.e2e
def test_all_benchmarks_are_run_by_one_command_and_one_can_be_named():
    refused = run("imports").stderr
    assert "no such benchmark: imports" in refused
    assert set(NAMES) == set(refused.partition("there are ")[2].strip().split(", "))
    one = run("--rounds", "1", "import_cost")
    assert one.returncode == 0, one.stderr
    assert "| import ipy_autorestart |" in one.stdout
    assert "; 1 rounds, " in one.stdout


@pytest.mark.e2e
def test_a_kernel_is_measured_whichever_way_it_restarts(project):
    folder = project / "measured"
    with start(folder) as player:
        notebook = Watched(player, folder, "bare", options=RERUN, status=watch(player, RERUN))
        begun, answered, done = notebook.restart()
        parts = parts_of(begun, notebook.finish(), done)
        assert dict(zip(PARTS, parts, strict=True))["quiet"] == QUIET
        assert sum(parts) == pytest.approx(done - begun)
        assert begun < answered
        assert notebook.describe() in {f"%watch_restart src/ {RERUN} ({way})" for way in ("exec", "proxy")}
        assert round_trip(player) > 0
        assert rate(player, megabytes=1) > 0


def test_figures_are_medians_with_their_quartiles():
    assert report.spread([5.0]) == "5.0"
    assert report.spread([1.0, 2.0, 3.0, 4.0, 1005.0], digits=0) == "3 (2 to 4)"
    assert report.spread([1.0, math.nan]) == "1.0"
    assert report.spread([math.nan]) == "–"


def test_ratios_are_medians_of_those_of_each_round():
    assert report.ratio([2.0, 9.0, 40.0], [1.0, 3.0, 10.0]) == 3.0
    assert report.ratio([2.0, math.nan], [1.0, 1.0]) == 2.0
    assert [report.times(figure) for figure in (1.234, 12.34, math.nan)] == ["1.23", "12", "–"]
