"""First uses of files, in this very process: when it is over, the object is gone, and its hook does nothing."""

import contextlib
import ctypes
import gc
import glob
import importlib
import importlib.util
import io
import os
import pathlib
import py_compile
import runpy
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import threading
import time

import pytest
from IPython.core.history import HistoryAccessor

from ipy_autorestart.decide.change import Change, Kind
from ipy_autorestart.ipython import uses as uses_module
from ipy_autorestart.ipython.uses import ENTRIES_MAX, PACKAGE, USES_MAX, Uses


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project, in the current folder, which is on the path; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    before = set(sys.modules)
    for path in ("alone.py", "package/__init__.py", "package/inner.py", "spaces/inner.py", "data.csv", "data/one.csv"):
        write(tmp_path / path)
    yield tmp_path
    installed = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    for name in set(sys.modules) - before:
        # What is really installed stays: numpy, for one, can't be imported twice.
        if not (getattr(sys.modules[name], "__file__", None) or "").startswith(installed):
            del sys.modules[name]


@pytest.fixture
def uses(folder):
    return Uses(is_fresh=True)


def write(path, text="V = 1\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def place(uses, path, kind=Kind.MODIFIED):
    return uses.place_of(Change(os.path.abspath(path), kind))


def is_used_by(uses, act, path, kind=Kind.MODIFIED):
    """Whether a file was not used before an act, and is by it."""
    unused = None if path.endswith(".py") else 0
    assert place(uses, path, kind) == unused
    before = len(uses)
    with contextlib.suppress(OSError, ImportError):
        act()
    now = place(uses, path, kind)
    assert now == unused or before <= now < len(uses)
    return now != unused


READING = {
    "open": lambda: open("data.csv").close(),
    "bytes": lambda: open(b"data.csv").close(),
    "to update": lambda: open("data.csv", "r+").close(),
    "to add to": lambda: open("data.csv", "a+").close(),
    "os.open": lambda: os.close(os.open("data.csv", os.O_RDONLY)),
    "pathlib": lambda: pathlib.Path("data.csv").read_bytes(),
    "a path that is no string": lambda: io.FileIO(pathlib.Path("data.csv")).close(),
    "absolute": lambda: open(os.path.abspath("data.csv")).close(),
    "not normal": lambda: open("./package//../data.csv").close(),
    "shutil": lambda: shutil.copy("data.csv", "copy.csv"),
    "in a thread": lambda: in_thread(lambda: open("data.csv").close()),
    "a database": lambda: sqlite3.connect("data.csv").close(),
    "the URI of a database": lambda: sqlite3.connect(f"file:{os.path.abspath('data.csv')}?mode=ro", uri=True).close(),
    "a library": lambda: ctypes.CDLL("./data.csv"),
}

NOT_READING = {
    "to write": lambda: open("data.csv", "w").close(),
    "to write and read that": lambda: open("data.csv", "w+").close(),
    "to add": lambda: open("data.csv", "a").close(),
    "a descriptor": lambda: os.close(os.dup(1)),
    "another": lambda: open("alone.py").close(),
    "nothing": lambda: None,
}


def in_thread(act):
    thread = threading.Thread(target=act)
    thread.start()
    thread.join()


@pytest.mark.parametrize("act", READING.values(), ids=READING.keys())
def test_a_file_is_used_by_whatever_reads_it(uses, act):
    assert is_used_by(uses, act, "data.csv")


@pytest.mark.parametrize("act", NOT_READING.values(), ids=NOT_READING.keys())
def test_a_file_is_not_used_by_what_doesnt(uses, act):
    assert not is_used_by(uses, act, "data.csv")


def test_the_first_use_is_what_counts(uses):
    open("data.csv").close()
    first = place(uses, "data.csv")
    open("alone.py").close()
    open("data.csv").close()
    assert place(uses, "data.csv") == first == place(uses, "alone.py") - 1 == len(uses) - 2


@pytest.mark.e2e
def test_a_table_is_used_by_pandas(uses):
    pandas = pytest.importorskip("pandas")
    assert is_used_by(uses, lambda: pandas.read_csv("data.csv"), "data.csv")


def test_a_relative_path_means_what_it_meant_then(uses, folder):
    open("data.csv").close()
    used = place(uses, "data.csv")
    os.chdir("data")
    assert not is_used_by(uses, lambda: None, "data.csv")
    open("one.csv").close()
    os.chdir("..")
    assert (place(uses, "data.csv"), place(uses, "data/one.csv")) == (used, len(uses) - 1)


def test_a_module_is_used_by_its_import(uses):
    assert is_used_by(uses, lambda: importlib.import_module("alone"), "alone.py")
    before = len(uses)
    importlib.import_module("package.inner")
    assert before <= place(uses, "package/__init__.py") < place(uses, "package/inner.py")
    assert place(uses, "spaces/inner.py") is None
    importlib.import_module("spaces.inner")
    assert place(uses, "spaces/inner.py") > place(uses, "package/inner.py")


@pytest.mark.parametrize("optimization", ["", "1", "2"])
@pytest.mark.parametrize("prefix", [None, "elsewhere"])
def test_a_module_is_used_through_its_compiled_code(folder, monkeypatch, prefix, optimization):
    monkeypatch.setattr(sys, "pycache_prefix", prefix and str(folder / prefix))
    compiled = importlib.util.cache_from_source(str(folder / "alone.py"), optimization=optimization)
    py_compile.compile("alone.py", compiled)
    uses = Uses(is_fresh=True)
    assert is_used_by(
        uses, lambda: importlib.util.spec_from_file_location("any", compiled).loader.get_code("any"), "alone.py"
    )
    if not optimization:
        uses = Uses(is_fresh=True)
        assert is_used_by(uses, lambda: importlib.import_module("alone"), "alone.py")
        assert compiled in uses._opened


def test_a_script_is_used_when_it_runs(uses):
    assert is_used_by(uses, lambda: runpy.run_path("alone.py"), "alone.py")
    assert is_used_by(uses, lambda: exec(pathlib.Path("package/inner.py").read_text()), "package/inner.py")


@pytest.mark.parametrize(
    ("used", "changed"), [("link/inner.py", "package/inner.py"), ("package/inner.py", "link/inner.py")]
)
def test_a_folder_has_two_names(uses, used, changed):
    os.symlink("package", "link")
    assert is_used_by(uses, lambda: open(used).close(), changed)


def test_a_file_has_two_names(uses):
    os.symlink("package/inner.py", "linked.py")
    assert is_used_by(uses, lambda: importlib.import_module("linked"), "package/inner.py")
    os.symlink("package", "link")
    os.symlink("../alone.py", "package/other.py")
    assert is_used_by(uses, lambda: open("link/other.py").close(), "alone.py")
    assert place(uses, "package/other.py") == place(uses, "alone.py")


SEARCHES = {
    "new": ("import new", "new.py"),
    "importlib": ("import importlib; importlib.import_module('new')", "new.py"),
    "find_spec": ("import importlib.util; importlib.util.find_spec('new')", "new.py"),
    "a package": ("import new.inner", "new/__init__.py"),
    "in a package": ("from package import new", "package/new.py"),
    "found elsewhere": ("import package.inner", "other/package/inner.py"),
    "a package without a file": ("import spaces.inner", "spaces/__init__.py"),
    "in one of those": ("import spaces.new", "spaces/new.py"),
    "with another part": ("import spaces", "other/spaces/deep/new.py"),
    "its other part": ("import spaces.new", "other/spaces/new.py"),
    "in a folder without a file": ("import new.deep.one", "new/deep/one.py"),
    "in a new folder of a package": ("import package.deep.one", "package/deep/one.py"),
    "opened": ("open('package/new.py')", "package/new.py"),
    "listed": ("import os; os.listdir('package')", "package/new.py"),
}


@pytest.mark.parametrize(("code", "path"), SEARCHES.values(), ids=SEARCHES.keys())
def test_a_new_module_was_used_by_what_looked_for_it(uses, code, path):
    assert is_used_by(uses, lambda: exec(code), path, Kind.ADDED)


OTHER_SEARCHES = {
    "in another package": ("import package.inner", "spaces/inner.py"),
    "in a folder that was there": ("import spaces.inner", "spaces/new.py"),
    "of another name": ("import alone", "new.py"),
    "by the import of another": ("import package.inner", "package/new.py"),
    "of what is installed": ("import importlib.metadata; importlib.metadata.entry_points()", "new.py"),
}


@pytest.mark.parametrize(("code", "path"), OTHER_SEARCHES.values(), ids=OTHER_SEARCHES.keys())
def test_a_new_module_was_not_used_by_what_looked_for_others(uses, code, path):
    assert not is_used_by(uses, lambda: exec(code), path, Kind.ADDED)


def test_a_folder_is_a_package_whatever_comes_into_it(uses):
    with contextlib.suppress(ImportError):
        importlib.import_module("new")
    before = len(uses)
    with contextlib.suppress(OSError):
        open("new/one.csv").close()
    assert place(uses, "new/one.csv", Kind.ADDED) == before - 1
    assert place(uses, "new/two.csv", Kind.ADDED) == 0


def test_a_package_without_a_file_was_used_by_its_import_when_its_folder_is_gone(uses, folder):
    exec("import spaces")
    (folder / "spaces/inner.py").unlink()
    assert place(uses, "spaces/inner.py", Kind.DELETED) is None
    (folder / "spaces").rmdir()
    assert place(uses, "spaces/inner.py", Kind.DELETED) == len(uses) - 1


def test_where_a_package_lies_elsewhere_its_own_word_counts(uses, folder):
    package = importlib.import_module("package")
    package.__path__.append(str(folder / "else/where"))
    assert is_used_by(uses, lambda: importlib.import_module("package.new"), "else/where/new.py", Kind.ADDED)
    assert place(uses, "else/new.py", Kind.ADDED) is None


LISTINGS = {
    "os.listdir": lambda: os.listdir("data"),
    "os.scandir": lambda: os.scandir("data").close(),
    "here": lambda: in_folder("data", os.listdir),
    "a descriptor": lambda: list(os.fwalk("data")),
    "os.walk": lambda: list(os.walk(".")),
    "glob": lambda: glob.glob("data/*.csv"),
    "all that is below": lambda: glob.glob("**/*.csv", recursive=True),
    "pathlib": lambda: list(pathlib.Path("data").glob("*.csv")),
    "iterdir": lambda: list(pathlib.Path("data").iterdir()),
}


def in_folder(path, act):
    before = os.getcwd()
    os.chdir(path)
    act()
    os.chdir(before)


@pytest.mark.parametrize("act", LISTINGS.values(), ids=LISTINGS.keys())
def test_listing_a_folder_uses_what_comes_and_goes_there(uses, folder, act):
    assert is_used_by(uses, act, "data/new.csv", Kind.ADDED)
    assert place(uses, "data/one.csv") == 0  # its content wasn't heard of
    (folder / "data/one.csv").unlink()
    assert place(uses, "data/one.csv", Kind.DELETED) == place(uses, "data/new.csv", Kind.ADDED)


def test_listing_a_folder_uses_new_folders_in_it_but_not_what_is_in_those_that_were_there(uses, folder):
    used = len(uses)
    os.listdir(".")
    write(folder / "new/deep/one.py")
    assert place(uses, "new/deep/one.py", Kind.ADDED) == used
    assert place(uses, "package/new.py", Kind.ADDED) is None
    shutil.rmtree("package")
    assert place(uses, "package/inner.py", Kind.DELETED) == used
    (folder / "spaces/inner.py").unlink()
    assert place(uses, "spaces/inner.py", Kind.DELETED) is None


def test_a_folder_that_was_listed_in_vain_was_used(uses, folder):
    for path, act in (
        ("new/deep", os.listdir),
        ("fwalk", lambda path: list(os.fwalk(path))),
        ("rglob", lambda path: list(pathlib.Path(path).rglob("*"))),
        ("glob", lambda path: glob.glob(f"{path}/*.py")),
        ("chdir", os.chdir),
    ):
        before = len(uses)
        with contextlib.suppress(OSError):
            act(path)
        places = [place(uses, f"{path}/{name}", Kind.ADDED) for name in ("one.py", "a/one.csv")]
        assert places == [before, before]


def test_a_large_folder_is_not_looked_through_to_its_end(uses, folder):
    for number in range(ENTRIES_MAX + 9):
        (folder / f"data/{number}").mkdir()
    os.listdir("data")
    of_those = [place(uses, f"data/{number}/new.py", Kind.ADDED) for number in range(ENTRIES_MAX + 9)]
    assert of_those.count(None) in (ENTRIES_MAX, ENTRIES_MAX - 1)  # there is a file, too
    assert of_those.count(len(uses) - 1) in (9, 10)


SEARCHES_BY_PATTERN = {
    "glob": lambda: glob.glob("*/new.py"),
    "glob in a folder": lambda: glob.glob("*/new.py", root_dir="."),
    "pathlib": lambda: list(pathlib.Path(".").glob("*/new.py")),
    "rglob": lambda: list(pathlib.Path(".").rglob("new.py")),
    "without a wildcard": lambda: list(pathlib.Path("package").glob("new.py")),
}


@pytest.mark.parametrize("act", SEARCHES_BY_PATTERN.values(), ids=SEARCHES_BY_PATTERN.keys())
def test_what_was_looked_for_by_a_pattern_was_used_though_its_folder_was_not_listed(uses, act):
    assert is_used_by(uses, act, "package/new.py", Kind.ADDED)


def test_a_pattern_for_a_folder_is_no_search_below_it(uses):
    assert not is_used_by(uses, lambda: glob.glob("*.py"), "package/new.py", Kind.ADDED)


def test_a_listed_folder_has_two_names(uses):
    os.symlink("data", "link")
    assert is_used_by(uses, lambda: os.listdir("link"), "data/new.csv", Kind.ADDED)


def test_what_is_gone_was_used_by_what_read_it_or_looked_for_it(uses, folder):
    for path in ("alone.py", "package/inner.py"):
        (folder / path).unlink()
    assert place(uses, "alone.py", Kind.DELETED) is None
    importlib.util.find_spec("alone")
    assert place(uses, "alone.py", Kind.DELETED) == len(uses) - 1
    with contextlib.suppress(OSError):
        open("package/inner.py").close()
    assert place(uses, "package/inner.py", Kind.DELETED) == len(uses) - 1


def test_what_was_never_heard_of_was_not_used_if_only_python_reads_it(uses):
    for kind in Kind:
        assert place(uses, "alone.py", kind) is None
        assert place(uses, "data.csv", kind) == 0
        assert place(uses, "compiled.so", kind) == 0


def test_what_opens_files_by_itself_may_have_used_all_but_sources_since_it_was_there(uses, monkeypatch):
    def counts(path):
        return path.startswith(os.getcwd())

    open("data/one.csv").close()
    uses.note_readers()
    early, before = place(uses, "data/one.csv"), len(uses)
    monkeypatch.setitem(sys.modules, "h5py", None)
    uses.note_readers()
    assert len(uses) == before + 1
    assert uses.places(counts) == {early, before}
    assert uses.places(counts, only_code=True) == {early}
    since = len(uses)
    open("data.csv").close()
    open("alone.py").close()
    uses.note_readers()
    places = {path: place(uses, path) for path in ("data/one.csv", "data.csv", "alone.py")}
    assert places == {"data/one.csv": early, "data.csv": before, "alone.py": since + 1}
    assert uses.places(counts) == {early, before, since + 1}
    assert place(uses, "compiled.so") == 0
    assert uses.anything is None


def test_a_database_may_have_been_attached_to_one_that_was_connected_before(uses):
    sqlite3.connect(":memory:").close()
    first = len(uses) - 1
    open("alone.py").close()
    open("data/one.csv").close()
    for path in ("data.csv", "alone.py"):
        sqlite3.connect(path).close()
    places = {path: place(uses, path) for path in ("data.csv", "alone.py", "data/one.csv")}
    assert places == {"data.csv": first, "alone.py": first + 1, "data/one.csv": first + 2}
    assert uses.places(lambda _: False) == {first}  # others may be heard of later
    assert uses.places(lambda _: False, only_code=True) == set()


def test_the_history_of_ipython_is_no_database_to_attach_to(uses, folder):
    history = HistoryAccessor(hist_file=str(folder / "history.sqlite"))
    sqlite3.connect("data.csv").close()
    assert place(uses, "data.csv") == len(uses) - 1
    history.db.close()


def test_what_is_imported_at_the_beginning_was_used_then(folder):
    importlib.import_module("package.inner")
    uses = Uses(is_fresh=True)
    assert place(uses, "package/inner.py") == 0
    assert place(uses, "package/__init__.py", Kind.DELETED) == 0
    assert place(uses, "package.py", Kind.ADDED) == 0  # its name was looked for
    assert place(uses, "alone.py") is None
    assert len(uses) > 1


def test_without_a_fresh_beginning_all_may_have_been_used(folder):
    uses = Uses(is_fresh=False)
    importlib.import_module("alone")
    assert (uses.anything, place(uses, "alone.py"), place(uses, "new.py", Kind.ADDED)) == (0, 0, 0)


def tell_interpreter():
    """Do what multiprocessing does when it has started another interpreter."""
    read, write = os.pipe()
    exec("open(fd, 'wb').close()", {"__name__": "multiprocessing.popen_spawn_posix", "fd": write})
    os.close(read)


STARTING = {
    "subprocess": lambda: subprocess.run(["true"], check=True),
    "os.system": lambda: os.system("true"),
    "os.posix_spawn": lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0),
    "fork": lambda: os.waitpid(os.fork() or os._exit(0), 0),
    "os.exec": lambda: os.execv("/none", ["none"]),
    "another interpreter": lambda: exec("import multiprocessing.popen_spawn_posix"),
    "one more": tell_interpreter,
}


