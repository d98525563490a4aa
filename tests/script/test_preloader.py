"""Fork servers of one script: kept, replaced, and done without; with a fake one."""

import os
import time
import zipfile
from types import SimpleNamespace

import pytest
from starting import program

from ipy_autorestart.script import preloader
from ipy_autorestart.script.pipes import ReportPipe
from ipy_autorestart.script.policy import FAILURES_MAX, FOLLOWED, GETS_READY, QUIET, UNUSED_MAX
from ipy_autorestart.script.preloader import ANSWER_MAX, Preloader, folder_of, importable


class FakeForkServer:
    """A fork server that imports nothing and forks nobody."""

    def __init__(self, program, plan):
        self.plan = plan
        self.is_ready = False
        self.is_alive = True
        self.is_awaited = False
        self.heard_at = time.monotonic()
        self.unfit = None
        self.late = ""
        self.files = self.asked = ()
        self.names = frozenset()
        self.failed = {}
        self.opened = {}
        self.memory_bytes = 5_000_000
        self.parked = 0
        self.is_following = plan.follows
        self.followed = []

    def follow(self, paths):
        self.followed += paths

    def complete(self):
        self.is_following = False

    def is_done(self, *names):
        """Say that all is imported."""
        self.is_ready, self.names = True, frozenset(names)

    def park(self):
        self.parked += 1

    def go(self, *, lossless, within, guard):
        guard(42)
        return SimpleNamespace(pid=42)

    def give_up(self, why):
        self.close()

    def close(self):
        self.is_alive = False


class Kept:
    """A preloader, the fork servers that it has made, and what its script has reported."""

    def __init__(self, folder, **options):
        self.servers, self.guarded = [], []
        self.preloader = Preloader(program(os.path.join(folder, "main.py")), make=self._make, **options)
        read, self._write = os.pipe()
        self.reports = ReportPipe(read)
        self.reports.take_bytes(b"b\0!\0")
        self.now = time.monotonic() + 100

    def _make(self, *what):
        self.servers.append(FakeForkServer(*what))
        return self.servers[-1]

    def learns(self, *imported, running=False):
        """Have a run import files; return the fork server that is made when it has ended, or before."""
        self.reports.take_bytes(b"".join(f"i{path}\0".encode() for path in imported))
        self.preloader.learn(self.reports)
        self.keeps_up(running=running)
        return self.servers[-1]

    def keeps_up(self, *, running=False):
        self.now += 1
        self.preloader.keep_up(self.now, running=running)

    def starts(self, *changed):
        return self.preloader.start(changed, lossless=False, guard=self.guarded.append)

    def close(self):
        self.preloader.close()
        self.reports.close()
        os.close(self._write)


@pytest.fixture
def kept(tmp_path):
    kept = Kept(str(tmp_path))
    yield kept
    kept.close()


def test_a_run_starts_cold_until_a_fork_server_has_imported_all(kept):
    assert kept.starts() is None
    server = kept.learns("/lib/a.py")
    assert server.plan.paths == ("/lib/a.py",)
    assert kept.starts() is None
    assert kept.preloader.describe() == "a warm start is being made ready"
    server.is_done("a")
    kept.keeps_up()
    assert kept.starts().pid == 42
    assert kept.guarded == [42]
    assert kept.preloader.describe() == "0 modules imported ahead, 5 MB"


@pytest.fixture
def following(tmp_path, monkeypatch):
    """A preloader that follows its first run, whose clock is the preloader's."""
    kept = Kept(str(tmp_path), follows=True)
    monkeypatch.setattr(preloader.time, "monotonic", lambda: kept.now)
    yield kept
    kept.close()


def test_the_first_fork_server_imports_while_the_run_does(following):
    following.starts()
    server = following.learns("/lib/a.pyc", running=True)
    assert server.plan.follows
    assert server.plan.paths == ("/lib/a.pyc",)
    assert following.learns("/lib/b.pyc", "/lib/c.pyc", running=True) is server
    assert server.followed == ["/lib/b.pyc", "/lib/c.pyc"]
    assert following.preloader.preloading().ready_at == following.now - 1 + FOLLOWED + GETS_READY
    following.keeps_up(running=True)
    assert not server.is_following
    server.is_done("a", "b", "c")
    following.keeps_up(running=True)
    assert following.starts().pid == 42
    assert following.servers == [server]


