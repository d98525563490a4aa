"""Two kernels watch one tree; neither disturbs the other."""

import json

import pytest

pytestmark = pytest.mark.e2e

SCRIPT = "import sys, time\nsys.path.insert(0, 'src')\nimport a\nprint('value', a.V, flush=True)\ntime.sleep(600)\n"


def runs_of(kernel):
    """How often each target was started, by its name."""
    return {one["target"]: one["status"]["runs"] for one in json.loads(kernel.run("%watch_status --json").text)}


def test_two_kernels_on_one_tree_restart_each_for_itself_and_neither_loops(start_kernel, project):
    project.script(SCRIPT)
    with start_kernel() as one, start_kernel() as other:
        shown = {}
        for kernel in (one, other):
            assert kernel.run("%load_ext ipy_autorestart").error == ""
            itself = kernel.run("%watch_restart src/", cell_id="itself")
            script = kernel.run("%watch_restart src/ main.py", cell_id="script")
            kernel.wait(lambda itself=itself, script=script: "running" in itself.text and "value 1" in script.text)
            shown[kernel] = (itself, script)
        pids = [one.pid, other.pid]
        for number in range(2, 5):
            project.save("src/a.py", f"V = {number}\n")
            for kernel, (itself, script) in shown.items():
                kernel.wait(lambda script=script, number=number: f"value {number}" in script.text)
                times = f"· {number - 1} restart"
                kernel.wait(lambda itself=itself, times=times: times in itself.text and "running" in itself.text)
        for kernel, (itself, script) in shown.items():
            for _ in range(3):  # each takes a while, in which a loop would restart
                assert kernel.run("import sys; sys.path.insert(0, 'src'); import a; print(a.V)").streams() == "4\n"
            assert "· 3 restarts" in itself.text
            assert script.streams().count("value") == 1
            assert runs_of(kernel) == {"kernel": 3, "main.py": 4}
        assert pids == [one.pid, other.pid]
        one.run("%unwatch")
        project.save("src/a.py", "V = 5\n")
        other.wait(lambda: "value 5" in shown[other][1].text)
