"""What is offered where the cursor is in a line of one of the magics."""

import pytest

from ipy_autorestart.completion import ACTIONS, STATUS_FLAGS, Entry, complete, list_folder
from ipy_autorestart.protocol.options import each
from ipy_autorestart.protocol.request import Script

FOLDERS = {
    "": ["src/", "my code/", "main.py", "notes.txt", ".hidden/", "__pycache__/", "it's.py"],
    "src/": ["app/", "a.py", "data.csv"],
    "src/app/": ["__init__.py", "__main__.py", "web.py"],
    "my code/": ["x.py"],
    "~/": ["home.py"],
}


def listing(folder):
    return [Entry(name.rstrip("/"), name.endswith("/")) for name in FOLDERS.get(folder, ())]


def words(line, targets=()):
    return complete(line, listing=listing, targets=targets).words


def test_folders_and_python_files_are_offered():
    assert words("%watch_restart ") == ["it\\'s.py", "main.py", "my\\ code/", "src/"]
    assert words("watch_restart s") == ["src/"]
    assert words("%watch_restart src/") == ["src/a.py", "src/app/"]
    assert words("%watch_restart src/ ~/") == ["~/home.py"]
    assert words("%watch_restart .") == [".hidden/"]
    assert words("%watch_restart nowhere/") == []


def test_blanks_in_names_are_escaped_and_understood():
    assert complete("%watch_restart my\\ c", listing=listing, targets=()) == ("my\\ c", ["my\\ code/"])
    assert words("%watch_restart my\\ code/") == ["my\\ code/x.py"]


def test_every_option_is_offered_and_none_twice():
    flags = [option.flag for option in (*each(), *each(Script))]
    assert words("%watch_restart -") == ["-m", *flags, *ACTIONS]
    assert words("%watch_restart src/ --r") == ["--restart-on-exit", "--rerun", "--resume"]
    assert words("%watch_restart --rerun all --rer") == []
    assert words("%watch_restart --rerun=all --rer") == []
    assert words("%watch_restart --env A=1 --en") == ["--env"]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("--on-busy ", ["wait", "interrupt"]),
        ("--on-busy=i", ["--on-busy=interrupt"]),
        ("--rerun m", ["marked"]),
        ("--stop-signal SIGTE", ["SIGTERM"]),
        ("--stop-signal sigte", ["SIGTERM"]),
        ("--cwd ", ["my\\ code/", "src/"]),
        ("--cwd=s", ["--cwd=src/"]),
        ("--python n", ["notes.txt"]),
        ("--debounce ", []),
        ("--nonsense=", []),
        ("--strict ma", ["main.py"]),
    ],
)
def test_values_are_offered_where_they_are_known(typed, offered):
    assert words(f"%watch_restart src/ {typed}") == offered


def test_modules_of_the_folder_are_offered():
    FOLDERS["app/"] = ["__init__.py", "__main__.py", "web.py"]
    assert words("%watch_restart -m ") == ["main", "src"]
    assert words("%watch_restart -m src.") == ["src.a", "src.app"]
    assert words("%watch_restart -m src.app.w") == ["src.app.web"]


def test_behind_two_dashes_are_files():
    assert words("%watch_restart main.py -- -") == []
    assert words("%watch_restart main.py -- s") == ["src/"]


def test_what_is_watched_is_offered_to_unwatch():
    targets = ["main.py", "-m app.web", "kernel", "main.py"]
    assert words("%unwatch ", targets) == ["-m app.web", "kernel", "main.py"]
    assert words("%unwatch -m a", targets) == ["-m app.web"]


def test_what_is_watched_is_offered_to_what_is_done_by_hand():
    assert words("%watch_restart --pause ", ["main.py", "kernel"]) == ["kernel", "main.py"]
    assert words("%watch_restart --now ma", ["main.py", "kernel"]) == ["main.py"]
    assert words("%watch_restart --n", ["main.py"]) == ["--now"]


def test_cells_are_offered_to_go_back_before():
    cells = [1, 3, 12]
    assert complete("%watch_restart --back ", listing=listing, targets=["kernel"], cells=cells).words == [
        "1",
        "3",
        "12",
    ]
    assert complete("%watch_restart --back 1", listing=listing, targets=["kernel"], cells=cells).words == ["1", "12"]
    assert words("%watch_restart --ba") == ["--back"]


def test_the_status_has_flags_of_its_own():
    assert words("%watch_status ") == list(STATUS_FLAGS)
    assert words("%watch_status --j") == ["--json"]


@pytest.mark.parametrize("line", ["", "x = 1", "%watch_restart", "print('%watch_restart ", "%watch_restarts "])
def test_other_lines_are_not_this_ones(line):
    assert complete(line, listing=listing, targets=()) is None


def test_a_folder_is_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    assert list_folder("") == [Entry("src", is_folder=True)]
    assert list_folder("src/") == list_folder("nowhere/") == list_folder("a\0b/") == list_folder("\ud800/") == []
