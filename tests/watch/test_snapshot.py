import os

import pytest
from compiling import library

from ipy_autorestart.decide.change import Broken, Change, Kind, Unfinished
from ipy_autorestart.decide.filters import Filter
from ipy_autorestart.decide.guard import Likeness
from ipy_autorestart.watch import snapshot as module
from ipy_autorestart.watch.contents import HUGE_BYTES
from ipy_autorestart.watch.snapshot import Snapshot


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def snapshot(stage, clock):
    snapshot = Snapshot([stage.path()], which=Filter(), clock=clock)
    snapshot.begin(seconds=1.0)
    return snapshot


def found(snapshot):
    snapshot.scan()
    return [difference.change for difference in snapshot.differences()]


def test_nothing_differs_at_first(snapshot):
    assert found(snapshot) == []


def test_commit_takes_what_the_last_scan_saw_and_nothing_later(stage, snapshot):
    stage.write("x.py", "V = 2\n")
    snapshot.scan()
    stage.write("x.py", "V = 3\n")

    snapshot.commit()

    assert snapshot.differences() == []
    assert found(snapshot) == [Change(stage.path("x.py"), Kind.MODIFIED)]


def test_file_deleted_after_the_scan_differs_after_the_commit(stage, snapshot):
    stage.write("x.py", "V = 2\n")
    snapshot.scan()
    os.unlink(stage.path("x.py"))

    snapshot.commit()

    assert found(snapshot) == [Change(stage.path("x.py"), Kind.DELETED)]


def test_deletion_that_was_committed_is_forgotten_and_the_file_new_again(stage, snapshot):
    os.unlink(stage.path("x.py"))
    assert found(snapshot) == [Change(stage.path("x.py"), Kind.DELETED)]
    snapshot.commit()
    assert found(snapshot) == []

    stage.write("x.py", "V = 1\n")

    assert found(snapshot) == [Change(stage.path("x.py"), Kind.ADDED)]


def test_new_file_that_goes_again_is_no_change(stage, snapshot):
    stage.write("y.py")
    assert found(snapshot) == [Change(stage.path("y.py"), Kind.ADDED)]

    os.unlink(stage.path("y.py"))

    assert found(snapshot) == []


def test_broken_then_put_back_is_no_change(stage, snapshot):
    stage.write("x.py", "V = (\n")
    snapshot.scan()
    assert [type(difference.verdict) for difference in snapshot.differences()] == [Broken]

    stage.write("x.py", "V = 1\n")

    assert found(snapshot) == []


def test_broken_then_mended_differs_from_what_runs(stage, snapshot):
    stage.write("x.py", "V = (\n")
    snapshot.scan()

    stage.write("x.py", "V = 1  # mended\n")
    snapshot.scan()

    assert [difference.verdict for difference in snapshot.differences()] == [Likeness.SAME_CODE]


def test_same_code_stays_a_difference_until_it_is_committed(stage, snapshot):
    stage.write("x.py", "V  =  1\n")
    for _ in range(2):
        snapshot.scan()
        assert [difference.verdict for difference in snapshot.differences()] == [Likeness.SAME_CODE]

    snapshot.commit()

    assert found(snapshot) == []


def test_file_that_lost_its_content_is_unfinished_for_a_second(stage, snapshot, clock):
    stage.write("x.py", "")
    snapshot.scan()
    assert [difference.unfinished for difference in snapshot.differences()] == [Unfinished.EMPTIED]

    clock.now += 1.0
    snapshot.scan()

    assert [difference.unfinished for difference in snapshot.differences()] == [None]


def test_file_that_was_empty_before_is_finished(stage, snapshot):
    stage.write("new.py", "")
    snapshot.scan()

    assert [difference.unfinished for difference in snapshot.differences()] == [None]


