import os

import pytest

from ipy_autorestart.decide.filters import Filter
from ipy_autorestart.watch.tree import Tree


@pytest.fixture
def walked(stage):
    """Walk a tree, by paths relative to the stage's base."""

    def walk(tree):
        return {os.path.relpath(path, stage.base) for path in tree.walk()}

    return walk


@pytest.fixture
def tree(stage):
    return Tree([stage.path()], Filter(), wall_ns=lambda: 0)  # a time so far off that every folder is settled


def test_files_that_count_are_found_in_every_folder(stage, tree, walked):
    stage.write("pkg/deep/n.py")
    stage.write("notes.txt")

    assert walked(tree) == {"src/x.py", "src/pkg/__init__.py", "src/pkg/m.py", "src/pkg/deep/n.py"}


def test_folders_of_the_system_without_files_are_not_entered_unless_they_are_named():
    others = tuple(name for name in os.listdir("/") if name != "proc")
    tree = Tree(["/"], Filter(ignores=others))
    list(tree.walk())
    assert tree.folders.keys() == {"/"}
    named = Tree(["/proc"], Filter(ignores=tuple(os.listdir("/proc"))))
    list(named.walk())
    assert "/proc" in named.folders


def test_ignored_folders_and_environments_are_not_entered(stage, tree, walked):
    for name in ("node_modules/a.py", "__pycache__/b.py", "env/lib/c.py"):
        stage.write(name)
    stage.write("env/pyvenv.cfg")

    assert walked(tree) == {"src/x.py", "src/pkg/__init__.py", "src/pkg/m.py"}
    assert tree.folders[stage.path("env")].environment
    assert tree.folders[stage.root.as_posix()].hides


def test_environment_is_entered_where_a_pattern_spells_it(stage, walked):
    for name in ("env/pyvenv.cfg", "env/lib/site-packages/ours/a.js", "env/lib/site-packages/other/b.js"):
        stage.write(name)
    tree = Tree([stage.path()], Filter(patterns=("env/lib/site-packages/ours/*.js",)))

    assert walked(tree) >= {"src/env/lib/site-packages/ours/a.js"}
    assert "src/env/lib/site-packages/other/b.js" not in walked(tree)


def test_folder_that_did_not_change_is_not_listed_again(stage, tree, walked, monkeypatch):
    walked(tree)
    stage.write("pkg/new.py")
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))

    assert "src/pkg/new.py" in walked(tree)
    assert listed == [stage.path("pkg")]


def test_folder_listed_right_after_a_change_is_listed_again(stage, monkeypatch):
    now = os.stat(stage.path()).st_ctime_ns
    tree = Tree([stage.path()], Filter(), wall_ns=lambda: now)
    tree.walk()

    assert not tree.folders[stage.path("pkg").removesuffix("/pkg")].settled


def test_new_folder_moves_the_tree_and_a_new_file_does_not(stage, tree):
    tree.walk()
    tree.moved = False
    stage.write("pkg/new.py")
    tree.walk()
    assert not tree.moved

    stage.write("other/a.py")
    tree.walk()

    assert tree.moved


def test_symlinked_file_counts_with_its_real_file(stage, tree, walked):
    os.symlink(stage.out / "m.py", stage.path("link.py"))

    assert "src/link.py" in walked(tree)
    assert tree.aliases == {stage.path("link.py"): str(stage.out / "m.py")}


def test_symlinked_folder_is_entered_once(stage, tree, walked):
    os.symlink(stage.out, stage.path("one"))
    os.symlink(stage.out, stage.path("two"))
    os.symlink(stage.root, stage.path("loop"))

    assert walked(tree) == {"src/x.py", "src/pkg/__init__.py", "src/pkg/m.py", "src/one/m.py"}
    assert tree.folders[stage.path("one")].top


def test_symlink_into_an_ignored_folder_is_not_followed(stage, tree, walked):
    stage.write(stage.base / "venv/lib/q.py")
    os.symlink(stage.base / "venv", stage.path("lib"))

    assert walked(tree) == {"src/x.py", "src/pkg/__init__.py", "src/pkg/m.py"}


def test_root_that_is_a_file_counts_whatever_its_name(stage, walked):
    stage.write("notes.txt")

    assert walked(Tree([stage.path("notes.txt")], Filter())) == {"src/notes.txt"}


def test_missing_root_is_noted(stage, walked):
    tree = Tree([stage.path("gone")], Filter())

    assert walked(tree) == set()
    assert tree.notes == [f"{stage.path('gone')} is missing; waiting for it to appear"]


def test_folder_that_becomes_unreadable_keeps_its_files(stage, tree, walked):
    walked(tree)
    stage.write("pkg/new.py")
    os.chmod(stage.path("pkg"), 0)

    with stage.powerless():
        assert "src/pkg/m.py" in walked(tree)
    os.chmod(stage.path("pkg"), 0o755)

    assert tree.notes == [f"can't read {stage.path('pkg')}: Permission denied"]
    assert "src/pkg/new.py" in walked(tree)
