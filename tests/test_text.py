import pytest

from ipy_autorestart.text import duration, one_line, relative, wrapped


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0 ms"),
        (0.0004, "0.4 ms"),
        (0.00096, "1 ms"),
        (0.0051, "5 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (3599.4, "59 min 59 s"),
        (7260, "2 h 1 min"),
    ],
)
def test_a_duration_is_as_exact_as_anybody_wants_it(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("path", "folder", "said"),
    [
        ("/p/src/a.py", "/p", "src/a.py"),
        ("/p/src/a.py", "/p/", "src/a.py"),
        ("/a.py", "/", "a.py"),
        ("/pp/a.py", "/p", "/pp/a.py"),
        ("/p", "/p", "/p"),
    ],
)
def test_a_path_below_the_folder_is_relative(path, folder, said):
    assert relative(path, folder) == said


def test_a_line_breaks_between_its_parts_and_else_between_words():
    line = "⟳ main.py · running · run 2 · src/a.py changed"
    assert wrapped(line, 80) == line
    assert wrapped(f"{line}\n    x = <", 32) == "⟳ main.py · running · run 2\n  · src/a.py changed\n    x = <"
    told = wrapped("⟳ main.py · gen.py changes right after every start: the next waits · run 2", 32)
    assert told == "⟳ main.py\n  · gen.py changes right after\n  every start: the next waits\n  · run 2"
    assert max(map(len, told.split("\n"))) <= 32


def test_what_cannot_be_shown_is_escaped():
    assert one_line("é a\nb\x1b[2J\udcff") == "é a\\nb\\x1b[2J\\udcff"
