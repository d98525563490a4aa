"""Files that may have been changed and put back."""

from ipy_autorestart.decide.change import Hint, Progress
from ipy_autorestart.decide.touched import FILES_MAX, TouchedFiles


def noted(*hints):
    touched = TouchedFiles()
    for now, path, progress in hints:
        touched.note(Hint(path, progress), now)
    return touched


def test_what_was_finished_twice_may_have_been_put_back_and_one_save_is_none():
    touched = noted(
        (1, "once", Progress.WRITING),
        (2, "once", Progress.WRITING),
        (3, "twice", Progress.WRITING),
        (4, "twice", Progress.DONE),
        (5, "once", Progress.DONE),
        (6, "twice", Progress.DONE),
        (7, "folder", Progress.UNKNOWN),
        (8, "folder", Progress.UNKNOWN),
    )
    assert touched.take() == {"twice": 3}
    assert touched.take() == {}


def test_no_more_than_some_are_told_apart():
    touched = noted(*((0, f"{number}", Progress.DONE) for number in range(FILES_MAX)))
    for path in ("0", "more", "more"):
        touched.note(Hint(path, Progress.DONE), 1)
    assert touched.take() == {"0": 0}
