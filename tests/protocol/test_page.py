"""HTML that keeps a page in its place."""

from ipy_autorestart.protocol.page import LONGEST, MOMENT, keep_height, keep_while, keeping


def test_front_ends_that_print_are_given_nothing_to_print():
    content = keeping(2.0)
    assert list(content["data"]) == ["text/html"]
    assert keep_height(2.0) in content["data"]["text/html"]


def test_a_place_is_kept_for_as_long_as_its_output_took_before_within_bounds():
    assert [keep_while(lasted) for lasted in (0.0, 2.0, 1e6)] == [MOMENT, MOMENT + 2.0, MOMENT + LONGEST]