@pytest.mark.parametrize("act", STARTING.values(), ids=STARTING.keys())
def test_a_program_may_use_anything(uses, act, monkeypatch):
    monkeypatch.delitem(sys.modules, "multiprocessing.popen_spawn_posix", raising=False)
    exec("import alone")
    assert uses.anything is None
    with contextlib.suppress(OSError):
        act()
    used = place(uses, "alone.py")
    assert used < uses.anything == place(uses, "package/inner.py") < len(uses)
    exec("import package.inner")
    assert (place(uses, "alone.py"), place(uses, "package/inner.py")) == (used, uses.anything)
    assert place(uses, "data.csv") == 0


def test_the_import_of_dask_starts_no_interpreter(uses, monkeypatch):
    monkeypatch.delitem(sys.modules, "multiprocessing.popen_spawn_posix", raising=False)
    exec("import multiprocessing.popen_spawn_posix", {"__name__": "distributed.utils"})
    assert uses.anything is None


@pytest.mark.parametrize(("way", "is_use"), [("import", False), ("call", True)])
def test_a_program_that_an_installed_module_starts_is_no_use_at_its_import(uses, folder, monkeypatch, way, is_use):
    write(folder / "lib/site-packages/installed.py", "import os\ndef start(): os.system('true')\nstart()\n")
    monkeypatch.syspath_prepend(str(folder / "lib/site-packages"))
    write(folder / "mine.py", "import installed\n")
    exec("import mine")
    assert uses.anything is None
    if way == "call":
        sys.modules["installed"].start()
    assert (uses.anything is not None) is is_use