def test_difference_is_as_old_as_its_write_whatever_its_mtime(stage, clock):
    path, now_ns = stage.path("x.py"), 0
    snapshot = Snapshot([stage.path()], which=Filter(), clock=clock, wall_ns=lambda: now_ns)
    snapshot.begin(seconds=1.0)
    stage.write("x.py", "V = 2\n")
    os.utime(path, (1, 1))
    snapshot.scan()
    now_ns = os.stat(path).st_ctime_ns + 3_000_000_000
    assert [difference.age for difference in snapshot.differences()] == [3.0]
    now_ns -= 5_000_000_000
    assert [difference.age for difference in snapshot.differences()] == [0.0]

    os.unlink(path)
    snapshot.scan()
    clock.now += 2
    assert [difference.age for difference in snapshot.differences()] == [2.0]


def test_file_that_vanished_is_unfinished_for_a_moment(stage, snapshot, clock):
    os.unlink(stage.path("x.py"))
    snapshot.scan()
    assert [difference.unfinished for difference in snapshot.differences()] == [Unfinished.VANISHED]

    clock.now += 0.06

    assert [difference.unfinished for difference in snapshot.differences()] == [None]


def test_second_write_within_one_tick_is_seen(stage):
    """The timestamps are forged: a clock that stands still says that all is just written."""
    path = stage.path("x.py")
    stamp = os.stat(path).st_ctime_ns
    snapshot = Snapshot([stage.path()], which=Filter(), wall_ns=lambda: stamp)
    snapshot.begin(seconds=1.0)
    tracked = snapshot._tracked[path]
    assert not tracked.settled

    with open(path, "w") as file:
        file.write("V = 2\n")
    tracked.signature = module.signature(os.stat(path))

    assert found(snapshot) == [Change(path, Kind.MODIFIED)]


def test_contents_left_unread_are_read_later(stage, clock):
    snapshot = Snapshot([stage.path()], which=Filter(), clock=clock)
    snapshot.begin(seconds=0.0)
    assert snapshot.unread == 3

    snapshot.fill(seconds=1.0)

    assert snapshot.unread == 0
    stage.write("x.py", "V = 1  # same\n")
    snapshot.scan()
    assert [difference.verdict for difference in snapshot.differences()] == [Likeness.SAME_CODE]


def test_what_was_written_since_the_watch_was_asked_for_differs(stage, clock):
    snapshot = Snapshot([stage.path()], which=Filter(), clock=clock)
    snapshot.begin(seconds=1.0, since_ns=os.stat(stage.path("x.py")).st_ctime_ns - 1)
    assert Change(stage.path("x.py"), Kind.MODIFIED) in found(snapshot)
    snapshot.commit()
    assert found(snapshot) == []


@pytest.mark.parametrize("most", [0, 1000], ids=["large", "small"])
def test_named_file_is_read_whatever_the_size_of_the_tree(stage, monkeypatch, most):
    monkeypatch.setattr(module, "SMALL_FILES", most)
    stage.write("main.txt", "1")
    named = [stage.path("main.txt"), stage.path("x.py")]
    snapshot = Snapshot([stage.path("pkg")], which=Filter(), named=named)
    snapshot.begin(seconds=1.0)
    stage.write("main.txt", "1")
    stage.write("x.py", "V = 1  # the same\n")
    snapshot.scan()
    assert [difference.verdict for difference in snapshot.differences()] == [Likeness.SAME_CODE]


@pytest.mark.parametrize("many", [0, 8])
def test_partial_look_at_many_files_of_a_folder(stage, monkeypatch, many):
    monkeypatch.setattr(module, "SMALL_FILES", 0)
    monkeypatch.setattr(module, "MANY_FILES", many)
    snapshot = Snapshot([stage.path()], which=Filter())
    snapshot.begin(seconds=1.0)
    os.unlink(stage.path("pkg/m.py"))
    stage.write("pkg/__init__.py", "V = 2\n")

    assert snapshot.scan_only([stage.path("pkg/m.py"), stage.path("pkg/__init__.py"), stage.path("x.py")])

    kinds = {os.path.basename(one.change.path): one.change.kind for one in snapshot.differences()}
    assert kinds == {"m.py": Kind.DELETED, "__init__.py": Kind.MODIFIED}


