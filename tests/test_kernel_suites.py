"""The kernels that Jupyter's own tests meet are as new, and differences to a plain kernel are told."""

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

import prepared
import pytest
from cpython import differences as differently
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from outcomes import Outcome, differences, left_out, read, table
from play import kernel as real_kernel

REPORT = """
<testsuites><testsuite>
  <testcase classname="a" name="good"/>
  <testcase classname="a" name="left"><skipped message="only on Windows"/></testcase>
  <testcase classname="a" name="bad"><failure message="assert 1 == 2&#10;where"/></testcase>
  <testcase classname="a" name="late"/>
  <testcase classname="a" name="late"><error message="at its end"/></testcase>
</testsuite></testsuites>
"""


def test_a_report_tells_what_became_of_each_test(tmp_path):
    (tmp_path / "report.xml").write_text(REPORT)
    assert read(tmp_path / "report.xml") == {
        "a::good": "passed",
        "a::left": "skipped",
        "a::bad": "assert 1 == 2",
        "a::late": "at its end",
    }


def test_only_what_the_control_passes_can_differ_and_not_what_is_meant_to():
    plain = Outcome({"one": "passed", "two": "passed", "three": "no", "four": "skipped"}, kernels=0)
    other = Outcome({"one": "passed", "three": "no", "four": "no"}, kernels=4)
    outcomes = {"plain": plain, "other": other}
    assert list(differences(outcomes)) == [("other", "two", "was not run")]
    assert list(differences(outcomes, {("other", "one"), ("other", "two")})) == [("other", "one", "passed")]
    assert list(left_out(outcomes)) == [("three", "no")]
    assert table({"suite 1.0": outcomes}).splitlines() == [
        "| tests of | plain | other |",
        "|---|---|---|",
        "| suite 1.0 | 2 passed, 1 failed, 1 skipped | 1 passed, 2 failed |",
    ]


@pytest.mark.e2e
def test_what_can_be_chosen_is_named():
    runner = [sys.executable, Path(__file__).parent / "conformance/suites.py"]
    refused = subprocess.run([*runner, "nbclient", "--on", "new"], capture_output=True, text=True, timeout=60)
    assert "no such kernel: new; there are plain, restarted, behind-proxy, switched" in refused.stderr


@pytest.mark.e2e
def test_a_prepared_kernel_has_restarted_and_is_as_new(project, monkeypatch, tmp_path):
    monkeypatch.setenv(prepared.LOG, str(tmp_path / "log"))
    monkeypatch.setattr(prepared.Restarted, "restarts", 1)
    entry = EntryPoint("restarted", "prepared:Restarted", KernelProvisionerFactory.GROUP_NAME)
    monkeypatch.setitem(KernelProvisionerFactory.provisioners, "restarted", entry)
    manager = KernelManager()
    manager.kernel_spec.metadata["kernel_provisioner"] = {"provisioner_name": "restarted"}
    with real_kernel(manager=manager, cwd=str(project)) as player:
        cell = player.run("import os; print(os.getpid(), In[:-1], [name for name in dir() if 'restart' in name])")
        assert cell.reply["execution_count"] == 1
        assert cell.streams() == f"{player.pid} [''] []\n"
        assert "asked by hand" in player.run("%watch_status").text
        assert (tmp_path / "log").read_text() == f"{player.pid}\n"
        folder = manager.provisioner.folder
        assert os.path.isdir(folder)
    assert not os.path.exists(folder)


def test_all_that_ends_otherwise_is_a_difference():
    plain = {"one": "passed", "two": "failed: A: x", "three": "passed", "five": "failed: A: 1", "six": "failed: A: x"}
    found = {"one": "passed", "two": "passed", "four": "passed", "five": "failed: A: 2", "six": "failed: B: x"}
    assert dict(differently(plain, found)) == {
        "six": "failed: B: x; plain: failed: A: x",
        "two": "passed; plain: failed: A: x",
        "three": "not run; plain: passed",
        "four": "passed; plain: not run",
    }


@pytest.mark.e2e
@pytest.mark.skipif(sys.platform != "linux", reason="fork servers are made on Linux only")
def test_cpythons_own_tests_end_as_ever_where_they_are_there():
    command = [sys.executable, "tests/conformance/cpython.py", "bisect", "no_such_module"]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    assert done.returncode == 0, done
    last = done.stdout.splitlines()[-1]
    are_there = find_spec("test") and find_spec("test.test_bisect")
    assert last == ("0 differ" if are_there else f"{sys.executable} has none of CPython's own tests")
