"""Rows of a stream as a terminal would show them; pyte, which is one, is asked."""

import itertools
import random
import re
import unicodedata

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipy_autorestart.script.ansi import ROWS, Live, Rows

TQDM = (
    "\router:   0%|  | 0/2\n\rinner:   0%|  | 0/2\x1b[A\n\rinner:  50%|█ | 1/2\x1b[A\n\r                   \x1b[A"
    "\router:  50%|█ | 1/2\n\rinner:   0%|  | 0/2\x1b[A\n\r                   \x1b[A\router: 100%|██| 2/2\ndone\n"
)
RICH = (
    "\x1b[1;31mhello\x1b[0m\n\x1b[?25la \x1b[90m━━\x1b[0m  0%\nb ━━  0%\r\x1b[2K\x1b[1A\x1b[2Kbetween\n"
    "a \x1b[32m━━\x1b[0m 50%\nb ━━ 50%\r\x1b[2K\x1b[1A\x1b[2Ka ━━ 100%\nb ━━ 100%\n\x1b[?25hdone\n"
)


def feed(*chunks):
    live = Live()
    return [part for chunk in chunks for part in live.feed(chunk)] + list(live.feed("", last=True))


def shown(parts):
    """Return the lines that a page shows: those of streams, and regions where they first came."""
    outputs = {}
    for number, part in enumerate(parts):
        if isinstance(part, Rows):
            assert part.update is (part.region in outputs)
            outputs[part.region] = part.text + "\n"
        elif outputs and isinstance(list(outputs)[-1], tuple):
            outputs[list(outputs)[-1]] += part
        else:
            outputs[("text", number)] = part
    lines = itertools.chain(*(terminal(output) for output in outputs.values()))
    return [line for line in lines if line]


def terminal(text):
    screen = pyte.Screen(80, text.count("\n") + 2)
    pyte.Stream(screen).feed(text.replace("\n", "\r\n"))
    return [line for line in (line.rstrip() for line in screen.display) if line]


def cut(text, number):
    places = sorted(random.Random(number).choices(range(len(text) + 1), k=8))
    return [text[a:b] for a, b in itertools.pairwise([0, *places, len(text)]) if a < b]


@pytest.mark.parametrize("text", ["plain\n", "no end", "\r10 %\r20 %", "\x1b[32mgreen\x1b[0m\n", "a\r\nb\r\n", "\b\t"])
def test_what_a_notebook_knows_passes_as_it_is(text):
    assert "".join(feed(text)) == text
    assert "".join(feed(*text)) == text


@pytest.mark.parametrize("text", [TQDM, RICH, "x\n" * 3 + RICH + TQDM + RICH])
def test_the_last_look_is_that_of_a_terminal(text):
    assert shown(feed(text)) == terminal(text)


def test_it_is_so_wherever_rich_output_is_cut():
    expected = terminal(RICH)
    for number in range(100):
        assert shown(feed(*cut(RICH, number))) == expected


def test_a_bar_that_was_shown_is_taken_back_when_another_comes_below_it():
    live = Live()
    assert list(live.feed("\router: 0%")) == ["\router: 0%"]
    assert list(live.feed("\n")) == []
    assert live.waits
    back, rows = live.feed("\rinner: 0%\x1b[A")
    assert back == "\r" + " " * len("outer: 0%") + "\r"
    assert rows.text == "outer: 0%\ninner: 0%"


def test_what_may_be_a_bar_below_waits_a_moment_for_the_cursor_to_go_up():
    live = Live()
    assert list(live.feed("\rone: 100%\n")) == ["\rone: 100%"]
    assert list(live.feed("")) == ["\n"]
    list(live.feed("\rone: 100%"))
    assert list(live.feed("\n\rtwo: 0%")) == []
    assert live.waits
    assert list(live.feed("")) == ["\n\rtwo: 0%"]
    assert list(live.feed("\rtwo: 10%\rtwo: 20%")) == ["\rtwo: 10%\rtwo: 20%"]


