import mmap
import os
import shutil
import threading
import time
from dataclasses import replace

import pytest
from compiling import library, overwritten, replaced
from waiting import DEADLINE, eventually

from ipy_autorestart.decide.change import Change, Found, Hint, Kind, Progress, Unfinished
from ipy_autorestart.decide.filters import Filter
from ipy_autorestart.watch.contents import now_ns
from ipy_autorestart.watch.filesystem import watched_inodes
from ipy_autorestart.watch.observer import Observer as Watchdog
from ipy_autorestart.watch.policy import LATE_SECONDS
from ipy_autorestart.watch.watch import READ_LATELY, SLICES_APART


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def looked(watch):
    """What a look found; when the next one is due is another matter."""
    return replace(watch.look(), rescan=Found().rescan, polling=False)


def changed(stage, name, kind=Kind.MODIFIED):
    return Change(stage.path(name), kind)


# Starting and stopping.


def test_nothing_to_watch_is_an_error(stage):
    with pytest.raises(FileNotFoundError, match="nothing there to watch"):
        stage.watch(stage.path("gone"), stage.path("gone.py"))


def test_missing_root_is_noted_and_watched_for(stage):
    watch = stage.watch(stage.path("pkg"), stage.path("later"))
    assert watch.look().notes == (f"{stage.path('later')} is missing; waiting for it to appear",)

    stage.write("later/a.py")

    stage.hinted(watch, {"later/a.py": "added"})
    assert watch.look().notes == ()


class Slow(Clock):
    """A clock on which each look at it takes a second."""

    def __call__(self):
        self.now += 1.0
        return self.now


def test_first_listing_that_takes_long_is_told_as_long_as_it_goes_on(stage, monkeypatch):
    told = []
    watch = stage.watch(clock=Slow(), on_slow=told.append)
    assert told[0].startswith("looking at 2 files and folders so far")
    assert watch.look().notes == ()
    monkeypatch.setattr("ipy_autorestart.watch.watch.SLICE_FILES", 1)
    beside = stage.watch(clock=Slow(), beside=True)
    notes = [beside.look().notes for _ in range(20)]
    assert next(filter(None, notes))[0].startswith("looking at ")
    assert notes[-1] == ()


@pytest.mark.parametrize("poll", [0, -1.0])
def test_poll_must_be_positive(stage, poll):
    with pytest.raises(ValueError, match="poll must be a positive number of seconds, got"):
        stage.watch(poll=poll)


def test_stopping_twice_is_stopping(stage):
    watch = stage.watch()

    watch.stop()
    watch.stop()


def test_leaving_the_context_stops(stage):
    watch = stage.watch()
    watch.stop()

    with watch:
        stage.write("x.py")
        stage.hinted(watch, {"x.py": "modified"})

    stage.drain()
    stage.write("x.py", "V = 3\n")
    assert watch._observer is None


def test_watch_that_stopped_still_compares(stage):
    watch = stage.watch()
    watch.stop()

    stage.write("x.py")

    assert stage.shown(watch.look()) == {"x.py": "modified"}
    assert watch.polling


def test_relative_root_stays_where_it_was(stage, monkeypatch):
    monkeypatch.chdir(stage.root)
    watch = stage.watch("pkg")
    monkeypatch.chdir("/")

    stage.write("pkg/new/n.py")

    stage.hinted(watch, {"pkg/new/n.py": "added"})


def test_change_between_start_and_the_first_look_is_not_lost(stage):
    watch = stage.watch(poll=0.1)
    stage.write("x.py")
    assert watch.look().changes == (changed(stage, "x.py"),)


def test_start_after_a_stop_takes_a_new_baseline(stage):
    watch = stage.watch(poll=0.1)
    stage.write("x.py")
    assert watch.look().changes
    watch.stop()

    watch.start()

    assert looked(watch) == Found()


# A target that starts beside the first look.


def look_until(watch, is_enough):
    """Look again and again."""
    found = watch.look()
    while not is_enough(found):
        found = watch.look()
    return found


@pytest.fixture(params=[0, 1000], ids=["large", "small"])
def beside(stage, monkeypatch, request):
    """Start a watch that takes its baseline in small slices, of a tree that is large or small."""
    monkeypatch.setattr("ipy_autorestart.watch.snapshot.SMALL_FILES", request.param)
    monkeypatch.setattr("ipy_autorestart.watch.watch.SLICE_FILES", 1)
    stage.write("a/b/c/deep.py", "V = 1\n")
    older = stage.out / "older.py"
    older.write_text("V = 0\n")
    os.utime(older, (1, 1))

    def start(**options):
        eventually(lambda: now_ns() > max(os.stat(path).st_ctime_ns for path in (stage.path("x.py"), older)))
        return stage.watch(beside=True, **options)

    return start