def test_files_of_a_large_tree_that_are_committed_as_gone_are_new_when_they_come_back(stage, monkeypatch):
    monkeypatch.setattr(module, "SMALL_FILES", 0)
    snapshot = Snapshot([stage.path()], which=Filter())
    snapshot.begin(seconds=1.0)
    os.unlink(stage.path("pkg/m.py"))
    os.unlink(stage.path("x.py"))
    assert len(found(snapshot)) == 2
    snapshot.commit()
    assert found(snapshot) == []

    stage.write("pkg/m.py", "V = 1\n")
    stage.write("pkg/__init__.py", "V = 1\n")

    assert found(snapshot) == [Change(stage.path("pkg/m.py"), Kind.ADDED)]


def test_change_to_a_file_that_was_not_read_yet_is_not_lost(stage, clock):
    snapshot = Snapshot([stage.path()], which=Filter(), clock=clock)
    snapshot.begin(seconds=0.0)

    stage.write("x.py", "V = 1  # same code, but who knows\n")
    snapshot.fill(seconds=1.0)

    assert found(snapshot) == [Change(stage.path("x.py"), Kind.MODIFIED)]


def test_bytes_beyond_the_cap_are_not_kept(stage):
    large = b"V = 1\n" + b"#" * module.KEPT_BYTES
    (stage.root / "x.py").write_bytes(large)
    snapshot = Snapshot([stage.path()], which=Filter())
    snapshot.begin(seconds=1.0)

    (stage.root / "x.py").write_bytes(large + b"#")

    assert found(snapshot) == [Change(stage.path("x.py"), Kind.MODIFIED)]
    assert snapshot._kept_bytes == len("V = 1\n") * 2
    (stage.root / "x.py").write_bytes(large)
    assert found(snapshot) == []


def test_kept_bytes_are_counted_once_however_often_a_file_changes(stage, snapshot):
    for number in range(20):
        stage.write("x.py", f"V = {number:3}\n")
        snapshot.scan()
    stage.write("x.py", "V = 1\n")
    snapshot.scan()

    assert snapshot._kept_bytes == len("V = 1\n") * 3
    snapshot.commit()
    assert snapshot._kept_bytes == len("V = 1\n") * 3


def test_huge_file_is_known_by_its_signature(stage):
    stage.write("data.bin", "")
    os.truncate(stage.path("data.bin"), HUGE_BYTES + 1)
    snapshot = Snapshot([stage.path()], which=Filter(patterns=("*.bin",)))
    snapshot.begin(seconds=1.0)
    assert found(snapshot) == []

    os.utime(stage.path("data.bin"))

    assert found(snapshot) == [Change(stage.path("data.bin"), Kind.MODIFIED)]


def test_pipe_in_place_of_a_file_is_a_deletion_and_blocks_nothing(stage, snapshot):
    os.unlink(stage.path("x.py"))
    os.mkfifo(stage.path("x.py"))

    assert found(snapshot) == [Change(stage.path("x.py"), Kind.DELETED)]


def test_part_of_the_files_can_be_looked_at(stage, snapshot):
    stage.write("x.py")
    stage.write("pkg/m.py")

    snapshot.scan_only([stage.path("x.py")])

    assert [d.change.path for d in snapshot.differences()] == [stage.path("x.py")]
    assert len(found(snapshot)) == 2


def test_partial_look_sees_the_other_names_of_a_file(stage):
    os.symlink("x.py", stage.path("soft.py"))
    os.link(stage.path("x.py"), stage.path("hard.py"))
    snapshot = Snapshot([stage.path()], which=Filter())
    snapshot.begin(seconds=1.0)
    stage.write("x.py")

    snapshot.scan_only([stage.path("x.py")])

    names = [os.path.basename(difference.change.path) for difference in snapshot.differences()]
    assert names == ["hard.py", "soft.py", "x.py"]


