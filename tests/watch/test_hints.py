import pytest

from ipy_autorestart.decide.change import Hint, Progress
from ipy_autorestart.decide.filters import Filter
from ipy_autorestart.watch.watch import PASSED_OVER_MAX, Hints


@pytest.fixture
def passed_on():
    return []


@pytest.fixture
def hints(passed_on):
    return Hints(["/p/src"], ["/p/main.txt"], Filter(ignores=("gen.py",)), passed_on.append)


def test_file_that_counts_is_passed_on_and_kept_for_the_look(hints, passed_on):
    hints.notice("/p/src/a.py", Progress.WRITING, folder=False)
    hints.notice("/p/src/a.py", Progress.DONE, folder=False)

    assert passed_on == [Hint("/p/src/a.py", Progress.WRITING), Hint("/p/src/a.py", Progress.DONE)]
    assert hints.take() == {"/p/src/a.py"}
    assert hints.take() == set()


def test_named_file_counts_whatever_its_name(hints):
    hints.notice("/p/main.txt", Progress.DONE, folder=False)

    assert hints.take() == {"/p/main.txt"}


@pytest.mark.parametrize("path", ["/p/src/a.csv", "/p/src/a.py~", "/p/src/.venv/a.py", "/p/srcs/a.py", "/p/src/gen.py"])
def test_what_cannot_count_is_dropped(hints, passed_on, path):
    hints.notice(path, Progress.DONE, folder=False)

    assert passed_on == []
    assert hints.take() == set()


@pytest.mark.parametrize("path", ["/p/src/new", "/p/src", ""])
def test_after_a_folder_or_a_lost_event_anything_may_have_changed(hints, path):
    hints.notice(path, Progress.DONE, folder=path == "/p/src/new")
    hints.notice("", Progress.UNKNOWN, folder=True)

    assert hints.take() == {path, ""}


def test_ignored_folder_is_dropped(hints, passed_on):
    hints.notice("/p/src/node_modules", Progress.UNKNOWN, folder=True)

    assert passed_on == []


def test_files_passed_over_are_reported_once_with_the_reason(hints):
    hints.notice("/p/src/gen.py", Progress.DONE, folder=False)
    hints.notice("/p/src/gen.py", Progress.DONE, folder=False)
    hints.notice("/p/src/a.py~", Progress.DONE, folder=False)

    assert list(hints.passed_over()) == [("/p/src/gen.py", "is left out by --ignore")]
    assert list(hints.passed_over()) == []


def test_only_the_last_files_passed_over_are_remembered(hints):
    for number in range(PASSED_OVER_MAX + 1):
        hints.notice(f"/p/src/{number}.csv", Progress.DONE, folder=False)

    paths = [path for path, _ in hints.passed_over()]

    assert paths == [f"/p/src/{number}.csv" for number in range(1, PASSED_OVER_MAX + 1)]
