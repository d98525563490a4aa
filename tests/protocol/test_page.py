"""HTML that keeps a page in its place."""

from ipy_autorestart.protocol.page import KEPT, MOMENT, keep_height


def test_front_ends_that_print_are_given_nothing_to_print():
    assert list(KEPT["data"]) == ["text/html"]
    assert keep_height(MOMENT) in KEPT["data"]["text/html"]
