"""What a supervisor reports, on screens that can show more or less of it."""

import logging

import pytest
from screens import Screen

from ipy_autorestart.client.screen import RichScreen, show, state_of
from ipy_autorestart.protocol.messages import Ask, Began, Clear, Display, Output, Status


class Page(Screen):
    """A screen that shows pictures too."""

    displays = None

    def __init__(self):
        super().__init__()
        self.shown = []

    def display(self, shown):
        self.shown.append(shown)

    def clear(self, cleared):
        self.shown.append(cleared)

    def show_again(self, request_id):
        self.shown.append(request_id)


RECORDS = [Status("running"), Began(1), Output(1, "stdout", "hello")]
PICTURES = [Display({"image/png": "…"}, run=1), Clear(wait=True, run=1)]


@pytest.mark.parametrize("kind", [Screen, Page])
def test_status_and_text_are_shown_anywhere(kind):
    screen = kind()
    for record in RECORDS:
        show(screen, record)
    assert (screen.status, screen.run, screen.text) == (Status("running"), 1, "hello")


def test_a_rich_screen_is_one_that_can_show_pictures():
    page = Page()
    assert isinstance(page, RichScreen)
    for record in PICTURES:
        show(page, record, rich=page)
    assert page.shown == PICTURES


@pytest.mark.parametrize("record", [*PICTURES, Ask()])
def test_what_a_screen_cannot_show_is_logged(record, caplog):
    screen = Screen()
    assert not isinstance(screen, RichScreen)
    show(screen, record)
    assert caplog.record_tuples == [
        ("ipy_autorestart.client.screen", logging.WARNING, f"unexpected from the supervisor: {record}")
    ]


def test_a_state_goes_over_an_exec_if_it_is_plain_data(caplog):
    screen = Screen()
    assert state_of(None) is None
    assert state_of(screen) == {}
    screen.to_state = lambda: {"place": object()}
    assert state_of(screen) is None
    screen.to_state = lambda: 1 / 0
    assert state_of(screen) is None
    assert len(caplog.records) == 2
