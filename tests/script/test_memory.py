"""When the memory of a run may be given back beside the start of the next."""

import pytest

from ipy_autorestart.script.holder import OWN_MAX_BYTES, Memory, may_overlap

BEFORE = Memory(own=1_000, other=5_000)


@pytest.mark.parametrize(
    ("now", "shares", "expected"),
    [
        (BEFORE, False, True),
        (Memory(1_000 + OWN_MAX_BYTES, 5_000), False, True),
        (Memory(1_001 + OWN_MAX_BYTES, 5_000), False, False),  # there may not be room for both
        (Memory(1_000, 6_000), False, True),  # a library
        (Memory(1_000, 6_000), True, False),  # a device, or a file that may be locked
        (Memory(0, 0), False, True),  # it has ended
    ],
)
def test_memory_may_be_given_back_later_unless_that_can_be_noticed(now, shares, expected):
    assert may_overlap(BEFORE, now, shares=shares) is expected
