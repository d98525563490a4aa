"""Every way to save a file, and everything that only looks like one, found by hints and by scans alone."""

import compileall
import mmap
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field

import pytest
from watchdog.version import VERSION_MAJOR

from ipy_autorestart.decide.filters import DROPPINGS
from ipy_autorestart.watch import snapshot as snapshots
from ipy_autorestart.watch.observer import Observer
from ipy_autorestart.watch.watch import Watch

MODIFIED = {"x.py": "modified"}


@dataclass
class Case:
    act: object
    expected: dict
    hinted: bool
    prepare: object
    roots: tuple
    marks: list = field(default_factory=list)


CASES = {}


def case(expected, *, hinted=True, prepare=None, roots=(), needs=None):
    """Register a save; not ``hinted`` means that no event comes of it, and a scan must find it."""

    def register(act):
        marks = []
        if needs is not None:
            missing = shutil.which(needs) is None
            marks = [pytest.mark.e2e, pytest.mark.skipif(missing, reason=f"{needs} is not installed")]
        CASES[act.__name__] = Case(act, expected, hinted, prepare, roots, marks)
        return act

    return register


def run(*command, cwd=None):
    quiet = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(command, cwd=cwd, capture_output=True, env=quiet, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def git(stage, *command):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    run("git", *identity, *command, cwd=stage.root)


def repository(stage, *, files=3):
    for number in range(files):
        stage.write(f"many/f{number}.py", "V = 1\n")
    git(stage, "init", "-q", "-b", "one")
    git(stage, "add", "-A")
    git(stage, "commit", "-q", "-m", "one")
    git(stage, "checkout", "-q", "-b", "two")
    for number in range(files):
        stage.write(f"many/f{number}.py", "V = 2\n")
    git(stage, "commit", "-q", "-a", "-m", "two")
    git(stage, "checkout", "-q", "one")


# In place.


@case(MODIFIED)
def written_in_place(stage):
    stage.write("x.py")


@case(MODIFIED)
def appended(stage):
    with open(stage.path("x.py"), "a") as file:
        file.write("W = 1\n")


@case({"pkg/m.py": "modified"})
def written_below(stage):
    stage.write("pkg/m.py")


@case(MODIFIED)
def truncated_then_the_rest(stage):
    with open(stage.path("x.py"), "w") as file:
        file.flush()
        file.write("V = ")
        file.flush()
        file.write("2\n")


@case(MODIFIED)
def copied_over(stage):
    stage.write(stage.out / "y.py")
    shutil.copy2(stage.out / "y.py", stage.path("x.py"))


@case(MODIFIED)
def same_size_and_same_mtime(stage):
    before = os.stat(stage.path("x.py"))
    stage.write("x.py", "V = 7\n")
    os.utime(stage.path("x.py"), ns=(before.st_atime_ns, before.st_mtime_ns))


@case(MODIFIED, hinted=False)
def mapped_and_kept_open(stage):
    with open(stage.path("x.py"), "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[4:5] = b"7"
        mapped.flush()
        stage.kept = os.dup(file.fileno())
    os.close(stage.kept)


# By renaming.


@case(MODIFIED)
def replaced_by_a_hidden_file(stage):
    stage.write(".x.tmp")
    os.replace(stage.path(".x.tmp"), stage.path("x.py"))


@case(MODIFIED)
def replaced_by_a_file_that_is_ignored(stage):
    stage.write("x.py~")
    os.replace(stage.path("x.py~"), stage.path("x.py"))


@case(MODIFIED)
def moved_in_from_outside(stage):
    stage.write(stage.out / "y.py")
    os.rename(stage.out / "y.py", stage.path("x.py"))


@case(MODIFIED)
def replaced_by_an_older_file(stage):
    stage.write(stage.out / "y.py", "V = 0\n")
    os.utime(stage.out / "y.py", (1, 1))
    os.replace(stage.out / "y.py", stage.path("x.py"))


@case(MODIFIED)
def pycharm(stage):
    stage.write("x.py___jb_tmp___")
    os.rename(stage.path("x.py"), stage.path("x.py___jb_old___"))
    os.rename(stage.path("x.py___jb_tmp___"), stage.path("x.py"))
    os.unlink(stage.path("x.py___jb_old___"))


@case(MODIFIED)
def jupyter_server(stage):
    shutil.copy2(stage.path("x.py"), stage.path(".~x.py"))
    stage.write("x.py")
    os.unlink(stage.path(".~x.py"))


@case(MODIFIED)
def like_vim(stage):
    stage.write("4913", "")
    os.unlink(stage.path("4913"))
    os.rename(stage.path("x.py"), stage.path("x.py~"))
    stage.write("x.py")
    os.unlink(stage.path("x.py~"))


@case(MODIFIED, needs="vim")
def vim(stage):
    run("vim", "-u", "NONE", "-es", "-c", "set backupskip= backupcopy=no", *VIM, stage.path("x.py"))


@case(MODIFIED, needs="vim")
def vim_in_place(stage):
    run("vim", "-u", "NONE", "-es", "-c", "set backup backupskip= backupcopy=yes", *VIM, stage.path("x.py"))


VIM = ("-c", "%s/1/2/", "-c", "wq")


@case(MODIFIED, needs="emacs")
def emacs(stage):
    edit = '(progn (find-file "x.py") (insert "W = 1\\n") (save-buffer))'
    run("emacs", "--batch", "-Q", "--eval", edit, cwd=stage.root)


@case(MODIFIED, needs="sed")
def sed_in_place(stage):
    run("sed", "-i", "s/1/2/", stage.path("x.py"))


@case({"x.py": "deleted"})
def deleted(stage):
    os.unlink(stage.path("x.py"))


@case({"x.py": "deleted", "y.py": "added"})
def renamed(stage):
    os.rename(stage.path("x.py"), stage.path("y.py"))


@case({"x.py": "deleted"})
def moved_away(stage):
    os.rename(stage.path("x.py"), stage.out / "x.py")


# Contents that ask for something else than a restart.


@case({"x.py": "alike"})
def comment_added(stage):
    stage.write("x.py", "# why\nV  =  1\n")


@case({"x.py": "broken"})
def syntax_error(stage):
    stage.write("x.py", "V = (\n")


@case({"new.py": "broken"})
def new_file_with_a_syntax_error(stage):
    stage.write("new.py", "V = (\n")


# Folders.


@case({"a/b/c/n.py": "added", "a/b/__init__.py": "added"})
def nested_package_in_one_breath(stage):
    stage.write("a/b/__init__.py", "")
    stage.write("a/b/c/n.py")


@case({f"d{n}/s/n.py": "added" for n in range(60)})
def many_folders(stage):
    for number in range(60):
        stage.write(f"d{number}/s/n.py")


@case({f"n{n}/s/n.py": "added" for n in range(30)})
def folders_made_and_renamed_at_once(stage):
    for number in range(30):
        stage.write(f".t{number}/s/n.py")
        os.rename(stage.path(f".t{number}"), stage.path(f"n{number}"))


@case({"pkg/__init__.py": "deleted", "pkg/m.py": "deleted"})
def package_moved_away(stage):
    os.rename(stage.path("pkg"), stage.out / "pkg")


@case({"new/m.py": "added"})
def package_moved_in(stage):
    os.rename(stage.out, stage.path("new"))


def move_in(stage):
    os.rename(stage.out, stage.path("new"))


@case({"new/m.py": "modified"}, prepare=move_in, hinted=VERSION_MAJOR > 6)  # but see test_watch
def edited_in_a_package_that_moved_in(stage):
    stage.write("new/m.py")


@case({"pkg/__init__.py": "deleted", "pkg/m.py": "modified"})
def package_swapped(stage):
    os.rename(stage.path("pkg"), stage.base / "away")
    stage.write(stage.out / "m.py", "V = 3\n")
    os.rename(stage.out, stage.path("pkg"))


@case({"pkg/__init__.py": "deleted", "pkg/m.py": "deleted", "q/__init__.py": "added", "q/m.py": "added"})
def package_renamed(stage):
    os.rename(stage.path("pkg"), stage.path("q"))


def remake(stage):
    shutil.rmtree(stage.root)
    stage.write("x.py")


@case({"x.py": "modified", "pkg/__init__.py": "deleted", "pkg/m.py": "deleted"})
def root_deleted_and_made_again(stage):
    remake(stage)


@case({"x.py": "modified"}, prepare=remake)
def edited_in_a_root_made_again(stage):
    stage.write("x.py", "V = 3\n")


def exchange(stage):
    os.rename(stage.root, stage.base / "old")
    shutil.copytree(stage.base / "old", stage.root)


@case(MODIFIED, prepare=exchange)
def edited_in_a_new_root_in_place_of_one_renamed_away(stage):
    stage.write("x.py")


@case({}, prepare=exchange)
def edited_in_a_root_that_was_renamed_away(stage):
    stage.write(stage.base / "old/x.py")


# Links.


def link_root(stage):
    os.symlink(stage.root, stage.base / "link")


@case({"../link/x.py": "modified"}, prepare=link_root, roots=("../link",))
def edited_below_a_symlinked_root(stage):
    stage.write("x.py")


@case({"../link/pkg/m.py": "modified"}, prepare=link_root, roots=("../link",))
def edited_deep_below_a_symlinked_root(stage):
    stage.write("pkg/m.py")


@case(
    {"../link/x.py": "deleted", "../link/m.py": "added"}
    | {"../link/pkg/m.py": "deleted", "../link/pkg/__init__.py": "deleted"},
    prepare=link_root,
    roots=("../link",),
)
def symlinked_root_flipped(stage):
    os.symlink(stage.out, stage.base / "new")
    os.replace(stage.base / "new", stage.base / "link")


def link_folder(stage):
    os.symlink(stage.out, stage.path("ln"))


@case({"ln/m.py": "modified"}, prepare=link_folder)
def real_file_of_a_symlinked_package_edited(stage):
    stage.write(stage.out / "m.py")


@case({"ln/m.py": "modified"}, prepare=link_folder)
def symlinked_package_flipped(stage):
    stage.write(stage.base / "other/m.py")
    os.symlink(stage.base / "other", stage.path("ln.new"))
    os.replace(stage.path("ln.new"), stage.path("ln"))


@case({"ln/m.py": "added"})
def package_symlinked(stage):
    os.symlink(stage.out, stage.path("ln"))


@case({"ln/m.py": "deleted"}, prepare=link_folder)
def symlinked_package_taken_away(stage):
    os.unlink(stage.path("ln"))


def link_file(stage):
    os.symlink(stage.out / "m.py", stage.path("l.py"))


@case({"l.py": "modified"}, prepare=link_file)
def real_file_of_a_symlink_edited(stage):
    stage.write(stage.out / "m.py")


@case({"l.py": "modified"}, prepare=link_file)
def real_file_of_a_symlink_replaced(stage):
    stage.write(stage.out / ".m.tmp")
    os.replace(stage.out / ".m.tmp", stage.out / "m.py")


@case({"l.py": "modified"}, prepare=link_file)
def symlinked_file_flipped(stage):
    stage.write(stage.out / "other.py")
    os.symlink(stage.out / "other.py", stage.path("l.py.new"))
    os.replace(stage.path("l.py.new"), stage.path("l.py"))


def link_inside(stage):
    os.symlink("pkg/m.py", stage.path("l.py"))


@case({"l.py": "modified", "pkg/m.py": "modified"}, prepare=link_inside)
def symlink_to_a_file_that_counts_itself(stage):
    stage.write("pkg/m.py")


def link_loop(stage):
    os.symlink(stage.root, stage.path("loop"))
    os.symlink("self", stage.path("self"))


@case(MODIFIED, prepare=link_loop)
def edited_beside_a_symlink_to_itself(stage):
    stage.write("x.py")


def link_hard(stage):
    os.link(stage.path("x.py"), stage.out / "y.py")


@case(MODIFIED, prepare=link_hard, hinted=False)
def hardlink_edited_by_its_other_name(stage):
    stage.write(stage.out / "y.py")


# Several roots.


@case({"pkg/m.py": "modified"}, roots=("", "pkg"))
def edited_in_two_roots_at_once(stage):
    stage.write("pkg/m.py")


@case(MODIFIED, roots=("x.py",))
def single_file_written(stage):
    stage.write("pkg/m.py")
    stage.write("x.py")


@case(MODIFIED, roots=("x.py",))
def single_file_replaced(stage):
    stage.write(".x.tmp")
    os.replace(stage.path(".x.tmp"), stage.path("x.py"))


def name_oddly(stage):
    stage.write(stage.base / "node_modules/a/x.py")


@case({"../node_modules/a/x.py": "modified"}, prepare=name_oddly, roots=("../node_modules/a",))
def edited_in_a_named_root_below_an_ignored_name(stage):
    stage.write(stage.base / "node_modules/a/x.py", "V = 3\n")


# git.


def small_repository(stage):
    repository(stage)


def large_repository(stage):
    repository(stage, files=1000)


@case({f"many/f{n}.py": "modified" for n in range(1000)}, prepare=large_repository, needs="git")
def git_checkout(stage):
    git(stage, "checkout", "-q", "two")


@case({}, prepare=small_repository, needs="git")
def git_checkout_there_and_back(stage):
    git(stage, "checkout", "-q", "two")
    git(stage, "checkout", "-q", "-")


@case({}, prepare=small_repository, needs="git")
def git_status_and_commit(stage):
    stage.write("notes.txt", "a")
    git(stage, "status")
    git(stage, "add", "-A")
    git(stage, "commit", "-q", "-m", "three")


# What costs nothing.


@case({})
def read_only(stage):
    for _ in range(3):
        with open(stage.path("x.py")) as file:
            file.read()


@case({})
def touched(stage):
    os.utime(stage.path("x.py"))


@case({})
def made_executable(stage):
    os.chmod(stage.path("x.py"), 0o755)


@case({})
def same_bytes_written(stage):
    stage.write("x.py", "V = 1\n")


@case({})
def same_bytes_replaced(stage):
    stage.write(".x.tmp", "V = 1\n")
    os.replace(stage.path(".x.tmp"), stage.path("x.py"))


@case({})
def deleted_and_made_again(stage):
    os.unlink(stage.path("x.py"))
    stage.write("x.py", "V = 1\n")


@case({})
def changed_and_put_back(stage):
    stage.write("x.py")
    stage.write("x.py", "V = 1\n")


@case({}, needs="sed")
def sed_without_a_match(stage):
    run("sed", "-i", "s/klingon/2/", stage.path("x.py"))


@case({})
def compiled(stage):
    compileall.compile_dir(stage.path(), quiet=2, force=True)


@case({}, needs=sys.executable)
def imported(stage):
    run(sys.executable, "-c", "import x, pkg.m", cwd=stage.root)


@case({})
def droppings(stage):
    for name in DROPPINGS:
        stage.write("x.py" + name.replace("*", "a").replace("?", "b").replace("[co]", "c"), "V = 3\n")
    stage.write("4913", "")
    os.symlink("ann@host.1:2", stage.path(".#x.py"))


@case({})
def files_in_ignored_folders(stage):
    for folder in (".venv/lib", "node_modules/a", "pkg/__pycache__", "site-packages", "a.egg-info"):
        stage.write(f"{folder}/q.py", "V = 3\n")


@case({})
def environment_of_any_name(stage):
    stage.write("env/pyvenv.cfg", "")
    stage.write("env/lib/q.py")
    stage.write("conda/conda-meta/history", "")
    stage.write("conda/lib/q.py")


@case({})
def other_kinds_of_files(stage):
    stage.write("notes.ipynb", "{}")
    stage.write("run.log", "a")
    os.mkdir(stage.path("empty"))
    os.mkfifo(stage.path("pipe.py"))


@case({}, prepare=lambda stage: os.rename(stage.path("pkg"), stage.out / "pkg"))
def edited_in_a_package_that_moved_away(stage):
    stage.write(stage.out / "pkg/m.py", "V = 9\n")


PARAMETERS = [pytest.param(name, marks=chosen.marks) for name, chosen in CASES.items()]


def begin(stage, chosen, *, see=Watch.look, **options):
    """Prepare before the start what must be there, and after it what must be noticed first."""
    links = chosen.prepare is not None and (chosen.prepare.__name__.startswith(("link", "name")) or chosen.roots)
    if links:
        chosen.prepare(stage)
    watch = stage.watch(*(os.path.normpath(stage.path(root)) for root in chosen.roots), **options)
    if chosen.prepare is not None and not links:
        chosen.prepare(stage)
        see(watch)
        while stage.drain():  # a look that hints lead sees no more than they name; one without sees all
            see(watch)
        watch.commit()
    return watch


@pytest.mark.parametrize("name", PARAMETERS)
def test_save_is_found_by_a_look_alone(stage, name):
    chosen = CASES[name]
    watch = begin(stage, chosen, poll=0.1)

    chosen.act(stage)

    assert stage.shown(watch.look()) == chosen.expected
    assert stage.shown(watch.look()) == chosen.expected, "looking must change nothing"
    watch.commit()
    assert stage.shown(watch.look()) == {}
    assert stage.hints.empty()
    assert watch.polling


@pytest.mark.parametrize("few", [0, Observer.few_spots], ids=["together", "one_by_one"])
@pytest.mark.parametrize("name", PARAMETERS)
def test_save_is_found_by_hints_of_watchdog(stage, monkeypatch, name, few):
    monkeypatch.setattr(Observer, "few_spots", few)
    found_by_hints(stage, CASES[name], observe=Observer)


@pytest.mark.parametrize("name", PARAMETERS)
def test_save_is_found_by_hints(stage, name):
    found_by_hints(stage, CASES[name])


@pytest.mark.parametrize("name", PARAMETERS)
def test_save_is_found_by_hints_in_a_large_tree(stage, monkeypatch, name):
    monkeypatch.setattr(snapshots, "SMALL_FILES", 0)

    def see(watch):
        """Look at all at once, as no look does there."""
        watch._scan()
        return watch.look()

    found_by_hints(stage, CASES[name], see=see)


def found_by_hints(stage, chosen, *, see=Watch.look, **options):
    watch = begin(stage, chosen, see=see, **options)
    assert not watch.polling

    chosen.act(stage)

    if chosen.expected and chosen.hinted:
        stage.hinted(watch, chosen.expected)
    else:
        # What is to be unheard of has been heard by the time that a later change is.
        stage.write("zz_later.py") if not chosen.roots else None
        stage.hinted(watch, {**chosen.expected, "zz_later.py": "added"})
        os.unlink(stage.path("zz_later.py"))
    assert stage.shown(see(watch)) == chosen.expected
    watch.commit()
    assert stage.shown(see(watch)) == {}
    assert see(watch).notes == ()
