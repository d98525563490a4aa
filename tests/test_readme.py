"""The README and the notebooks say what the code does."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import documents
import pytest
from play import play
from processes import until_warm
from waiting import eventually

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
NUMBER = re.compile(r"\d[\d,.]*\d|\d")


def test_the_readme_is_short_and_its_files_exist():
    assert len(README.splitlines()) < 150
    for path in re.findall(r"`((?:tests|notebooks|engine|decide|script|kernel|reexec|show)/[\w./]+)", README):
        assert (ROOT / path).exists() or (ROOT / "ipy_autorestart" / path).exists(), path
    for path in re.findall(r"\]\(([\w/.-]+)\)", README):
        assert (ROOT / path).exists(), path


@pytest.mark.e2e
def test_the_quick_start_notebook_shows_both_modes(start_kernel):
    said = []
    with start_kernel() as player:
        player.on_show = lambda _, text: said.append(text)
        look_on, waits = player.look_on, [until_warm] * 3  # where a person's pause is too short for a busy machine

        def pause(seconds):
            look_on(seconds)
            if seconds and waits:
                waits.pop()(player.pid)

        player.look_on = pause
        cells = play(ROOT / "notebooks/quickstart.ipynb", player, paced=True)
        pid = player.pid
    assert [cell.error for cell in cells if cell.error] == []
    shown = {source.id: cell.text for source, cell in zip(sources(), cells, strict=True)}
    assert "main.py says: fixed" in shown["watch-script"]
    assert re.search(r"main.py +src/ +(running|finished).* 4 +src/greeting.py changed", shown["status"])
    assert shown["state"] == f"('fixed', {pid})"
    for run in (2, 3, 4):  # who saves as a person does sees each restart warm
        assert any(re.search(rf"run {run} · .*greeting.py changed · restarted warm", text) for text in said)
    assert "1 restart" in shown["watch-kernel"]
    assert shown["after"] == f"('hello from a fresh kernel', {pid}, False)"
    assert re.search(r"kernel +src/ +running +1 +src/greeting.py changed", shown["status-2"])


@pytest.mark.e2e
def test_the_live_notebook_shows_what_is_new_in_its_cells(start_kernel, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # its folder has a fixed name
    with start_kernel() as player:
        cells = play(ROOT / "notebooks/live_notebook.ipynb", player)
    shown = {source.id: cell for source, cell in zip(sources("live_notebook"), cells, strict=True)}
    assert [name for name, cell in shown.items() if cell.error] == []
    assert shown["import"].text == "curve(3) is 27\n"
    assert "<td>5</td><td>125</td>" in shown["table"].outputs[0]["data"]["text/html"]
    assert "200,25" in shown["picture"].outputs[0]["data"]["image/svg+xml"]
    assert "3 restarts" in shown["watch"].text
    assert "checkpoint after" in shown["status"].text


@pytest.mark.e2e
def test_the_notebook_about_programs_outside_shows_both(start_kernel):
    with start_kernel() as player:
        cells = play(ROOT / "notebooks/outside.ipynb", player)
    shown = {source.id: cell for source, cell in zip(sources("outside"), cells, strict=True)}
    assert [name for name, cell in shown.items() if cell.error] == []
    everything = "".join(cell.streams() for cell in cells)
    assert re.findall("says: (.*)", everything) == ["hello", "hello, you"]
    assert re.search("finished in .* src/greeting.py changed · restarted ", everything)
    assert shown["end-1"].text.strip().splitlines()[-1] == "0"
    served = re.findall(r"process (\d+) at (\d+) serves", everything)
    assert len(served) == 2
    assert served[0] == served[1]


@pytest.mark.e2e
def test_the_notebook_about_scripts_shows_a_server_a_training_and_a_package(start_kernel):
    said, pictures = [], []

    def look(cell, text):
        said.append(cell.text)
        pictures.append([cell.code, *images(cell)])

    with start_kernel() as player:
        player.on_show = look
        cells = play(ROOT / "notebooks/scripts_and_servers.ipynb", player)
    shown = {source.id: cell for source, cell in zip(sources("scripts_and_servers"), cells, strict=True)}
    assert [name for name, cell in shown.items() if cell.error] == []
    assert (shown["ask-1"].text, shown["ask-2"].text) == ("'hello from /home'", "'welcome to /home'")
    assert re.search(r"^serves at port \d+\n.* \"GET /home HTTP/1.1\" 200 -$", without_status(shown["watch-server"]))
    for name, epochs, loss in (("watch-training", 12, "0.0074"), ("watch-arguments", 3, "0.4096")):
        picture, bar, result = shown[name].shown[1:]
        assert "image/png" in picture["data"]
        assert re.search(rf"^training: 100%.* {epochs}/{epochs} .*\n$", bar["text"].rpartition("\r")[2])
        assert result["text"] == f"loss {loss} after {epochs} epochs\n"
    training = [one[1:] for one in pictures if one[0] == shown["watch-training"].code]
    assert max(map(len, training)) == 1
    assert len({one[0] for one in training if one}) > 12  # it is drawn while it learns
    assert without_status(shown["watch-app"]) == "good morning you there"
    for words in (
        r"server.py \d+ · running .* src/model.py changed, not used by server.py \d+: not restarted",
        r"train.py --epochs 3 · finished in .* · run 1\n",
        r"train.py --epochs 12 · finished in .* · run 2 · src/model.py changed · restarted .*\n",
        r"-m app you there · finished in .*\nhello you there\n",
    ):
        assert any(re.search(words, text) for text in said), words
    rows = re.findall(r"^(.+\.py.*?|-m app.*?)  +(?:src|app)/ .* (\d+)  +(\S+)", shown["status"].text, re.MULTILINE)
    port = re.search(r"serves at port (\d+)", shown["watch-server"].text)[1]
    assert rows == [
        (f"server.py {port}", "2", "src/answer.py"),
        ("train.py --epochs 12", "2", "src/model.py"),
        ("train.py --epochs 3", "1", "first"),
        ("-m app you there", "2", "app/words.py"),
    ]
    assert all("ended" in cell.shown[0]["data"]["text/plain"] for name, cell in shown.items() if "watch-" in name)


@pytest.mark.e2e
def test_the_server_of_the_notebook_ends_with_its_kernel_however_that_ends(start_kernel, project, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(project))  # nobody tidies up
    code = [cell for cell in sources("scripts_and_servers") if cell.id in ("project", "server-script", "watch-server")]
    documents.write(project / "begin.ipynb", code)
    with start_kernel() as player:
        cells = play(project / "begin.ipynb", player)
        port = int(re.search(r"serves at port (\d+)", cells[-1].text)[1])
        socket.create_connection(("localhost", port)).close()
        os.kill(player.pid, signal.SIGKILL)
        eventually(lambda: is_refused(port))


def is_refused(port):
    try:
        socket.create_connection(("localhost", port)).close()
    except ConnectionRefusedError:
        return True
    return False


def images(cell):
    return [output["data"]["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]


def without_status(cell):
    return "".join(output["text"] for output in cell.shown[1:]).strip()


@pytest.mark.e2e
def test_the_program_of_the_readme_restarts_itself_and_keeps_its_socket(tmp_path, monkeypatch):
    [example] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("V = 1\n")
    example = example.replace("8000", "0")  # a port that is free
    tail = "import os, sys, time\nsys.path.insert(0, 'src')\nimport a\n"
    tail += "print(a.V, os.getpid(), server.getsockname()[1], flush=True)\ntime.sleep(60)\n"
    (tmp_path / "main.py").write_text(example + tail)
    environment = {**os.environ, "IPY_AUTORESTART": "1"}
    with subprocess.Popen(
        [sys.executable, "main.py"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        first = process.stdout.readline().split()
        (tmp_path / "src/a.py").write_text("V = 2\n")
        second = process.stdout.readline().split()
        process.terminate()
    assert (first[0], second[0]) == ("1", "2")
    assert first[1:] == second[1:]


def sources(name="quickstart"):
    notebook = documents.read(ROOT / f"notebooks/{name}.ipynb")
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.e2e
@pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs_and_read_in_five_minutes(path):
    notebook = documents.read(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert notebook.metadata.kernelspec.display_name == "Python 3 (ipykernel)"
    assert len(notebook.cells) < 25
    assert sum(len(cell.source.split()) for cell in notebook.cells) < 5 * 150


def test_each_figure_of_the_readme_was_made_by_the_benchmarks():
    measured = README.partition("## Measured")[2].partition("\n## ")[0]
    made = [set(NUMBER.findall(path.read_text())) for path in (ROOT / "docs/figures").glob("*.md")]
    rows = [row for row in measured.splitlines() if row.startswith("|") and not row.startswith("|-")]
    found = [set(NUMBER.findall(row)) for row in rows]
    assert sum(map(len, found)) > 40
    for row, numbers in zip(rows, found, strict=True):
        assert any(numbers - {"5"} <= figures for figures in made), row  # in one table; 5 s are what is loaded
