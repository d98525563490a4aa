"""What a person does by hand and looks up, in a real kernel."""

import json
import re

import pytest
from waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("kernel_of_module"), pytest.mark.xdist_group("by hand")]


@pytest.fixture
def watching(kernel, project):
    cell = kernel.run("%watch_restart src/ main.py")
    kernel.wait(lambda: "finished in" in cell.text)
    return cell


def test_a_restart_without_a_change(kernel, watching):
    kernel.run("%watch_restart --now")
    kernel.wait(lambda: "asked by hand" in watching.text and "run 2" in watching.text)
    kernel.wait(lambda: "restarted " in watching.text)


def test_what_changes_in_a_pause_is_served_when_it_ends(kernel, project, watching):
    kernel.run("%watch_restart --pause main.py")
    kernel.wait(lambda: "· paused, finished" in watching.text)
    project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: "src/a.py changed meanwhile" in watching.text)
    assert "value 1" in watching.text
    kernel.run("%watch_restart main.py --resume")
    kernel.wait(lambda: "value 2" in watching.text)
    kernel.wait(lambda: "paused" not in watching.text)


@pytest.mark.own_kernel
def test_a_kernel_that_waits_for_a_cell_forgets_its_restart_in_a_pause(kernel, project):
    cell = kernel.run("%watch_restart src/")
    kernel.wait(lambda: "running" in cell.text)
    busy = kernel.send("import os, time\nprint('begun')\nwhile not os.path.exists('go'): time.sleep(0.01)")
    pausing = kernel.send("%watch_restart --pause\nkept = 1")
    kernel.wait(lambda: "begun" in busy.text)
    project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: "waiting for cell" in cell.text)
    (project / "go").touch()
    kernel.wait(lambda: busy.reply and pausing.reply and "· paused" in cell.text)
    assert "src/a.py changed meanwhile" in cell.text
    assert kernel.run("print(kept)").streams() == "1\n"
    kernel.run("%watch_restart --resume")
    kernel.wait(lambda: "1 restart" in cell.text)
    assert "NameError" in kernel.run("kept").error


def test_naming_what_is_not_watched_is_a_mistake(kernel, project):
    assert "nothing is watched; %watch_restart src/ main.py starts a watch" in kernel.run("%watch_restart --now").text
    kernel.run("%watch_restart src/ main.py")
    assert (
        "other.py: no such target; name one of those watched: main.py"
        in kernel.run("%watch_restart --now other.py").text
    )
    assert "expected nothing, --why or --json, got '--what'" in kernel.run("%watch_status --what").text


def test_the_status_has_a_history(kernel, project, watching):
    project.save("src/a.py", "1/0\n")
    kernel.wait(lambda: "crashed" in watching.text)

    def runs():
        (target,) = json.loads(kernel.run("%watch_status --json").text)
        return target["runs"]

    kernel.wait(lambda: [run["exit_status"] for run in runs()] == [0, 1])
    first, second = runs()
    assert (first["run"], first["cause"]["reason"], first["took"]) == (1, "first", None)
    assert (second["run"], second["cause"]["changes"]) == (2, [{"path": "src/a.py", "kind": "modified"}])
    assert 0 < second["took"] < second["lasted"] + 10
    assert first["at"] + first["lasted"] <= second["at"]
    shown = kernel.run("%watch_status")
    assert "src/a.py changed" in shown.text
    assert "<table>" in str(shown.outputs)


def test_the_status_says_why(kernel, project, watching):
    project.save("src/notes.txt", "x")
    project.save("src/a.py", "V = 1  # the same\n")

    def why():
        return kernel.run("%watch_status --why").text

    eventually(lambda: "src/notes.txt: isn't a Python file" in why())
    eventually(lambda: "src/a.py: the code does the same: no restart (--strict)" in why())


@pytest.mark.own_kernel
def test_the_history_outlives_a_restart_of_the_kernel(kernel, project):
    script = kernel.run("%watch_restart src/ main.py")
    cell = kernel.run("%watch_restart src/")
    kernel.wait(lambda: "running" in cell.text and "run 1" in script.text)
    for value in (2, 3):
        project.save("src/a.py", f"V = {value}\n")
        kernel.wait(lambda value=value: f"{value - 1} restart" in cell.text and f"value {value}" in script.text)
    of_script, of_kernel = json.loads(kernel.run("%watch_status --json").text)
    assert [run["run"] for run in of_kernel["runs"]] == [1, 2]
    assert [run["run"] for run in of_script["runs"]] == [1, 2, 3]
    assert any(decided["why"].startswith("src/a.py changed: restart") for decided in of_kernel["decisions"])