def test_start_looks_at_nothing_where_the_target_starts_beside_it(stage, beside):
    watch = beside()
    assert not watch._snapshot.tree.folders
    assert watch.look().rescan == 0.0, "go on at once"
    assert len(watch._snapshot.tree.folders) == 1
    assert look_until(watch, lambda found: found.rescan > 0.2).changes == ()


@pytest.mark.parametrize("slices", range(8))
def test_what_changes_while_all_is_listed_is_not_lost(stage, beside, slices):
    """Whatever has been looked at by then, and though the content comes with an old timestamp."""
    watch = beside()
    for _ in range(slices):
        watch.look()

    stage.write("pkg/m.py", "V = 2\n")
    os.replace(stage.out / "older.py", stage.path("a/b/c/deep.py"))
    stage.write("a/b/new.py", "V = 3\n")

    wanted = {"pkg/m.py": "modified", "a/b/new.py": "added"}
    found = look_until(watch, lambda found: len(found.changes) == 3)
    shown = stage.shown(found)
    assert shown.pop("a/b/c/deep.py") in ("modified", "added")  # for its folder has changed, too
    assert shown == wanted
    watch.commit()
    look_until(watch, lambda _: watch._steps is None)
    watch._scan()
    assert stage.shown(watch.look()) == {}
    assert not watch.polling, "no event is missed of what came before the watch"


def test_save_while_all_is_listed_waits_for_no_scan(stage, beside, monkeypatch):
    watch = beside()
    watch.look()
    monkeypatch.setattr(watch, "_scan", lambda: pytest.fail("a scan"))
    stage.write("x.py")
    stage.hinted(watch, {"x.py": "modified"})
    stage.write("sub/new.py")

    stage.hinted(watch, {"x.py": "modified", "sub/new.py": "added"})

    assert watch._snapshot.taking


def test_what_was_written_before_the_start_is_no_change(stage, beside):
    watch = beside()
    found = look_until(watch, lambda _: not watch._first)
    assert (found.changes, found.unannounced) == ((), False)


@pytest.mark.parametrize("early", [True, False])
def test_contents_of_what_the_target_uses_are_known_first(stage, beside, early):
    watch = beside()
    if not early:
        look_until(watch, lambda _: not watch._snapshot.taking)
    watch.used([stage.path("x.py"), stage.path("pkg/m.py")])
    look_until(watch, lambda _: not watch._first)
    watch._snapshot.fill(seconds=10.0)
    stage.drain()

    stage.write("pkg/m.py", "V = 1\n")
    stage.write("x.py", "V  =  1  # why\n")

    stage.hinted(watch, {"x.py": "alike"})
    assert watch.take_changed()[1] == (changed(stage, "pkg/m.py"),), "written, and not changed"


def test_what_the_target_uses_is_looked_at_as_soon_as_it_is_listed(stage, beside):
    watch = beside()
    watch.used([stage.path("x.py")])
    stage.write("x.py")  # before there is a watch that could tell

    found = look_until(watch, lambda found: found.changes)

    assert found.changes == (changed(stage, "x.py"),)
    assert watch._snapshot.taking


def test_target_waits_for_the_first_look_where_clocks_may_differ(stage, beside, monkeypatch):
    monkeypatch.setattr("ipy_autorestart.watch.watch.silent_kind", lambda _: "nfs")
    watch = beside()
    assert not watch._first
    assert watch.look().changes == ()


# Large trees.


@pytest.fixture
def large_kept(stage, monkeypatch):
    """A watch on a tree that counts as large, of which all has been read, and bytes are kept."""
    monkeypatch.setattr("ipy_autorestart.watch.snapshot.SMALL_FILES", 0)
    for number in range(5):
        stage.write(f"pkg/p{number}/m.py", "V = 1\n")
    written_ns = os.stat(stage.path("pkg/p4/m.py")).st_ctime_ns
    eventually(lambda: now_ns() > written_ns + 60_000_000)  # so that a further write would show
    watch = stage.watch()
    watch._snapshot.fill(seconds=10.0)
    stage.drain()
    return watch


@pytest.fixture
def large(monkeypatch, request):
    """A watch on one where no bytes are kept."""
    monkeypatch.setattr("ipy_autorestart.watch.snapshot.TRACKED_MAX", 0)
    return request.getfixturevalue("large_kept")


def test_contents_of_a_large_tree_are_told_apart_though_they_are_not_kept(stage, large):
    assert not large._snapshot._tracked
    stage.write("pkg/p1/m.py", "V = 1\n")
    stage.write("pkg/p2/m.py", "V = 2\n")
    os.utime(stage.path("pkg/p3/m.py"))

    stage.hinted(large, {"pkg/p2/m.py": "modified"})
    large._scan()

    assert stage.shown(large.look()) == {"pkg/p2/m.py": "modified"}
    assert large.take_changed()[1] == tuple(changed(stage, f"pkg/p{number}/m.py") for number in (1, 2, 3))


