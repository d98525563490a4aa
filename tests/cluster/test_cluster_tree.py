"""What is read of a project, and what never is."""

import pytest

from ipy_autorestart.cluster.tree import TooLarge, read_tree
from ipy_autorestart.decide.filters import Filter


def put(folder, **files):
    for name, text in files.items():
        path = folder.joinpath(*name.split("/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def src(tmp_path):
    put(tmp_path / "src", **{"pkg/__init__.py": "", "pkg/a.py": "A = 1\n", "one.py": "", "data.csv": "1,2\n"})
    return tmp_path / "src"


def paths(*roots, **how):
    return sorted(read_tree([str(root) for root in roots], **how).files)


def test_sources_are_found_where_both_ways_to_import_them_find_them(src):
    tree = read_tree([str(src)])
    assert sorted(tree.files) == ["0/src/one.py", "0/src/pkg/__init__.py", "0/src/pkg/a.py"]
    assert tree.entries == ("0/src", "0")
    assert tree.origins == (str(src.parent),)
    assert tree.tops == {"pkg", "one"}


def test_a_package_is_imported_from_above_all_packages(src):
    tree = read_tree([str(src / "pkg")])
    assert sorted(tree.files) == ["0/src/pkg/__init__.py", "0/src/pkg/a.py"]
    assert tree.entries == ("0/src", "0")


def test_a_named_file_counts_alone(src):
    assert paths(src / "one.py") == ["0/src/one.py"]


def test_folders_of_the_same_name_stay_apart(src, tmp_path):
    put(tmp_path / "other/src", **{"two.py": ""})
    assert paths(src, tmp_path / "other/src")[-1] == "1/src/two.py"


def test_what_a_pattern_names_is_read_too(src):
    assert "0/src/data.csv" in paths(src, which=Filter(("*.csv",)))
    assert "0/src/one.py" not in paths(src, which=Filter((), ("one.py",)))


def test_what_begins_with_a_dot_is_never_read(src):
    put(src, **{".env": "KEY=1", ".secret/key.py": "K = 1", "pkg/.hidden.py": "", "keys.env": "K"})
    found = paths(src, which=Filter(("*", ".env", ".secret/*")), named=[str(src / ".env")])
    assert not [path for path in found if "/." in path]
    assert "0/src/keys.env" in found  # which the pattern names
    assert paths(src / ".env") == []


def test_compiled_code_and_environments_stay_here(src):
    put(src, **{"fast.so": "\x7fELF", "env/pyvenv.cfg": "", "env/lib.py": "", "node_modules/x.py": ""})
    assert len(paths(src)) == 3


def test_a_circle_of_links_ends(src):
    (src / "again").symlink_to(src)
    assert len(paths(src)) == 3


def test_syntax_errors_are_left_out_and_told(src):
    put(src, **{"pkg/b.py": "def (:\n"})
    tree = read_tree([str(src)])
    assert "0/src/pkg/b.py" not in tree.files
    assert list(tree.broken) == [str(src / "pkg/b.py")]
    assert "line 1" in tree.broken[str(src / "pkg/b.py")]


def test_the_version_is_that_of_the_contents(src):
    before = read_tree([str(src)]).version
    put(src, **{"pkg/a.py": "A = 2\n"})
    changed = read_tree([str(src)]).version
    assert changed != before
    put(src, **{"pkg/a.py": "A = 1\n"})
    assert read_tree([str(src)]).version == before
    (src / "one.py").rename(src / "two.py")
    assert read_tree([str(src)]).version not in (before, changed)


def test_a_tree_that_is_no_code_is_refused(src):
    put(src, **{"large.py": "X = 1\n" * 1000})
    with pytest.raises(TooLarge, match="leave some out with --ignore"):
        read_tree([str(src)], limit_bytes=1000)


def test_the_manifest_has_all_but_the_contents(src):
    tree = read_tree([str(src)])
    manifest = tree.manifest()
    assert manifest["version"] == tree.version
    wanted = manifest["files"]["0/src/pkg/a.py"]
    assert tree.contents([wanted]) == {wanted: b"A = 1\n"}
