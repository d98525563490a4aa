import pytest

from ipy_autorestart.decide import filters
from ipy_autorestart.decide.filters import Filter, is_below, is_environment, is_heavy

ROOT = "/home/ann/.venv/proj"  # above the root nothing is matched

COUNTS = [
    "a.py",
    "pkg/a.py",
    "pkg/sub/__init__.py",
    "_a.py",
    "test_a.py",
    ".hidden/a.py",
    "gitlike/a.py",
    "venv.py",
]

DROPPINGS = [
    *(
        "4913",
        "a.py~",
        ".a.py.swp",
        ".a.py.swx",
        ".a.swo",
        "#a.py#",
        ".#a.py",
        ".~a.py",
        "a.py.tmp",
        "sedAb12Cd",
    ),
    *(".goutputstream-AB12", "a.py___jb_tmp___", "a.py___jb_old___", "flycheck_a.py", ".nfs0001", "a.pyc"),
]

IGNORED = [
    *(".git", ".hg", ".svn", ".venv", "venv", "node_modules", ".tox", ".nox", ".mypy_cache", ".ruff_cache"),
    *(".pytest_cache", ".ipynb_checkpoints", ".eggs", ".idea", ".vscode", ".cache", "__pypackages__"),
    *("site-packages", "proj.egg-info", "__pycache__"),
]


@pytest.mark.parametrize("path", COUNTS)
def test_python_sources_count(path):
    assert Filter().counts(ROOT, f"{ROOT}/{path}")


@pytest.mark.parametrize("path", ["a.toml", "a.pyx", "apy", "a.py/b.txt", "a.ipynb", "Makefile", "a.pyi"])
def test_other_files_do_not_count(path):
    assert not Filter().counts(ROOT, f"{ROOT}/{path}")


@pytest.mark.parametrize("name", DROPPINGS)
def test_droppings_never_count(name):
    everything = Filter(patterns=("*",))

    assert not everything.counts(ROOT, f"{ROOT}/pkg/{name}")
    assert not everything.may_be_used(ROOT, f"{ROOT}/pkg/{name}")


@pytest.mark.parametrize("name", IGNORED)
def test_ignored_folders_are_not_entered(name):
    which = Filter()

    assert not which.enters(ROOT, f"{ROOT}/{name}")
    assert not which.enters(ROOT, f"{ROOT}/pkg/{name}/deep")
    assert not which.counts(ROOT, f"{ROOT}/pkg/{name}/deep/a.py")
    assert which.enters(ROOT, f"{ROOT}/pkg/x{name}x")


def test_compiled_code_counts():
    which = Filter(ignores=("build/",))

    assert which.counts(ROOT, f"{ROOT}/pkg/a.cpython-311-x86_64-linux-gnu.so")
    assert which.counts(ROOT, f"{ROOT}/lib/liba.so.1")
    assert not which.counts(ROOT, f"{ROOT}/build/a.so")
    assert not which.counts(ROOT, f"{ROOT}/.venv/a.so")


def test_a_root_is_entered_whatever_its_name():
    which = Filter(ignores=("proj",))

    assert which.enters(ROOT, ROOT)
    assert which.counts("/p/node_modules", "/p/node_modules/a.py")
    assert which.counts("/", "/a.py")
    assert not which.counts("/", "/venv/a.py")


def test_patterns_add_to_the_sources():
    which = Filter(patterns=("*.toml", "templates/*.html", "data/**/*.csv"))
    counting = [
        *("a.py", "a.toml", "deep/a.toml", "templates/a.html", "data/a.csv", "data/x/y/a.csv"),
    ]
    others = ["a.html", "deep/templates/a.html", "templates/deep/a.html", "a.csv", "other/data/a.csv"]

    assert [path for path in counting + others if which.counts(ROOT, f"{ROOT}/{path}")] == counting


def test_ignores_take_away():
    which = Filter(ignores=("*_pb2.py", "build/", "docs/conf.py", "tests/**/data", "/top.py"))
    counting = ["a.py", "build.py", "conf.py", "tests/data.py", "deep/docs/conf.py", "deep/top.py"]
    others = [
        *("a_pb2.py", "deep/a_pb2.py", "build/a.py", "deep/build/a.py", "docs/conf.py", "top.py"),
        *("tests/data/a.py", "tests/x/y/data/z/a.py"),
    ]

    assert [path for path in counting + others if which.counts(ROOT, f"{ROOT}/{path}")] == counting
    assert not which.enters(ROOT, f"{ROOT}/build")
    assert not which.enters(ROOT, f"{ROOT}/tests/x/data")


def test_ignored_name_without_slash_is_a_file_or_a_folder():
    which = Filter(ignores=("scratch*",))

    assert not which.counts(ROOT, f"{ROOT}/scratch.py")
    assert not which.counts(ROOT, f"{ROOT}/scratches/a.py")
    assert not which.enters(ROOT, f"{ROOT}/scratches")