def test_a_program_that_a_users_module_starts_is_a_use(uses, folder, monkeypatch):
    write(folder / "lib/site-packages/installed.py", "import mine\n")
    monkeypatch.syspath_prepend(str(folder / "lib/site-packages"))
    write(folder / "mine.py", "import os\nos.system('true')\n")
    exec("import installed")
    assert uses.anything is not None


def test_what_we_start_ourselves_is_no_use(uses):
    exec(compile("import os; os.system('true'); os.listdir('data')", PACKAGE + "kernel/copy.py", "exec"))
    assert uses.anything is None
    assert place(uses, "data/new.py", Kind.ADDED) is None


def test_a_question_for_the_machine_is_no_use(uses):
    with contextlib.suppress(OSError):
        subprocess.run(["uname"], stdout=subprocess.DEVNULL)
    assert uses.anything is None


def test_the_places_of_files_that_count_are_told(uses):
    asked = []

    def counts(path):
        asked.append(path)
        return path.startswith(os.getcwd())

    assert uses.places(counts) == set()
    exec("import alone")
    alone = place(uses, "alone.py")
    assert uses.places(counts) == {alone}
    os.symlink("data.csv", "link.csv")
    open("link.csv").close()
    link = place(uses, "link.csv")
    assert uses.places(counts) == {alone, link}
    assert len(asked) == len(set(asked))
    os.system("true")
    assert uses.places(counts) == {alone, link, uses.anything}
    assert uses.places(lambda path: path.endswith("/data.csv")) == {link, uses.anything}


