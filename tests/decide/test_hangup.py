"""The meaning of a SIGHUP: ours restarts, whatever else is the case."""

import pytest

from ipy_autorestart.decide.hangup import Meaning, hangup_means


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("gone", [False, True])
def test_our_own_restarts_in_every_state(ignored, gone):
    assert hangup_means(own=True, ignored=ignored, gone=gone) is Meaning.RESTART


@pytest.mark.parametrize(
    ("ignored", "gone", "meaning"),
    [
        (False, False, Meaning.RESTART),
        (False, True, Meaning.END),
        (True, False, Meaning.NOTHING),
        (True, True, Meaning.NOTHING),
    ],
)
def test_anothers_means_what_it_does_everywhere(ignored, gone, meaning):
    assert hangup_means(own=False, ignored=ignored, gone=gone) is meaning