def test_layout_is_told_from_code_in_a_large_tree_as_long_as_bytes_are_kept(stage, large_kept):
    stage.write("pkg/p1/m.py", "V  =  1  # why\n")
    stage.write("pkg/p2/m.py", "V = 2\n")

    stage.hinted(large_kept, {"pkg/p1/m.py": "alike", "pkg/p2/m.py": "modified"})


def test_save_in_a_large_tree_waits_for_no_scan(stage, large, monkeypatch):
    monkeypatch.setattr(large, "_advance", lambda *_: pytest.fail("a scan"))
    for number in range(5):
        stage.write(f"pkg/p{number}/m.py")
    stage.write("pkg/new/sub/m.py", "V = 1\n")
    os.rename(stage.path("pkg/p0"), stage.path("moved"))

    modified = {f"pkg/p{number}/m.py": "modified" for number in range(1, 5)}
    stage.hinted(large, {**modified, "pkg/p0/m.py": "deleted", "moved/m.py": "added", "pkg/new/sub/m.py": "added"})
    large.commit()
    stage.drain()
    stage.write("pkg/new/sub/m.py", "V = 2\n")
    stage.write("moved/m.py", "V = 3\n")

    stage.hinted(large, {"pkg/new/sub/m.py": "modified", "moved/m.py": "modified"})