def test_more_than_can_be_told_apart_is_anything(uses):
    for number in range(USES_MAX - 1 - len(uses)):
        uses.seek(f"module{number}")
    open("alone.py").close()
    assert uses.anything is None
    open("package/inner.py").close()
    assert uses.anything == place(uses, "package/inner.py") == place(uses, "alone.py") + 1


def test_what_fails_in_the_hook_is_no_matter_of_the_users(uses):
    for wrong in (None, 3.5, object()):
        with pytest.raises(TypeError):
            open(wrong).close()
        sys.audit("open", wrong, wrong, wrong)
        sys.audit("os.listdir", wrong)
        sys.audit("subprocess.Popen", wrong)
    sys.audit("open")
    sys.audit("import")


def test_an_error_of_a_signal_handler_is_the_users(uses):
    class Path:
        def __fspath__(self):
            raise TimeoutError("an alarm, which came in the hook")

    with pytest.raises(TimeoutError):
        sys.audit("open", Path(), "r", os.O_RDONLY)


@pytest.mark.parametrize("way", ["closed", "gone"])
def test_at_its_end_nothing_is_heard_and_nothing_left(folder, way):
    uses = Uses(is_fresh=True)
    opened, finder = uses._opened, next(one for one in sys.meta_path if hasattr(one, "uses") and one.uses() is uses)
    if way == "closed":
        uses.close()
    else:
        del uses
    gc.collect()
    before = dict(opened)
    open("data.csv").close()
    assert opened == before
    assert finder not in sys.meta_path


