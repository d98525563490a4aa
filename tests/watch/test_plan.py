import os

from ipy_autorestart.decide.filters import Filter
from ipy_autorestart.watch.plan import anchors, plan
from ipy_autorestart.watch.tree import Tree


def planned(stage, *roots, named=(), which=None):
    """What is watched, by path relative to the stage's base."""
    tree = Tree([os.fspath(root) for root in roots] or [stage.path()], which or Filter())
    tree.walk()
    short = lambda path: os.path.relpath(path, stage.base)  # noqa: E731 - two lines more for nothing
    spots = plan(tree.folders, anchors(tree, named)).spots
    return {short(spot.real): (spot.recursive, {short(shown) for _, shown in spot.names}) for spot in spots}


def test_clean_root_is_one_recursive_watch_and_its_parent(stage):
    assert planned(stage) == {"src": (True, set()), ".": (False, {"src"})}


def test_ignored_folder_is_planned_around(stage):
    stage.write("pkg/node_modules/a/b.py")
    stage.write("other/deep/a.py")

    assert planned(stage) == {
        "src": (False, set()),
        "src/pkg": (False, set()),
        "src/other": (True, set()),
        ".": (False, {"src"}),
    }


def test_flat_caches_are_not_planned_around(stage):
    stage.write("pkg/__pycache__/a.pyc")
    stage.write("pkg/.ipynb_checkpoints/a.py")

    assert planned(stage) == {"src": (True, set()), ".": (False, {"src"})}


def test_environment_of_any_name_is_planned_around(stage):
    stage.write("env/pyvenv.cfg")
    stage.write("env/lib/a.py")

    assert planned(stage) == {
        "src": (False, set()),
        "src/pkg": (True, set()),
        ".": (False, {"src"}),
    }


def test_symlinks_are_watched_where_they_lead(stage):
    os.symlink(stage.out, stage.path("ln"))
    stage.write(stage.base / "elsewhere/real.py")
    os.symlink(stage.base / "elsewhere/real.py", stage.path("l.py"))

    assert planned(stage) == {
        "src": (True, set()),
        "out": (True, set()),
        "elsewhere": (False, {"src/l.py"}),
        ".": (False, {"src"}),
    }


def test_symlink_into_an_ignored_folder_is_not_followed(stage):
    stage.write(".venv/lib/site-packages/a/b.py")
    os.symlink(".venv/lib/site-packages/a", stage.path("a"))

    assert set(planned(stage)) == {"src", "src/pkg", "."}


def test_symlinked_root_is_watched_for_in_both_places(stage):
    os.mkdir(stage.base / "links")
    os.symlink(stage.root, stage.base / "links/root")

    assert planned(stage, stage.base / "links/root") == {
        "src": (True, set()),
        "links": (False, {"links/root"}),
        ".": (False, {"links/root"}),
    }


def test_named_file_is_watched_for_in_its_folder(stage):
    stage.write(stage.base / "other/main.py")

    assert planned(stage, named=[str(stage.base / "other/main.py"), stage.path("pkg/m.py")]) == {
        "src": (True, set()),
        "other": (False, {"other/main.py"}),
        ".": (False, {"src"}),
    }


def test_named_file_in_an_ignored_folder_is_watched_for(stage):
    stage.write(".venv/bin/tool.py")

    spots = planned(stage, named=[stage.path(".venv/bin/tool.py")])

    assert spots["src/.venv/bin"] == (False, {"src/.venv/bin/tool.py"})


def test_covered_folders_are_those_that_are_entered(stage):
    stage.write("node_modules/a/b.py")
    tree = Tree([stage.path()], Filter())
    tree.walk()

    covered = plan(tree.folders, anchors(tree, ())).folders.values()

    assert set(covered) == {stage.path("pkg"), str(stage.root), str(stage.base)}


def test_plan_stays_the_same_while_the_folders_do(stage):
    tree = Tree([stage.path()], Filter())
    tree.walk()
    assert tree.moved
    tree.moved = False

    stage.write("y.py")
    tree.walk()
    assert not tree.moved

    stage.write("new/y.py")
    tree.walk()
    assert tree.moved


def test_few_folders_are_watched_one_by_one(stage):
    stage.write("pkg/__pycache__/a.pyc")
    tree = Tree([stage.path()], Filter())
    tree.walk()
    single = anchors(tree, ())

    assert not any(spot.recursive for spot in plan(tree.folders, single, few=2).spots)
    assert any(spot.recursive for spot in plan(tree.folders, single, few=1).spots)