def test_scan_of_a_large_tree_goes_on_with_each_look(stage, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("ipy_autorestart.watch.snapshot.SMALL_FILES", 0)
    watch = stage.watch(clock=clock)
    watch._snapshot.fill(seconds=10.0)
    assert looked(watch) == Found()
    monkeypatch.setattr("ipy_autorestart.watch.watch.SLICE_FILES", 1)
    with open(stage.path("pkg/m.py"), "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[4:5] = b"7"
        mapped.flush()
        assert watch.look().changes == (), "it isn't due yet"
        clock.now += 5

        found = [watch.look() for _ in range(3)]

    assert [bool(one.changes) for one in found] == [False, True, True]
    assert [one.rescan for one in found] == [SLICES_APART, SLICES_APART, 1.0]


# Hints.


def test_hint_says_how_far_a_write_has_got(stage):
    stage.watch()

    with open(stage.path("x.py"), "w") as file:
        file.write("V = 2\n")
        file.flush()
        assert stage.hint(bool)[-1] == Hint(stage.path("x.py"), Progress.WRITING)
    stage.hint(lambda hint: hint == Hint(stage.path("x.py"), Progress.DONE))


def test_replaced_and_moved_in_files_are_whole(stage):
    stage.watch()
    stage.write(".x.tmp")
    os.replace(stage.path(".x.tmp"), stage.path("x.py"))
    os.rename(stage.out / "m.py", stage.path("y.py"))

    assert stage.hint(lambda hint: hint.path == stage.path("y.py")) == [
        Hint(stage.path("x.py"), Progress.DONE),
        Hint(stage.path("y.py"), Progress.DONE),
    ]


def test_what_cannot_count_gives_no_hint(stage):
    stage.write(".venv/lib/q.py")
    stage.write("pkg/__pycache__/q.py")
    watch = stage.watch()
    stage.write(".venv/lib/q.py", "V = 3\n")
    stage.write("pkg/__pycache__/q.py", "V = 3\n")
    stage.write("x.py~")
    stage.write("run.log")
    stage.write(".git/index", "")
    stage.write("pkg/node_modules/a/q.py")
    (stage.base / "beside.py").write_text("")

    stage.write("x.py")

    assert {hint.path for hint in stage.hint(lambda hint: hint.progress is Progress.DONE)} == {stage.path("x.py")}
    assert stage.shown(watch.look()) == {"x.py": "modified"}


def test_pattern_and_ignore_reach_the_hints(stage):
    watch = stage.watch(which=Filter(patterns=("*.toml",), ignores=("m.py",)))
    stage.write("pkg/m.py")
    stage.write("a.toml", "")

    hints = stage.hinted(watch, {"a.toml": "added"})

    assert {hint.path for hint in hints} == {stage.path("a.toml")}


def test_look_at_named_files_is_enough_while_scans_are_long(stage):
    watch = stage.watch(which=Filter())
    stage.drain()
    watch._cost = 1.0
    stage.write("x.py")
    stage.hint(lambda hint: hint.progress is Progress.DONE)
    shutil.copy(stage.path("x.py"), stage.out / "unseen.py")

    watch._hints.take()
    watch._hints.notice(stage.path("x.py"), Progress.DONE, folder=False)
    assert stage.shown(watch.look()) == {"x.py": "modified"}
    assert watch._cost == 1.0, "nothing else was looked at"

    stage.write("new.py")
    stage.hinted(watch, {"x.py": "modified", "new.py": "added"})
    assert watch._cost < 1.0


# What is unfinished.


def test_emptied_file_is_unfinished_for_a_second(stage):
    clock = Clock()
    watch = stage.watch(poll=0.1, clock=clock)
    stage.write("x.py", "")

    assert looked(watch) == Found(
        changes=(changed(stage, "x.py"),), unfinished=frozenset({Unfinished.EMPTIED}), unannounced=True
    )
    clock.now += 1.0
    assert looked(watch) == Found(changes=(changed(stage, "x.py"),))


def test_change_while_git_holds_its_lock_is_unfinished(stage):
    stage.write(stage.base / ".git/index.lock", "")
    watch = stage.watch(poll=0.1)
    assert watch.look().unfinished == frozenset()

    stage.write("x.py")

    assert watch.look().unfinished == {Unfinished.GIT}
    os.unlink(stage.base / ".git/index.lock")
    assert watch.look().unfinished == frozenset()


def test_what_was_written_since_the_start_and_is_as_it_was_is_known(stage):
    watch = stage.watch(poll=0.1)
    watch.used([stage.path("x.py")])
    assert watch.look().put_back == ()

    for name in ("x.py", "pkg/m.py"):
        os.utime(stage.path(name), (1, 1))
        os.chmod(stage.path(name), 0o600)
    assert watch.look().put_back == ()

    stage.write("x.py", "V = 2\n")
    assert (watch.look().changes, watch.look().put_back) == ((changed(stage, "x.py"),), ())
    stage.write("x.py", "V = 1\n")
    assert (watch.look().changes, watch.look().put_back) == ((), (changed(stage, "x.py"),))

    watch.take_changed()
    assert watch.look().put_back == ()
    os.utime(stage.path("x.py"), (1, 1))
    watch.look()
    stage.write("x.py", "V = 1\n")
    stage.write("pkg/m.py", "V = 1\n")
    assert watch.look().put_back == (changed(stage, "x.py"),)


# What the target used.


def test_change_to_an_unused_file_is_found_as_such(stage):
    watch = stage.watch(poll=0.1)
    watch.used([stage.path("x.py")])

    stage.write("pkg/m.py")
    stage.write("new.py")
    found = watch.look()

    assert found.unused == (changed(stage, "pkg/m.py"),)
    assert found.changes == (changed(stage, "new.py", Kind.ADDED),)


def test_unused_file_that_is_gone_for_a_moment_is_not_new_when_it_comes_back(stage):
    clock = Clock()
    watch = stage.watch(poll=0.1, clock=clock)
    watch.used([])
    os.rename(stage.path("x.py"), stage.path("x.py~"))
    found = watch.look()
    assert (found.changes, found.unused) == ((), ())

    stage.write("x.py")

    assert watch.look().unused == (changed(stage, "x.py"),)
    os.unlink(stage.path("pkg/m.py"))
    watch.look()
    clock.now += 1.0
    assert changed(stage, "pkg/m.py", Kind.DELETED) in watch.look().unused


def test_after_a_failed_run_everything_counts(stage):
    watch = stage.watch(poll=0.1)
    watch.used([stage.path("x.py")])
    stage.write("pkg/m.py")
    assert watch.look().changes == ()

    watch.used(None)

    assert watch.look().changes == (changed(stage, "pkg/m.py"),)


def test_named_script_counts_though_it_was_not_reported(stage):
    watch = stage.watch(named=[stage.path("x.py")], poll=0.1)
    watch.used([])

    stage.write("x.py")

    assert watch.look().changes == (changed(stage, "x.py"),)


def test_what_a_pattern_names_counts_though_no_run_reported_it(stage):
    stage.write("model.dat", "1")
    watch = stage.watch(poll=0.1, which=Filter(patterns=("*.dat",)))
    watch.used([stage.path("x.py")])

    stage.write("model.dat", "2")

    assert watch.look().changes == (changed(stage, "model.dat"),)


def test_what_a_pattern_spells_is_hinted_in_a_folder_that_is_left_out(stage):
    for name in ("node_modules/ours/a.js", "node_modules/theirs/a.js", "a.tmp"):
        stage.write(name, "1")
    watch = stage.watch(which=Filter(patterns=("node_modules/ours/*.js", "*.tmp", ".env")))
    watch.used([])

    for name in ("node_modules/theirs/a.js", "node_modules/ours/a.js", "a.tmp", ".env"):
        stage.write(name, "2")

    stage.hinted(watch, {"node_modules/ours/a.js": "modified", "a.tmp": "modified", ".env": "added"})


@pytest.mark.parametrize("root", ["src", "src/env/lib/site-packages/ours"])
def test_only_the_part_below_the_root_can_leave_a_file_out(stage, root):
    """Above the root, anything may be named as what is left out."""
    base = stage.root.parent / "node_modules/site-packages"
    (base / root).mkdir(parents=True)
    (base / "src/env").mkdir(exist_ok=True)
    for name in ("pyvenv.cfg", ".gitignore"):
        (base / "src/env" / name).write_text("*")
    for name in ("a.py", "data.csv"):
        (base / root / name).write_text("V = 1\n")
    watch = stage.watch(base / root)
    watch.used([str(base / root / name) for name in ("a.py", "data.csv")])

    for name in ("a.py", "data.csv"):
        (base / root / name).write_text("V = 2\n")

    stage.hinted(watch, {f"../node_modules/site-packages/{root}/{name}": "modified" for name in ("a.py", "data.csv")})


def test_used_data_file_counts_and_is_hinted(stage):
    stage.write("config.toml", "a = 1\n")
    watch = stage.watch()
    watch.used([stage.path("x.py"), stage.path("config.toml")])

    stage.write("config.toml", "a = 2\n")

    stage.hinted(watch, {"config.toml": "modified"})
    watch.commit()
    watch.used([stage.path("x.py")])
    stage.write("config.toml", "a = 3\n")
    assert watch.look().unused == (changed(stage, "config.toml"),)  # the run may yet come to it


def test_data_file_that_only_earlier_runs_read_does_not_count_when_it_is_new(stage):
    watch = stage.watch(poll=0.1)
    watch.used([stage.path("local.toml")])
    watch.commit()
    watch.used([stage.path("x.py")])

    stage.write("local.toml", "")

    assert watch.look().unused == (changed(stage, "local.toml", Kind.ADDED),)


def test_data_file_that_no_run_reads_any_more_is_forgotten(stage):
    stage.write("config.toml", "a = 1\n")
    watch = stage.watch(poll=0.1)
    watch.used([stage.path("x.py"), stage.path("config.toml")])
    for _ in range(READ_LATELY):
        watch.commit()
        watch.used([stage.path("x.py")])

    stage.write("config.toml", "a = 2\n")

    assert looked(watch) == Found()


def test_saved_data_file_does_not_differ_when_the_next_run_has_read_it(stage):
    """The run has begun, is looked at before it comes to the file, and then reads what it was started for."""
    stage.write("config.toml", "a = 1\n")
    watch = stage.watch(poll=0.1)
    watch.used([stage.path("x.py"), stage.path("config.toml")])
    stage.write("config.toml", "a = 2\n")
    assert watch.look().changes == (changed(stage, "config.toml"),)
    watch.commit()
    watch.used([stage.path("x.py")])
    assert looked(watch) == Found()

    watch.used([stage.path("x.py"), stage.path("config.toml")])

    assert looked(watch) == Found()


def test_data_file_that_was_saved_before_the_run_read_it_for_the_first_time_does_not_differ(stage):
    stage.write("config.toml", "a = 1\n")
    watch = stage.watch(poll=0.1)
    watch.commit()
    time.sleep(0.02)
    stage.write("config.toml", "a = 2\n")
    time.sleep(0.02)

    watch.used([stage.path("config.toml")], since_ns=now_ns())

    assert looked(watch) == Found()


@pytest.mark.parametrize("act", ["save", "delete"])
def test_data_file_that_changed_before_it_was_known_that_the_run_had_read_it_is_hinted(stage, act):
    stage.write("config.toml", "a = 1\n")
    passed_over = threading.Event()
    watch = stage.watch(on_passed_over=passed_over.set)
    watch.used([stage.path("x.py")])
    asked_ns = now_ns()
    time.sleep(0.02)

    if act == "save":
        stage.write("config.toml", "a = 2\n")
    else:
        os.unlink(stage.path("config.toml"))
    assert passed_over.wait(DEADLINE)
    assert watch.has_passed_over
    watch.used([stage.path("x.py"), stage.path("config.toml")], since_ns=asked_ns)

    stage.hinted(watch, {"config.toml": "modified" if act == "save" else "deleted"})
    assert list(watch.passed_over()) == []
    assert not watch.has_passed_over
    time.sleep(LATE_SECONDS + 0.1)
    assert not watch.look().polling  # what differs has been announced


def test_named_file_below_a_root_is_not_new_when_a_run_reads_it_again(stage):
    stage.write("config.toml", "a = 1\n")
    for watch in (
        stage.watch(named=[stage.path("config.toml")], poll=0.1),
        stage.watch(stage.root, stage.path("config.toml"), poll=0.1),
    ):
        watch.used([stage.path("x.py"), stage.path("config.toml")])
        assert looked(watch) == Found()
        watch.used([stage.path("x.py")])
        assert looked(watch) == Found()


def test_used_data_file_below_a_symlinked_root_is_known_by_either_path(stage):
    stage.write("a.csv", "1")
    stage.write("b.csv", "1")
    os.symlink(stage.root, stage.base / "link")
    watch = stage.watch(stage.base / "link", poll=0.1)
    watch.used([stage.path("a.csv"), str(stage.base / "link/b.csv")])

    stage.write("a.csv", "2")
    stage.write("b.csv", "2")

    assert stage.shown(watch.look()) == {"../link/a.csv": "modified", "../link/b.csv": "modified"}


def test_what_was_read_in_one_release_counts_when_its_symlink_leads_to_the_next(stage):
    for release in ("r1", "r2"):
        stage.write(f"{release}/pkg/m.py", f"V = '{release}'\n")
        stage.write(f"{release}/pkg/other.py", f"V = '{release}'\n")
    os.symlink("r1", stage.path("current"))
    watch = stage.watch(stage.path("current"), poll=0.1)
    os.symlink("r2", stage.path("next"))
    os.replace(stage.path("next"), stage.path("current"))
    watch.used([stage.path("r1/pkg/m.py")], since_ns=now_ns())

    found = watch.look()

    assert stage.shown(found) == {"current/pkg/m.py": "modified"}
    assert [change.path for change in found.unused] == [stage.path("current/pkg/other.py")]
    watch.commit()
    watch.used([stage.path("r1/pkg/m.py")])
    stage.write("r2/pkg/m.py", "V = 3\n")
    assert watch.look().changes == ()  # the next run reads those of the next release


def test_file_that_was_looked_for_in_vain_counts_when_it_comes(stage):
    watch = stage.watch()
    watch.used([stage.path("local.toml")])

    stage.write("local.toml", "")

    stage.hinted(watch, {"local.toml": "added"})


@pytest.mark.parametrize("most", [0, 1000], ids=["large", "small"])
@pytest.mark.parametrize("name", ["local.toml", "run.me"], ids=["read", "named"])
def test_file_that_does_not_count_by_name_is_found_by_its_hint_when_it_is_back(stage, monkeypatch, most, name):
    monkeypatch.setattr("ipy_autorestart.watch.snapshot.SMALL_FILES", most)
    stage.write(name, "a = 1\n")
    watch = stage.watch(named=[stage.path("run.me")])
    watch.used([stage.path("x.py"), stage.path("local.toml")])
    watch.look()
    os.unlink(stage.path(name))
    stage.hinted(watch, {name: "deleted"})
    watch.commit()

    stage.write(name, "a = 2\n")

    stage.hinted(watch, {name: "added"})


def test_data_file_that_changed_while_the_run_read_it_differs(stage):
    stage.write("config.toml", "a = 1\n")
    watch = stage.watch(poll=0.1)
    watch.commit()
    stage.write("config.toml", "a = 2\n")
    watch._snapshot._committed_ns = os.stat(stage.path("config.toml")).st_ctime_ns - 1

    watch.used([stage.path("config.toml")])

    assert watch.look().changes == (changed(stage, "config.toml"),)


def test_used_file_outside_the_roots_does_not_count(stage):
    stage.write(stage.out / "config.toml", "a = 1\n")
    watch = stage.watch(poll=0.1)
    watch.used([str(stage.out / "config.toml")])

    stage.write(stage.out / "config.toml", "a = 2\n")

    assert looked(watch) == Found()


def test_used_file_in_an_ignored_folder_does_not_count(stage):
    stage.write(".cache/a.json", "1")
    watch = stage.watch(poll=0.1)
    watch.used([stage.path(".cache/a.json")])

    stage.write(".cache/a.json", "2")

    assert looked(watch) == Found()


def test_new_file_in_a_folder_that_was_listed_counts(stage):
    watch = stage.watch(poll=0.1)
    watch.used([stage.path("x.py"), stage.path("pkg")])

    stage.write("pkg/plugin.py")

    assert watch.look().changes == (changed(stage, "pkg/plugin.py", Kind.ADDED),)


def test_file_used_through_a_symlink_counts(stage):
    os.symlink(stage.out, stage.path("ln"))
    watch = stage.watch(poll=0.1)
    watch.used([stage.path("ln/m.py")])
    stage.write(stage.out / "m.py")
    assert stage.shown(watch.look()) == {"ln/m.py": "modified"}

    watch.used([str(stage.out / "m.py")])
    assert stage.shown(watch.look()) == {"ln/m.py": "modified"}


def test_what_the_target_wrote_is_told_apart(stage):
    watch = stage.watch(poll=0.1)
    watch.used(None, written=[stage.path("gen.py"), stage.path("x.py")])

    stage.write("gen.py")
    stage.write("x.py")

    assert looked(watch) == Found(written=(stage.path("gen.py"), stage.path("x.py")), unannounced=True)


# Compiled code.


class Process:
    """What a target has loaded: files, each as it was when it was loaded."""

    def __init__(self):
        self.inodes = {}
        self.asked = 0

    def load(self, path):
        self.inodes.setdefault(path, set()).add(os.stat(path).st_ino)

    def __call__(self):
        self.asked += 1
        return self.inodes


def test_library_that_a_kernel_has_loaded_counts_and_no_other(stage):
    for name in ("ext.so", "other.so"):
        (stage.root / name).write_bytes(library("1"))
    process = Process()
    process.load(stage.path("ext.so"))
    watch = stage.watch(poll=0.1, loaded=process)
    for name in ("ext.so", "other.so", "new.so"):
        replaced(stage.root / name, "2")

    found = watch.look()

    assert found.changes == (changed(stage, "ext.so"),)
    assert found.unused == (changed(stage, "new.so", Kind.ADDED), changed(stage, "other.so"))


def test_library_that_was_loaded_after_its_change_is_up_to_date(stage):
    (stage.root / "ext.so").write_bytes(library("1"))
    process = Process()
    watch = stage.watch(poll=0.1, loaded=process)
    for name in ("ext.so", "new.so"):
        replaced(stage.root / name, "2")
        process.load(stage.path(name))
    assert watch.look().changes == ()
    watch.settle([stage.path("ext.so"), stage.path("new.so")])

    replaced(stage.root / "ext.so", "3")
    overwritten(stage.root / "new.so", "3")

    assert watch.look().changes == (changed(stage, "ext.so"), changed(stage, "new.so"))


def test_all_that_has_differed_is_known_used_or_not_and_though_it_was_put_back(stage):
    for name in ("ext.so", "unused.so"):
        (stage.root / name).write_bytes(library("1"))
    process = Process()
    process.load(stage.path("ext.so"))
    watch = stage.watch(poll=0.1, loaded=process)
    replaced(stage.root / "unused.so", "2")
    for name, text in (("x.py", "V = 2"), ("pkg/m.py", "V = 1  # the same"), ("bad.py", "V = ("), ("gone.py", "")):
        stage.write(name, text)
    watch.settle([change.path for change in watch.look().unused])
    stage.write("x.py", "V = 1\n")
    os.unlink(stage.path("gone.py"))
    replaced(stage.root / "ext.so", "2")
    watch.look()

    watch.commit()

    taken = watch.take_changed()
    changes, put_back = ({os.path.relpath(change.path, stage.root) for change in each} for each in taken)
    assert (changes, put_back) == ({"unused.so", "bad.py", "ext.so"}, {"x.py", "gone.py"})
    assert watch.take_changed() == ((), ())


def test_what_was_put_back_before_any_look_has_differed(stage):
    watch = stage.watch(poll=0.1)
    watch.look()
    assert watch.take_changed() == ((), ())
    stage.write("x.py", "V = 2\n")
    stage.write("x.py", "V = 1\n")

    assert watch.look().changes == ()

    assert watch.take_changed() == ((), (changed(stage, "x.py"),))
    watch.look()
    assert watch.take_changed() == ((), ())


def test_what_is_committed_without_a_look_has_differed(stage):
    watch = stage.watch(poll=0.1, since_ns=1)
    watch.commit()
    assert changed(stage, "x.py") in watch.take_changed()[0]


def test_target_is_asked_what_it_has_loaded_only_if_compiled_code_differs(stage):
    process = Process()
    watch = stage.watch(poll=0.1, loaded=process)
    stage.write("x.py")
    assert watch.look().changes
    assert not process.asked


def test_symlink_to_another_folder_of_the_tree_counts_where_something_was_read_below_it(stage):
    for name in ("dev/conf.py", "prod/conf.py"):
        stage.write(name, f"V = '{name}'\n")
    for name in ("now", "later"):
        os.symlink("dev", stage.path(name))
    watch = stage.watch()
    watch.used([stage.path("x.py"), stage.path("now/conf.py")])
    watch.look()
    for name in ("later", "now"):
        os.symlink("prod", stage.path("new"))
        os.replace(stage.path("new"), stage.path(name))

    stage.hinted(watch, {"now": "modified"})

    assert [change.path for change in watch.judge().unused] == [stage.path("later")]
    watch.commit()
    assert looked(watch) == Found()


def test_library_that_was_loaded_through_a_symlink_counts(stage):
    (stage.out / "libext.so.1").write_bytes(library("1"))
    os.symlink(stage.out / "libext.so.1", stage.path("libext.so"))
    process = Process()
    process.load(str(stage.out / "libext.so.1"))
    watch = stage.watch(poll=0.1, loaded=process)

    replaced(stage.out / "libext.so.1", "2")

    assert watch.look().changes == (changed(stage, "libext.so"),)


# Scans.


def test_event_that_was_heard_while_its_change_was_overlooked_counts_as_announced(stage):
    clock = Clock()
    watch = stage.watch(clock=clock)
    scan = watch._snapshot.scan

    def scan_then_hear():
        scan()
        stage.write("x.py")
        stage.hint(lambda hint: hint.progress is Progress.DONE)

    watch._snapshot.scan = scan_then_hear
    assert watch.look().changes == ()
    watch._snapshot.scan = scan

    assert not watch.look().unannounced
    clock.now += 1.0
    assert watch.look().notes == ()


def test_folder_that_comes_during_a_look_is_watched_after_the_next(stage):
    stage.write("node_modules/a.py")
    watch = stage.watch(observe=Watchdog)
    follow = watch._observer.follow

    def follow_late(plan, now):
        stage.write("late/a.py")
        watch._observer.follow = follow
        follow(plan, now)
        return True

    watch._observer.follow = follow_late
    watch.look()
    watch.look()
    watch.commit()
    stage.drain()

    stage.write("late/a.py", "V = 3\n")

    stage.hinted(watch, {"late/a.py": "modified"})


def test_change_without_an_event_is_unannounced(stage):
    clock = Clock()
    os.link(stage.path("x.py"), stage.out / "y.py")
    watch = stage.watch(clock=clock)
    stage.write(stage.out / "y.py")

    assert watch.look().unannounced
    assert not watch.polling
    assert not watch.look().unannounced
    clock.now += 1.0
    notes = watch.look().notes

    assert notes == (f"{stage.path('x.py')} changed without an event: all files are checked at intervals",)
    assert watch.polling
    assert watch.interval == 0.5
    watch.look()
    stage.drain()
    stage.write("x.py", "V = 3\n")
    stage.hinted(watch, {"x.py": "modified"})


def test_change_with_an_event_is_announced(stage):
    watch = stage.watch()
    stage.write("x.py")
    stage.hint(lambda hint: hint.progress is Progress.DONE)

    found = watch.look()

    assert found.changes
    assert not found.unannounced


def test_interval_is_the_one_wished_for(stage):
    watch = stage.watch(poll=0.25)

    assert watch.interval == watch.look().rescan == 0.25


def test_interval_is_a_second_for_a_small_tree(stage):
    assert stage.watch(clock=Clock()).interval == 1.0  # whatever the machine does meanwhile


# Folders that come and go.


def inodes(*paths):
    return {os.stat(path).st_ino for path in paths}


@pytest.mark.skipif(not os.path.isdir("/proc/self/fdinfo"), reason="watches are counted by proc(5)")
def test_ignored_folders_cost_no_watch(stage):
    stage.write(".venv/lib/q.py")
    stage.write("pkg/node_modules/a/q.py")

    stage.watch()

    watched = watched_inodes()
    assert inodes(stage.root, stage.path("pkg")) <= watched
    assert not inodes(stage.path(".venv"), stage.path(".venv/lib")) & watched
    assert not inodes(stage.path("pkg/node_modules"), stage.path("pkg/node_modules/a")) & watched


@pytest.mark.skipif(not os.path.isdir("/proc/self/fdinfo"), reason="watches are counted by proc(5)")
def test_ignored_folder_that_appears_later_gives_its_watches_back(stage):
    watch = stage.watch()
    for number in range(5):
        stage.write(f"pkg/node_modules/a{number}/q.py")
    stage.write("pkg/later.py")
    stage.hinted(watch, {"pkg/later.py": "added"})

    folders = [stage.path(f"pkg/node_modules/a{number}") for number in range(5)]
    assert not inodes(stage.path("pkg/node_modules"), *folders) & watched_inodes()
    watch.commit()
    stage.write("pkg/m.py")
    stage.hinted(watch, {"pkg/m.py": "modified"})


@pytest.mark.skipif(not os.path.isdir("/proc/self/fdinfo"), reason="watches are counted by proc(5)")
def test_folder_that_watchdog_overlooked_is_watched_at_a_later_look(stage):
    """watchdog 6 leaves out folders that are moved in."""
    clock = Clock()
    watch = stage.watch(clock=clock, observe=Watchdog)
    os.rename(stage.out, stage.path("new"))
    stage.hinted(watch, {"new/m.py": "added"})
    watch.commit()
    clock.now += 1.0
    assert looked(watch) == Found()
    stage.drain()

    stage.write("new/m.py")

    stage.hinted(watch, {"new/m.py": "modified"})


def test_named_file_is_seen_when_its_folder_comes(stage):
    watch = stage.watch(named=[str(stage.base / "late/main.txt")])
    stage.write(stage.base / "late/main.txt", "a")
    assert stage.shown(watch.look()) == {"../late/main.txt": "added"}
    watch.commit()
    stage.drain()

    stage.write(stage.base / "late/main.txt", "b")

    stage.hinted(watch, {"../late/main.txt": "modified"})