def test_a_copy_goes_on_by_itself(uses):
    open("alone.py").close()
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        open("package/inner.py").close()
        uses._opened.pop("*")  # the fork was a use of anything
        os.write(writer, f"{place(uses, 'alone.py')} {place(uses, 'package/inner.py')} {len(uses)}".encode())
        os._exit(0)
    os.waitpid(pid, 0)
    there = list(map(int, os.read(reader, 99).split()))
    os.close(reader)
    os.close(writer)
    assert there == [len(uses) - 2, len(uses), len(uses)]
    assert place(uses, "alone.py") == there[0]
    assert os.path.abspath("package/inner.py") not in uses._opened


def test_threads_use_the_same_file_first(uses, folder):
    barrier = threading.Barrier(8)

    def read():
        barrier.wait()
        for number in range(200):
            with contextlib.suppress(OSError):
                open(f"{number}.csv").close()

    threads = [threading.Thread(target=read) for _ in range(8)]
    for one in threads:
        one.start()
    before = len(uses)
    for one in threads:
        one.join()
    places = [place(uses, f"{number}.csv") for number in range(200)]
    assert len(uses) <= before + 200
    assert all(0 < number < len(uses) for number in places)


@pytest.mark.e2e
@pytest.mark.parametrize(("module", "anything"), [("popen_spawn_posix", "0"), ("popen_fork", "None")])
def test_a_module_that_starts_interpreters_at_the_beginning_may_have_done_so(module, anything):
    code = f"import multiprocessing.{module}\nfrom ipy_autorestart.ipython.uses import Uses\n"
    told = subprocess.run([sys.executable, "-c", code + "print(Uses(is_fresh=True).anything)"], stdout=subprocess.PIPE)
    assert told.stdout.decode().strip() == anything