def test_a_bar_ends_its_line_before_another_stream_goes_on():
    live = Live()
    assert list(live.feed("\rbar: 100%\n", followed=True)) == ["\rbar: 100%\n"]
    assert list(live.feed("\rbar: 100%\n")) == ["\rbar: 100%"]
    assert list(live.feed("", followed=True)) == ["\n"]


def test_rows_above_are_kept_when_the_cursor_goes_up_to_them():
    text = "a\nb\nc\n\x1b[2Ax"
    assert shown(feed(text)) == terminal(text) == ["a", "x", "c"]


def test_what_follows_is_plain_again():
    assert feed(RICH)[-1] == "done\n"
    assert feed(TQDM)[-1] == "done\n"


def test_colours_are_kept_and_end_with_the_line():
    (rows,) = feed("\x1b[?25l\x1b[1m\x1b[32mab\x1b[0mc\x1b[31md")
    assert rows.text == "\x1b[1m\x1b[32mab\x1b[0mc\x1b[31md\x1b[0m"


def test_a_line_that_is_erased_leaves_nothing():
    assert shown(feed("a long line", "\r\x1b[Kshort")) == ["short"]
    assert shown(feed("abc\x1b[2D\x1b[K", "\x1b[1Gx\x1b[3Cy")) == terminal("abc\x1b[2D\x1b[K\x1b[1Gx\x1b[3Cy")


HOME = "\x1b[H"
CLEAR = "\x1b[2J" + HOME


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("进度 50%\x1b[4D\x1b[K完成", id="wide characters"),
        pytest.param("a 🚀🚀 b\x1b[2D\x1b[2D进", id="emoji"),
        pytest.param("cafe\u0301 e\u0301\u0323\x1b[2Dx\x1b[1Ky", id="combining characters"),
        pytest.param(f"{CLEAR}one\ntwo\nthree\x1b[2;2Hx\x1b[Hy\x1b[3;9fz", id="cursor position"),
        pytest.param("abcdef\x1b[4D\x1b[P\x1b[2P", id="characters deleted"),
        pytest.param("abcdef\x1b[4D\x1b[@x\x1b[2@y", id="characters inserted"),
        pytest.param("abcdef\x1b[4D\x1b[2X", id="characters erased"),
        pytest.param("\x1b[?25la\nb\nc\nd\x1b[2A\x1b[Lx\x1b[B\x1b[My", id="lines inserted and deleted"),
        pytest.param("ab\x1b7cd\ne\x1b8f", id="cursor saved"),
        pytest.param("abc\x1b[2Dx\x1b[Cy\x1b[1Gz", id="moved within a line"),
        pytest.param("\x1b[?25la\x1b(Bb\x1b]0;title\x07c\x1b]8;;http://a\x1b\\d\x07e", id="not for the screen"),
    ],
)
def test_each_sequence_does_what_it_does_in_a_terminal(text):
    assert shown(feed(text)) == terminal(text)
    assert shown(feed(*text)) == terminal(text)


@pytest.mark.parametrize("clear", [CLEAR, HOME + "\x1b[J", HOME + "\x1b[2J\x1b[3J", "\x1bc"])
def test_a_frame_takes_the_place_of_the_one_before(clear):
    frames = [clear + f"frame {number}\nrow\n" + "more\n" * (number % 3) for number in range(9)]
    parts = feed("before\n", *frames, "after\n")
    assert shown(parts) == ["before", "frame 8", "row", "more", "more", "after"]
    assert len({part.region for part in parts if isinstance(part, Rows)}) == 1


def test_what_follows_a_clearing_is_plain_when_it_is_more_than_a_screen():
    lines = [f"line {number}" for number in range(10 * ROWS)]
    *regions, plain = feed(CLEAR + "\n".join(lines))
    assert shown([*regions, plain]) == lines
    assert sum(part.text.count("\n") + 1 for part in regions) <= ROWS
    assert plain.endswith("\n".join(lines[-8 * ROWS :]))