@pytest.mark.own_kernel
def test_a_log_tells_each_decision(kernel, project):
    kernel.run("import logging; log = logging.getLogger('ipy_autorestart'); log.setLevel('INFO')")
    kernel.run("log.addHandler(logging.FileHandler('log.txt'))")
    cell = kernel.run("%watch_restart src/ main.py")
    kernel.wait(lambda: "value 1" in cell.text)
    project.save("src/a.py", "V = 2\n")
    eventually(lambda: "main.py: src/a.py changed: restart" in (project / "log.txt").read_text())
    kernel.run("logging.shutdown()")


def test_a_long_run_is_timed(kernel, project):
    project.script("import time; time.sleep(60)")
    cell = kernel.run("%watch_restart src/ main.py")
    kernel.wait(lambda: re.search(r"running for \d+\.\d s", cell.text))  # which one, the machine's load decides


# -- buttons -----------------------------------------------------------------------------------------------------------


VIEW = "application/vnd.jupyter.widget-view+json"


def models(kernel, name):
    """Return the ids and the latest state of the widgets of a kind that are there."""
    found = {}
    for message in kernel.comms:
        content = message["content"]
        if message["msg_type"] == "comm_open" and content["data"]["state"]["_model_name"] == name:
            found[content["comm_id"]] = dict(content["data"]["state"])
        elif message["msg_type"] == "comm_msg" and content["comm_id"] in found:
            found[content["comm_id"]].update(content["data"].get("state", {}))
        elif message["msg_type"] == "comm_close":
            found.pop(content["comm_id"], None)
    return found


def click(kernel, words):
    (button,) = (number for number, state in models(kernel, "ButtonModel").items() if state["tooltip"] == words)
    data = {"method": "custom", "content": {"event": "click"}}
    message = kernel.client.session.msg("comm_msg", {"comm_id": button, "data": data})
    kernel.client.shell_channel.send(message)


def test_a_button_restarts_and_others_pause_and_resume(kernel, project, watching):
    click(kernel, "Restart main.py now")
    kernel.wait(lambda: "asked by hand" in watching.text and "run 2" in watching.text)
    click(kernel, "Pause main.py")
    kernel.wait(lambda: "· paused, finished" in watching.text)
    project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: "changed meanwhile" in watching.text)
    click(kernel, "Resume main.py")
    kernel.wait(lambda: "value 2" in watching.text and "run 3" in watching.text)


def test_no_widget_is_left_after_the_end(kernel, project, watching):
    assert len(models(kernel, "ButtonModel")) == 2
    kernel.run("%unwatch")
    kernel.wait(lambda: "ended" in watching.text)
    kernel.wait(lambda: not models(kernel, "ButtonModel"))
    assert "widget-view" not in str(watching.outputs)
    assert kernel.run("import ipywidgets; print(ipywidgets.Widget.widgets)").streams() == "{}\n"


@pytest.mark.own_kernel
def test_buttons_work_after_a_restart_of_the_kernel(kernel, project):
    script = kernel.run("%watch_restart src/ main.py")
    kernel.wait(lambda: "run 1" in script.text)
    cell = kernel.run("%watch_restart src/")
    kernel.wait(lambda: "running" in cell.text)
    before, shown = models(kernel, "ButtonModel").keys(), models(kernel, "HBoxModel").keys()
    project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: "1 restart" in cell.text and "run 2" in script.text)
    assert models(kernel, "ButtonModel").keys() == before, "a page keeps those that it has"
    assert kernel.client.comm_info(reply=True, timeout=30)["content"]["comms"].keys() == before | shown
    views = [output.get("data", {}).get(VIEW) for output in (*cell.outputs, *script.outputs)]
    assert {view["model_id"] for view in views if view} == shown
    click(kernel, "Restart main.py now")
    kernel.wait(lambda: "asked by hand" in script.text and "run 3" in script.text)