USED_AGAIN = {
    "opened": ("open('data.csv').close()", "data.csv"),
    "opened in vain": ("try: open('none.csv')\nexcept OSError: pass", "none.csv"),
    "imported in vain": ("try: import never_there\nexcept ImportError: pass", "never_there.py"),
    "listed": ("import os; os.listdir('data')", "data/new.csv"),
    "globbed": ("import glob; glob.glob('data/**/*.csv', recursive=True)", "data/new.csv"),
}


@pytest.mark.parametrize(("code", "path"), USED_AGAIN.values(), ids=USED_AGAIN.keys())
def test_a_use_is_told_from_an_earlier_one(uses, folder, code, path):
    path, run = str(folder / path), compile(code, "<ipython-input-1>", "exec")
    exec(run)
    moment = time.monotonic()
    assert uses.was_used_since(path, moment - 60)
    assert not uses.was_used_since(path, moment)
    exec(run)
    assert uses.was_used_since(path, moment)
    assert not uses.was_used_since(str(folder / "alone.py"), moment - 60)


def test_what_this_process_writes_itself_is_not_used_by_that(uses, folder):
    moment = time.monotonic()
    write(folder / "data.csv")
    (folder / "data.csv").read_text()
    assert not uses.was_used_since(str(folder / "data.csv"), moment)


def test_where_too_much_was_used_anything_was(uses, folder, monkeypatch):
    moment = time.monotonic()
    monkeypatch.setattr(uses_module, "USES_MAX", 2)
    for name in ("alone.py", "data.csv", "data/one.csv"):
        (folder / name).read_text()
    assert uses.was_used_since(str(folder / "package/inner.py"), moment)
    assert not uses.was_used_since(str(folder / "package/inner.py"), time.monotonic())