def test_half_a_wide_character_is_a_blank():
    assert shown(feed("a进b\x1b[2Dx")) == ["a xb"]
    assert shown(feed("a进b\x1b[3Dx")) == ["ax b"]
    assert shown(feed("a进b\x1b[2D\x1b[K")) == ["a"]
    assert shown(feed("a进b\x1b[2D\x1b[@")) == ["a   b"]
    assert shown(feed("a进b\x1b[3D\x1b[P")) == ["a b"]


def test_a_joined_emoji_stays_whole():
    family = "👩\u200d👧 ❤\ufe0f"
    (rows,) = feed(f"\x1b[?25l{family}\r")
    assert rows.text == family


def moves(width):
    """Sequences and characters that move the cursor by whole characters of a width."""
    far = st.integers(0, 5)
    across = far.map(lambda number: f"{number * width}" if number or width == 1 else f"{width}")
    columns = st.integers(0, 8).map(lambda number: f"{number * width + 1}")
    return st.one_of(
        st.sampled_from(["\r", "\n", "\t", "\b" * width, "\x07", "\x1b[1m", "\x1b[0m", "\x1b[?7h"]),
        st.builds("\x1b[{}{}".format, far, st.sampled_from("ABEFLMd")),
        st.builds("\x1b[{}{}".format, across, st.sampled_from("CDPX@")),
        st.builds("\x1b[{}G".format, columns),
        st.builds("\x1b[{};{}{}".format, far, columns, st.sampled_from("Hf")),
        st.builds("\x1b[{}{}".format, st.sampled_from(["", "0", "2"]), st.sampled_from("JK")),
    )


NARROW = st.lists(st.sampled_from([*"abcdxyz é█", "e\u0301", "e\u0301\u0323"]), min_size=1, max_size=8).map("".join)
WIDE = st.text("进度条🚀한글", min_size=1, max_size=4)
MIXES = st.one_of(
    st.lists(moves(1) | NARROW | st.sampled_from(["\x1b[1K", "\x1b[1J"]), max_size=12),
    st.lists(moves(2) | WIDE, max_size=12),
)


@given(MIXES, st.integers(0, 100))
@settings(max_examples=50)
def test_a_frame_of_anything_is_that_of_a_terminal(parts, number):
    text = CLEAR + "".join(parts) + "\x1b[?25l"
    screen = pyte.Screen(100, ROWS)
    screen.set_mode(pyte.modes.LNM)
    pyte.Stream(screen).feed(text)
    expected = "\n".join(row.rstrip() for row in screen.display).rstrip("\n")
    for chunks in ([text], cut(text, number)):
        rows = [part for part in feed(*chunks) if isinstance(part, Rows)]
        found = re.sub(r"\x1b\[[0-9]*m", "", rows[-1].text) if rows else ""
        found = "\n".join(row.rstrip() for row in found.split("\n")).rstrip("\n")
        assert unicodedata.normalize("NFC", found) == unicodedata.normalize("NFC", expected)


def test_a_region_stays_small():
    text = "\x1b[?25l" + "".join(f"line {number}\n" for number in range(500))
    parts = feed(*(text[at : at + 100] for at in range(0, len(text), 100)))
    assert max(part.text.count("\n") for part in parts) <= ROWS
    assert shown(parts) == [f"line {number}" for number in range(500)]


def test_after_a_clearing_a_region_is_shown_anew():
    live = Live()
    list(live.feed("\x1b[?25lbar 1"))
    live.restart()
    assert [part.update for part in live.feed("\rbar 2")] == [False]


def test_nonsense_does_no_harm():
    random_ = random.Random(7)
    for _ in range(300):
        text = "".join(
            random_.choices(["\x1b[", "A", "K", "J", "m", "\n", "\r", "12", ";", "?25l", "?25h", "x", "\x1b"], k=60)
        )
        feed(*cut(text, 1))
