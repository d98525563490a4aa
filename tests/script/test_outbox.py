"""Output of runs in an outbox: announced, in order, and within what a page can take."""

import os
import time
from types import SimpleNamespace

import pytest

from ipy_autorestart.protocol.messages import Began, Clear, Display, Output
from ipy_autorestart.script.displays import DisplayPipe
from ipy_autorestart.script.outbox import Outbox
from ipy_autorestart.script.policy import BURST
from ipy_autorestart.script.streams import Stream


class Page:
    """An outbox with one run, and the records that it sends."""

    def __init__(self, *, lossless=False):
        self.sent = []
        self.began_at = time.monotonic()
        self.outbox = Outbox(lossless=lossless, send=self.sent.append)
        ends = os.pipe(), os.pipe()
        self._out, _ = self._writes = [write for _, write in ends]
        self.run = SimpleNamespace(
            streams=(Stream("stdout", ends[0][0], lossless=lossless, live=True),), displays=DisplayPipe(ends[1][0])
        )
        self.outbox.follow(self.run)
        self.outbox.begin(1)

    def prints(self, text):
        os.write(self._out, text.encode())
        self.run.streams[0].drain()

    def displays(self, display, size_bytes=100):
        self.run.displays.on_display(display, size_bytes)

    def send(self, after):
        """Return the records that are sent some seconds after the start."""
        self.sent.clear()
        self.outbox.send_due(self.began_at + after)
        return self.sent

    def close(self):
        for pipe in (*self.run.streams, self.run.displays):
            pipe.close()
        for fd in self._writes:
            os.close(fd)


@pytest.fixture
def page():
    opened = []

    def make(**options):
        opened.append(Page(**options))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


FIGURE = Display({"text/plain": "figure"})


def test_a_run_is_announced_before_its_output_and_once(page):
    page = page()
    assert page.outbox.due_at() == float("-inf")
    page.prints("a\n")
    assert page.send(1.0) == [Began(1), Output(1, "stdout", "a\n")]
    assert page.outbox.due_at() is None
    assert page.send(9.0) == []


def test_what_is_displayed_comes_behind_what_was_printed_before(page):
    page = page()
    page.prints("a\n")
    page.displays(FIGURE)
    page.prints("b\n")
    began, before, figure, after = page.send(1.0)
    assert (began, before, after) == (Began(1), Output(1, "stdout", "a\n"), Output(1, "stdout", "b\n"))
    assert figure == Display({"text/plain": "figure"}, run=1)


def test_output_of_a_run_that_was_superseded_before_it_was_shown_is_dropped(page):
    page = page()
    page.displays(FIGURE)
    page.outbox.begin(2)
    page.displays(Clear(wait=False))
    assert page.send(1.0) == [Began(2), Clear(wait=False, run=2)]


def test_a_run_that_starts_once_more_begins_anew_under_its_number(page):
    one = page()
    one.prints("first\n")
    one.outbox.take_all(one.began_at, last=True)
    assert one.send(1)[0] == Began(1)
    one.prints("dropped\n")
    one.outbox.take_all(one.began_at, last=True)
    one.outbox.begin_again()
    one.prints("second\n")
    assert one.send(2) == [Began(1), Output(1, "stdout", "second\n")]


def test_output_of_a_run_that_was_shown_comes_before_the_next_begins(page):
    page = page()
    page.send(1.0)
    page.prints("last words\n")
    page.outbox.take_all(page.began_at + 2, last=True)
    page.outbox.follow(None)
    page.outbox.begin(2)
    assert page.send(2.0) == [Output(1, "stdout", "last words\n"), Began(2)]


def test_many_displays_wait_for_what_a_page_can_take(page):
    page = page()
    for _ in range(40):
        page.displays(FIGURE, size_bytes=BURST)
    assert page.outbox.is_full
    first = [record for record in page.send(1.0) if isinstance(record, Display)]
    assert 0 < len(first) < 40
    due = page.outbox.due_at() - page.began_at
    assert due > 1.0
    assert page.send(due - 0.01) == []
    assert len(page.send(due + 0.01)) == 1


def test_nothing_waits_when_nothing_may_be_lost(page):
    page = page(lossless=True)
    for _ in range(40):
        page.displays(FIGURE, size_bytes=BURST)
    assert len(page.send(1.0)) == 1 + 40
    page.prints("x" * 60_000)
    assert page.send(1.1) == [Output(1, "stdout", "x" * 60_000)]


def test_rows_that_change_are_displays_of_one_name(page):
    page = page()
    page.prints("\x1b[?25la 1")
    page.prints("\ra 2")
    _, first = page.send(1.0)
    assert first == Display({"text/plain": "a 2"}, display_id="stdout:1", run=1)
    page.prints("\ra 3")
    assert page.send(2.0) == [Display({"text/plain": "a 3"}, display_id="stdout:1", update=True, run=1)]