def test_of_many_paths_that_cannot_be_read_a_few_are_named(stage):
    snapshot = Snapshot([stage.path()], which=Filter())
    snapshot.tree.notes += [f"can't read {name}: Permission denied" for name in "abcde"]
    assert snapshot.notes == [*snapshot.tree.notes[:3], "2 more can't be read"]
    del snapshot.tree.notes[3:]
    assert snapshot.notes == snapshot.tree.notes


@pytest.mark.parametrize("name", ["pkg", "x.py"])
def test_what_cannot_be_read_is_noted_and_has_not_changed(stage, snapshot, name):
    os.chmod(stage.path(name), 0)
    stage.write("y.py")

    with stage.powerless():
        changes, notes = found(snapshot), snapshot.notes
    os.chmod(stage.path(name), 0o755)

    assert changes == [Change(stage.path("y.py"), Kind.ADDED)], "the rest goes on"
    assert any(note.startswith(f"can't read {stage.path(name)}") for note in notes)
    assert found(snapshot) == changes
    assert snapshot.notes == []


def test_folder_that_becomes_readable_is_read(stage):
    snapshot = Snapshot([stage.path()], which=Filter())
    os.chmod(stage.path("pkg"), 0)
    with stage.powerless():
        snapshot.begin(seconds=1.0)
    os.chmod(stage.path("pkg"), 0o755)

    assert [change.path for change in found(snapshot)] == [
        stage.path("pkg/__init__.py"),
        stage.path("pkg/m.py"),
    ]


# Compiled code.


def unfinished(snapshot):
    snapshot.scan()
    return [difference.unfinished for difference in snapshot.differences()]


@pytest.fixture
def built(stage, snapshot):
    """Where a library is, which the baseline has."""
    path = stage.root / "ext.so"
    path.write_bytes(library("1"))
    snapshot.scan()
    snapshot.commit()
    return path


def test_library_is_unfinished_while_it_is_gone_or_not_whole(snapshot, built, clock):
    built.unlink()
    assert unfinished(snapshot) == [Unfinished.BUILDING]
    clock.now += 10
    data = library("2")
    for size in (0, 10, 4096, len(data) - 1):
        built.write_bytes(data[:size])
        assert unfinished(snapshot) == [Unfinished.BUILDING]
        clock.now += 10

    built.write_bytes(data)

    assert found(snapshot) == [Change(str(built), Kind.MODIFIED)]
    assert unfinished(snapshot) == [None]


def test_huge_library_is_unfinished_while_it_is_not_whole(snapshot, built, monkeypatch):
    monkeypatch.setattr("ipy_autorestart.watch.contents.HUGE_BYTES", 100)
    built.write_bytes(library("2")[:-1])
    assert unfinished(snapshot) == [Unfinished.BUILDING]

    built.write_bytes(library("2"))

    assert unfinished(snapshot) == [None]


def test_library_that_stays_away_is_gone_in_the_end(snapshot, built, clock):
    built.unlink()
    assert unfinished(snapshot) == [Unfinished.BUILDING]

    clock.now += module.BUILDING_SECONDS

    assert unfinished(snapshot) == [None]


def test_inode_of_the_baseline_is_that_of_the_content_that_was_taken(snapshot, built):
    first = built.stat().st_ino
    assert snapshot.inodes(str(built)) == (first, first)
    other = built.with_suffix(".new")
    for value in ("1", "2"):  # with the same content the file is as good as the one before
        other.write_bytes(library(value))
        other.replace(built)
        snapshot.scan()
        base, now = snapshot.inodes(str(built))
        assert now == built.stat().st_ino
        assert (base == now) == (value == "1")
    snapshot.settle([str(built)])
    assert snapshot.inodes(str(built)) == (now, now)
