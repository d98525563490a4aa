import importlib.util
import sys

import pytest

from ipy_autorestart.decide.filters import Filter
from ipy_autorestart.watch.gitignore import gitignore

installed = pytest.mark.skipif(importlib.util.find_spec("pathspec") is None, reason="pathspec is not installed")


def test_missing_pathspec_is_named_with_its_cure(stage, monkeypatch):
    monkeypatch.setitem(sys.modules, "pathspec", None)

    with pytest.raises(ModuleNotFoundError, match="pip install pathspec"):
        gitignore([stage.path()])


@pytest.fixture
def ignoring(stage):
    (stage.base / ".git/info").mkdir(parents=True)
    stage.write(stage.base / ".git/info/exclude", "mine.py\n")
    stage.write(stage.base / ".gitignore", "gen/\n*_pb2.py\n/src/top.py\n")
    stage.write("pkg/.gitignore", "!kept_pb2.py\nlocal.py\n")
    return Filter(excluded=gitignore([stage.path()]))


@installed
def test_what_gitignore_names_does_not_count(stage, ignoring):
    watch = stage.watch(which=ignoring, poll=0.1)

    for name in (
        "gen/a.py",
        "deep/gen/a.py",
        "a_pb2.py",
        "pkg/a_pb2.py",
        "top.py",
        "pkg/local.py",
        "mine.py",
    ):
        stage.write(name)
    for name in ("pkg/kept_pb2.py", "deep/top.py", "local.py", "gen.py"):
        stage.write(name)

    found = stage.shown(watch.look())
    assert found == dict.fromkeys(["pkg/kept_pb2.py", "deep/top.py", "local.py", "gen.py"], "added")


@installed
def test_no_watch_is_spent_on_what_gitignore_names(stage, ignoring):
    stage.write("gen/deep/a.py")

    watch = stage.watch(which=ignoring)

    assert stage.path("gen") not in watch._observer._shown.values()
    assert stage.path("pkg") in watch._observer._shown.values()


@installed
def test_root_without_a_repository_has_its_own_gitignore(stage):
    stage.write(".gitignore", "gen/\n")
    which = Filter(excluded=gitignore([stage.path()]))

    assert which.excludes(stage.path("gen"), folder=True)
    assert not which.excludes(stage.path("gen"), folder=False)
    assert not which.excludes(stage.path("x.py"), folder=False)


@installed
def test_root_that_git_ignores_counts_all_the_same(stage):
    (stage.base / ".git").mkdir()
    stage.write(stage.base / ".gitignore", "src/\n")
    stage.write(".gitignore", "gen.py\n")

    watch = stage.watch(which=Filter(excluded=gitignore([stage.path()])), poll=0.1)
    stage.write("x.py")
    stage.write("gen.py")

    assert stage.shown(watch.look()) == {"x.py": "modified"}