def test_what_a_run_imports_within_the_quiet_is_followed(following):
    server = following.learns("/lib/a.pyc", running=True)
    following.preloader.learn(following.reports)
    for number in range(5):
        following.reports.take_bytes(f"i/lib/b{number}.pyc\0".encode())
        following.preloader.learn(following.reports)
        due = following.preloader.due_at(following.now, running=True)
        following.preloader.keep_up(following.now, running=True)
        assert due <= following.now + FOLLOWED
        following.now += FOLLOWED / 2
        following.preloader.keep_up(following.now, running=True)
        assert server.is_following
    assert len(server.followed) == 5


def test_the_end_of_the_run_ends_the_following(following):
    server = following.learns("/lib/a.pyc", running=True)
    following.now -= 1  # no time passes
    following.keeps_up(running=False)
    assert not server.is_following


def test_the_next_one_is_expected_to_take_as_long_as_the_run_and_what_it_was_followed_by(following, tmp_path):
    library = tmp_path / "lib/a.py"
    library.parent.mkdir()
    library.write_text("V = 1")
    following.starts()
    server = following.learns(str(library), running=True)
    began = following.now
    for number in range(3):
        following.learns(f"/lib/b{number}.pyc", running=True)
    following.keeps_up()
    server.files = (str(library),)
    server.is_done("a")
    following.keeps_up()
    took = following.now - began
    library.write_text("V = 2")
    following.keeps_up()
    following.keeps_up()
    assert following.servers[-1] is not server
    assert following.preloader.preloading().ready_at == following.now + took


def test_a_fork_server_that_imports_still_is_not_told_that_this_was_all(following):
    server = following.learns("/lib/a.pyc", running=True)
    server.is_following = False
    following.keeps_up()
    assert following.preloader.readers() == [server]
    server.is_following = True
    following.learns("/lib/b.pyc")
    assert server.followed == ["/lib/b.pyc"]


def test_a_module_of_the_scripts_own_that_comes_while_it_is_followed_makes_another_one(following):
    server = following.learns("/lib/a.pyc", running=True)
    following.learns("/lib/b.pyc", running=True)
    following.reports.take_bytes(b"r/src/b.py\0")
    following.keeps_up(running=True)
    server.is_done("a", "b")
    following.preloader.learn(following.reports)
    following.keeps_up(running=True)
    assert following.starts() is None
    following.keeps_up(running=True)
    assert following.servers[-1].plan.beside == ("b",)


def test_a_run_is_followed_again_without_what_turned_out_unfit(following):
    first = following.learns("/lib/a.pyc", running=True)
    first.unfit = ("a", "it prints")
    first.close()
    second = following.learns("/lib/b.pyc", running=True)
    assert second.plan.follows
    assert second.plan.unfit == ("a",)
    assert second.plan.paths == ("/lib/a.pyc", "/lib/b.pyc")


def test_what_changes_while_it_is_followed_makes_another_one(following, tmp_path):
    library = tmp_path / "lib/b.py"
    library.parent.mkdir()
    library.write_text("V = 1")
    following.learns("/lib/a.pyc", running=True)
    server = following.learns(str(library), running=True)
    library.write_text("V = 2")
    server.is_done("a", "b")
    following.keeps_up(running=True)
    assert following.starts() is None


def test_nothing_is_made_for_a_script_whose_interpreter_keeps_the_shim_out(tmp_path):
    kept = Kept(str(tmp_path))
    kept.keeps_up()
    assert kept.servers == []
    kept.close()


