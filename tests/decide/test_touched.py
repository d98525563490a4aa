"""Files that may have been changed and put back."""

from ipy_autorestart.decide.change import Change, Hint, Kind, Progress
from ipy_autorestart.decide.touched import FILES_MAX, LATE_MAX, Questions, TouchedFiles


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
    assert touched.take(9) == {"twice": 3}
    assert touched.take(9) == {}


def test_the_last_hint_may_come_late():
    for late, found in ((0.1, {"a": 10}), (LATE_MAX, {})):
        touched = noted((10, "a", Progress.DONE), (10, "b", Progress.DONE), (10, "b", Progress.DONE))
        assert touched.take(10 + late) == {"b": 10}
        touched.note(Hint("a", Progress.DONE), 10 + late)
        assert touched.take(10 + late) == found
        touched.note(Hint("a", Progress.DONE), 10 + late)
        touched.note(Hint("a", Progress.DONE), 10 + late)
        touched.clear()
        assert touched.take(10 + late) == {}


def test_no_more_than_some_are_told_apart():
    touched = noted(*((0, f"{number}", Progress.DONE) for number in range(FILES_MAX)))
    for path in ("0", "more", "more"):
        touched.note(Hint(path, Progress.DONE), 1)
    assert touched.take(2) == {"0": 0}


def test_a_question_is_open_until_its_own_answer_comes_once():
    questions, change = Questions(), Change("a", Kind.MODIFIED)
    first, second = questions.ask((change,), 1), questions.ask((change,), 2)
    assert questions.open == (first, second)
    assert [questions.close(number) for number in (first.number, first.number, 7)] == [True, False, False]
    assert questions.open == (second,)


def test_the_next_kernel_is_asked_for_what_the_one_before_was_not_told():
    a, b = (Change(path, Kind.MODIFIED) for path in "ab")
    questions = Questions()
    _, second, both = questions.ask((a,), 1), questions.ask((b,), 1), questions.ask((a, b), 1)
    questions.settle({"a"})
    assert questions.open == (second, both)
    questions.settle({"a", "b"})
    assert questions.open == ()
