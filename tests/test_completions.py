"""What the Tab key offers."""

import pytest

from ipy_autorestart.completions import listing, offered

LISTED = ["data.csv", "main.py", "src/"]


def names(line, listed=LISTED):
    *words, symbol = line.split(" ")
    return offered(words, symbol, targets=["main.py -v", "kernel"], listed=listed)


def test_folders_and_python_files_are_offered():
    assert names("%watch_restart ") == ["main.py", "src/"]
    assert names("%watch_restart --cwd ") == ["src/"]
    assert names("%watch_restart main.py -- ") == LISTED


def test_modules_are_offered_without_their_ending():
    assert names("%watch_restart src/ -m ") == ["main", "src"]


def test_options_and_their_values_are_offered():
    assert {"--now", "--pause", "--resume", "-m", "--debounce", "--cold", "--env"} < set(
        names("%watch_restart src/ --")
    )
    assert names("%watch_restart --on-busy ") == ["wait", "interrupt"]
    assert names("%watch_restart --rerun= ") == ["none", "marked", "all"]
    assert "SIGINT" in names("%watch_restart --stop-signal ")


def test_what_is_watched_is_offered_where_it_is_meant():
    for line in ("%unwatch ", "%watch_restart --pause ", "%watch_restart --now k"):
        assert names(line) == ["main.py -v", "kernel"]
    assert names("%watch_status -") == ["--json", "--why"]


def test_a_folder_is_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("src", ".git", "__pycache__"):
        (tmp_path / name).mkdir()
    (tmp_path / "src/a.py").touch()
    (tmp_path / "main.py").touch()
    assert listing("") == ["main.py", "src/"]
    assert listing("src/") == ["src/a.py"]
    assert listing(".g") == [".git/"]
    assert listing("nothing/") == []


@pytest.mark.e2e
def test_a_kernel_completes_and_forgets(kernel, project):
    (project / "src/deep").mkdir()

    def complete(code):
        kernel.client.complete(code, len(code))
        return kernel.client.get_shell_msg(timeout=30)["content"]["matches"]

    assert "src/" in complete("%watch_restart s")
    assert "src/deep/" in complete("x = 1\n%watch_restart src/d")
    assert complete("%watch_restart --deb") == ["--debounce"]
    kernel.run("%watch_restart src/ main.py")
    assert complete("%unwatch m") == ["main.py"]
    kernel.run("%unload_ext ipy_autorestart")
    assert (
        kernel.run("print(list(get_ipython().strdispatchers['complete_command'].strs))").streams().count("watch") == 0
    )