def test_the_next_run_is_forked_ahead_when_the_last_has_begun(kept, monkeypatch):
    monkeypatch.setattr(preloader, "PARK_AFTER", 60.0)  # whatever the machine does meanwhile
    server = kept.learns("/lib/a.py")
    server.is_done("a")
    kept.keeps_up()
    parked = server.parked
    kept.starts()
    soon = time.monotonic()
    kept.preloader.keep_up(soon, running=True)
    assert server.parked == parked
    assert soon < kept.preloader.due_at(soon, running=True) <= soon + 60
    kept.keeps_up()
    assert server.parked == parked + 1


def test_new_imports_make_a_new_fork_server_which_takes_the_old_ones_place(kept):
    old = kept.learns("/lib/a.py")
    old.is_done("a")
    kept.keeps_up()
    new = kept.learns("/lib/b.py")
    assert new.plan.paths == ("/lib/a.py", "/lib/b.py")
    assert kept.preloader.readers() == [old, new]
    new.is_done("a", "b")
    kept.keeps_up()
    assert not old.is_alive
    assert kept.preloader.readers() == [new]


@pytest.mark.parametrize("changed", ["/p/a.py", "/p/a/__init__.py"])
def test_a_changed_file_with_the_name_of_an_imported_module_goes_first(kept, changed):
    server = kept.learns("/lib/a.py")
    server.is_done("a")
    kept.keeps_up()
    assert kept.starts(changed) is None
    assert not server.is_alive


def test_a_new_file_beside_the_script_goes_first(kept, tmp_path):
    server = kept.learns("/lib/a.py")
    server.is_done("a")
    kept.keeps_up()
    (tmp_path / "a.py").write_text("")
    assert kept.starts() is None
    assert kept.learns("/lib/b.py").plan.beside == ("a",)


def test_what_runs_have_not_imported_for_long_is_forgotten(kept):
    first = kept.learns("/lib/a.pyc", "/lib/needed_by_a.pyc", "/lib/b.pyc")
    first.is_done()
    first.asked = "/lib/a.pyc", "/lib/b.pyc"
    kept.keeps_up()
    for _ in range(UNUSED_MAX - 1):
        kept.starts()
        assert kept.learns("/lib/a.pyc") is first
    kept.starts()
    second = kept.learns("/lib/a.pyc")
    assert second is not first
    assert second.plan.paths == ("/lib/a.pyc",)  # which brings what it needs
    assert first.is_alive
    second.is_done()
    second.asked = ("/lib/a.pyc",)
    for _ in range(UNUSED_MAX - 1):
        kept.starts()
        kept.keeps_up()
    assert kept.servers[-1] is second


def test_what_a_cold_run_had_to_import_itself_is_left_to_runs_and_told(kept):
    first = kept.learns("/lib/a.pyc", "/lib/b.pyc")
    first.is_done()
    kept.keeps_up()
    kept.reports.take_bytes(b"cb streams are replaced\0")
    second = kept.learns("/lib/a.pyc")
    assert second.plan.paths == ("/lib/a.pyc",)
    assert second.plan.unfit == ("b",)
    assert not first.is_alive
    assert "not b: streams are replaced before its import" in kept.preloader.describe()
    assert kept.learns("/lib/a.pyc") is second


def test_an_unfit_module_is_left_out_of_the_next_and_named(kept):
    server = kept.learns("/lib/a.py")
    server.unfit = ("a.b", "it prints")
    server.close()
    kept.keeps_up()
    assert kept.servers[-1].plan.unfit == ("a",)
    assert "not a: it prints" in kept.preloader.describe()


def test_fork_servers_that_fail_again_and_again_are_given_up(kept):
    kept.learns("/lib/a.py")
    for _ in range(FAILURES_MAX + 2):
        kept.servers[-1].close()
        kept.keeps_up()
    assert len(kept.servers) == FAILURES_MAX
    assert kept.preloader.describe() == "starts are cold: preparing a warm start failed again and again"


def test_one_that_hangs_in_an_import_is_given_up(kept):
    server = kept.learns("/lib/a.py")
    server.is_awaited = True
    server.heard_at = kept.now - 200
    kept.keeps_up()
    assert not server.is_alive


