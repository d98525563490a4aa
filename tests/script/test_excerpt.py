"""Too much output: its head, its tail, and what was left out."""

import re

from hypothesis import given
from hypothesis import strategies as st

from ipy_autorestart.script.policy import BURST, RATE, WORTHWHILE, Allowance, enough_at, refilled, spent
from ipy_autorestart.script.streams import HEAD, HELD_MAX, TAIL, Excerpt, size

LINE = b"%09d\n"


def lines(first, last):
    return b"".join(LINE % number for number in range(first, last))


def test_what_is_not_too_much_comes_whole_and_in_parts():
    excerpt = Excerpt()
    excerpt.add(b"abc")
    excerpt.add(b"def")
    assert excerpt.size_bytes == 6
    assert excerpt.take(4) == b"abcd"
    assert excerpt.take(4) == b"ef"
    assert excerpt.take(4) == b""
    assert not excerpt.is_flooded


def test_of_too_much_head_and_tail_remain_and_all_else_is_counted():
    excerpt = Excerpt()
    everything = lines(0, 1_000_000)
    for start in range(0, len(everything), 65_536):
        excerpt.add(everything[start : start + 65_536])
        assert excerpt.size_bytes <= HELD_MAX + 65_536
    text = excerpt.take(BURST)
    head, gap, tail = re.fullmatch(r"(?s)(.*?)\x1b\[0m\n… (.*) …\n(.*)".encode(), text).groups()
    assert everything.startswith(head)
    assert everything.endswith(tail)
    assert len(head) == HEAD
    assert TAIL - len(LINE) * 2 < len(tail) <= TAIL
    told = int(gap.split(b" lines")[0].replace(b",", b""))
    assert abs(told - (len(everything) - HEAD - TAIL) / 10) <= 1
    assert gap.endswith(b", 10.0 MB left out")


def test_a_flood_without_lines_is_cut_between_characters():
    excerpt = Excerpt()
    excerpt.add("é".encode() * 3_000_000 + b"end")
    text = excerpt.take(BURST).decode()
    assert text.endswith("éend")
    assert "6.0 MB left out" in text
    assert "lines" not in text


def test_in_a_flood_only_what_is_fresh_is_shown():
    excerpt = Excerpt()
    excerpt.add(b"x" * (HELD_MAX + 1))
    excerpt.take(BURST)
    assert excerpt.is_flooded
    excerpt.add(lines(0, 100_000))
    text = excerpt.take(BURST)
    assert len(text) < HEAD + TAIL + 100
    assert text.endswith(LINE % 99_999)
    excerpt.add(b"calm\n")
    assert excerpt.take(BURST) == b"calm\n"
    assert not excerpt.is_flooded


def test_the_last_time_all_is_told_though_little_may_be_shown():
    excerpt = Excerpt()
    excerpt.add(lines(0, 10_000))
    text = excerpt.take(0, last=True)
    assert text.startswith(LINE % 0)
    assert text.endswith(LINE % 9_999)
    assert b"left out" in text
    excerpt.add(b"few words")
    assert excerpt.take(0, last=True) == b"few words"


def test_without_bounds_nothing_is_left_out():
    excerpt = Excerpt(bounded=False)
    excerpt.add(b"x" * 2 * HELD_MAX)
    assert len(excerpt.take(1 << 40)) == 2 * HELD_MAX


@given(st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(0, BURST)), max_size=8))
def test_memory_is_bounded_and_the_end_is_always_shown(steps):
    excerpt = Excerpt()
    for added, taken in steps:
        excerpt.add(b"." * added)
        assert excerpt.size_bytes <= HELD_MAX + HEAD + TAIL
        excerpt.take(taken)
    excerpt.add(b"THE END")
    assert excerpt.take(0, last=True).endswith(b"THE END")


def test_sizes_are_told_for_people():
    assert [size(n) for n in (5, 1500, 2_000_000, 3_100_000_000)] == ["5 bytes", "1.5 kB", "2.0 MB", "3.1 GB"]


def test_an_allowance_is_spent_and_comes_back():
    allowance = refilled(Allowance(), 100)
    assert allowance.left == BURST
    allowance = spent(allowance, BURST)
    assert refilled(allowance, 101).left == RATE
    assert refilled(allowance, 1000).left == BURST
    assert enough_at(allowance, 10) == 100 + 10 / RATE
    assert enough_at(allowance, BURST) == 100 + WORTHWHILE / RATE
    assert enough_at(refilled(allowance, 200), BURST) == 200


@given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(0, 2 << 20)), max_size=60))
def test_no_three_seconds_show_what_a_server_would_drop(steps):
    allowance, now, shown = Allowance(), 0.0, []
    for pause, wanted in steps:
        now += pause
        allowance = refilled(allowance, now)
        taken = min(wanted, max(0, int(allowance.left)))
        allowance = spent(allowance, taken)
        shown.append((now, taken))
    for start, _ in shown:
        assert sum(taken for at, taken in shown if start <= at < start + 3) < 3_000_000