def test_character_sets_are_understood():
    which = Filter(patterns=("a[0-9].txt", "b[!x].txt", "c[]].txt", "d[^.txt"))
    counting = ["a1.txt", "by.txt", "c].txt", "d[^.txt"]

    assert [n for n in (*counting, "ax.txt", "bx.txt", "c[.txt") if which.counts(ROOT, f"{ROOT}/{n}")] == counting


def test_notebooks_count_only_when_asked_for_by_name():
    assert not Filter(patterns=("*",)).counts(ROOT, f"{ROOT}/a.ipynb")
    assert Filter(patterns=("*.ipynb",)).counts(ROOT, f"{ROOT}/a.ipynb")


def test_a_pattern_names_files_of_any_kind():
    which = Filter(patterns=("*.dat", "conf/*.toml"))
    named = ["a.dat", "deep/a.dat", "conf/a.toml"]

    assert [path for path in (*named, "a.py", "a.toml", "dat") if which.names(ROOT, f"{ROOT}/{path}")] == named


def test_droppings_count_where_a_pattern_spells_them():
    which = Filter(patterns=("*.tmp", "cache/*.pyc", "*"), ignores=("b.tmp",))
    counting = ["a.tmp", "deep/a.tmp", "cache/a.pyc", "a.dat"]
    others = ["b.tmp", "a.pyc", "a.py~", ".a.py.swp", "sedAb12Cd"]

    assert [path for path in counting + others if which.counts(ROOT, f"{ROOT}/{path}")] == counting


def test_ignored_folders_are_entered_where_a_pattern_spells_them():
    which = Filter(patterns=("node_modules/ours/*.js", ".cache/a.json", "build/x/*.dat"), ignores=("build",))
    entered = ["node_modules", "node_modules/ours", "node_modules/ours/deep", ".cache", ".cache/deep"]
    others = [
        *("node_modules/other", "node_modules/ours/node_modules", "deep/node_modules", "deep/.cache", ".git"),
        *("build", "build/x", "node_modules/oursx"),
    ]

    assert [path for path in entered + others if which.enters(ROOT, f"{ROOT}/{path}")] == entered
    assert which.counts(ROOT, f"{ROOT}/node_modules/ours/a.js")
    assert which.counts(ROOT, f"{ROOT}/.cache/a.json")
    assert not which.counts(ROOT, f"{ROOT}/.cache/b.json")


def test_a_pattern_that_begins_with_a_wildcard_enters_no_ignored_folder():
    assert not Filter(patterns=("**/node_modules/*.js", "*/.git/config")).enters(ROOT, f"{ROOT}/a/.git")


def test_what_the_target_read_may_be_of_any_kind():
    which = Filter(ignores=("*.log",))

    assert which.may_be_used(ROOT, f"{ROOT}/config.toml")
    assert not which.may_be_used(ROOT, f"{ROOT}/run.log")
    assert not which.may_be_used(ROOT, f"{ROOT}/.venv/lib/x.json")


def test_excluded_is_asked_with_the_path_and_its_kind():
    asked = []

    def excluded(path, folder):
        asked.append((path, folder))
        return path.endswith("gen")

    which = Filter(excluded=excluded)

    assert which.excludes(f"{ROOT}/gen", folder=True)
    assert not which.excludes(f"{ROOT}/a.py", folder=False)
    assert asked == [(f"{ROOT}/gen", True), (f"{ROOT}/a.py", False)]
    assert not Filter().excludes(f"{ROOT}/gen", folder=True)


def test_environments_are_known_by_what_they_hold():
    assert is_environment({"pyvenv.cfg", "bin", "lib"})
    assert is_environment(["conda-meta", "bin"])
    assert not is_environment({"bin", "lib"})


def test_flat_caches_are_not_worth_planning_around():
    assert [name for name in IGNORED if not is_heavy(name)] == [".ipynb_checkpoints", "__pycache__"]


def test_below_minds_whole_names():
    assert is_below("/a/b", "/a/b")
    assert is_below("/a/b/c", "/a/b")
    assert is_below("/a", "/")
    assert not is_below("/a/bc", "/a/b")


def test_filters_compare_by_their_wishes():
    assert Filter(patterns=("*.a",)) == Filter(patterns=("*.a",))
    assert Filter(patterns=("*.a",)) != Filter(patterns=("*.b",))


@pytest.mark.parametrize("patterns", [("*.toml",), ("sub/*.toml", "node_modules/ours/*.js")])
def test_what_is_remembered_of_names_is_what_paths_say(monkeypatch, patterns):
    monkeypatch.setattr(filters, "REMEMBERED_MAX", 3)
    which, fresh = Filter(patterns, ("gen.py", "build")), lambda: Filter(patterns, ("gen.py", "build"))
    names = (
        "a.py",
        "a.toml",
        "gen.py",
        "build",
        "node_modules",
        "sub",
        "x.so",
        "a.py~",
        "4913",
        ".venv",
        "ours",
        "q.js",
    )
    for _ in range(2):
        for name in names:
            for folder in ("/p", "/p/sub", "/p/deep/sub"):
                path = f"{folder}/{name}"
                assert which.picks("/p", path) == fresh().picks("/p", path)
                assert which.enters_next("/p", path) == fresh().enters("/p", path)
    assert len(which.verdicts) <= 3