def test_one_that_does_not_fork_is_given_up_and_another_is_made(kept):
    server = kept.learns("/lib/a.py")
    server.is_done("a")
    kept.keeps_up()
    server.is_awaited = True
    server.heard_at = kept.now + 1.5 - ANSWER_MAX
    kept.keeps_up()
    assert server.is_alive
    kept.keeps_up()
    assert not server.is_alive
    assert kept.servers[-1] is not server


def test_of_what_follows_a_change_of_the_environment_all_before_compiled_code_is_imported(kept):
    kept.reports.take_bytes(b"i/lib/a.py\0eTHREADS\0")
    server = kept.learns("/lib/b.py", "/lib/c.py", "/lib/d.py")
    assert server.plan.paths == ("/lib/a.py", "+/lib/b.py", "+/lib/c.py", "+/lib/d.py")
    server.late = "/lib/c.py"
    server.close()
    kept.keeps_up()
    assert kept.servers[-1].plan.paths == ("/lib/a.py", "+/lib/b.py")
    assert kept.servers[-1].plan.unfit == ()
    assert kept.preloader.describe().endswith(
        "not what is imported after THREADS is set, from the first compiled module on"
    )
    kept.servers[-1].is_done("a", "b")
    made = len(kept.servers)
    kept.learns("/lib/a.py", "/lib/b.py", "/lib/c.py", "/lib/e.py")
    assert len(kept.servers) == made


def test_a_folder_offers_modules_and_packages_but_no_folders_of_data(tmp_path):
    for name in ("mod.py", "fast.cpython-311.so", "text.txt", "package/__init__.py", "namespace/mod.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert importable(str(tmp_path)) == {"mod", "fast", "package"}
    assert importable(str(tmp_path), {"mod", "json"}) == {"mod"}
    assert importable(str(tmp_path / "missing")) == set()


def test_names_that_an_archive_has_go_first_too(tmp_path):
    path = tmp_path / "app.pyz"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("__main__.py", "json.py", "package/__init__.py", "package/deep.py", "namespace/mod.py", "a.txt"):
            file.writestr(name, "")
    assert folder_of(program(str(path))) == str(path)
    assert importable(str(path)) == {"__main__", "json", "package"}
    assert importable(str(path), {"json", "deep"}) == {"json"}
    path.write_bytes(b"PK, and no more")
    assert importable(str(path)) == set()
    assert folder_of(program(str(path))) == str(tmp_path)


def test_only_a_fork_server_that_nothing_serves_before_is_waited_for(kept):
    kept.preloader.note_cold()
    assert kept.preloader.preloading() is None
    first = kept.learns("/lib/a.py")
    assert kept.preloader.preloading().ready_at > kept.now
    first.is_done("a")
    kept.keeps_up()
    assert kept.preloader.preloading() is None
    kept.learns("/lib/b.py")
    assert kept.preloader.preloading() is None
    first.close()
    kept.keeps_up()
    assert kept.preloader.preloading().ready_at == pytest.approx(kept.now)


def test_while_a_package_is_installed_no_fork_server_is_made(following, tmp_path):
    library = tmp_path / "lib/a.py"
    library.parent.mkdir()
    library.write_text("V = 1")
    server = following.learns(str(library))
    server.files = (str(library),)
    server.is_done("a")
    following.keeps_up()
    for number in range(4):
        (library.parent / f"new{number}.py").touch()
        for _ in range(2):
            following.now += QUIET / 3
            following.preloader.keep_up(following.now, running=False)
    assert following.servers == [server]
    following.keeps_up()
    following.keeps_up()
    assert len(following.servers) == 2


def test_nothing_is_forked_from_what_is_outdated_while_another_is_made(kept, tmp_path):
    library = tmp_path / "lib/a.py"
    library.parent.mkdir()
    library.write_text("V = 1")
    server = kept.learns(str(library))
    server.files = (str(library),)
    server.is_done("a")
    kept.keeps_up()
    library.write_text("V = 2")
    assert kept.starts() is None
    kept.keeps_up()
    assert len(kept.servers) == 2
    assert not server.is_alive
    assert kept.starts() is None
    kept.servers[1].is_done("a")
    kept.keeps_up()
    assert kept.starts().pid == 42
