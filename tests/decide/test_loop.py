import itertools

from ipy_autorestart.decide.backoff import NO_LOOP, PAUSE, STARTS, admit

PATHS = frozenset({"/src/gen.py"})


def play(delay, seconds, *, paths=lambda number: PATHS):
    """Change some files so long after every start; return when the starts were."""
    loop, now, starts = NO_LOOP, 0.0, [0.0]
    while now < seconds:
        noticed = starts[-1] + delay
        now = noticed
        loop, admitted = admit(loop, paths(len(starts)), noticed=noticed, started=starts[-1], now=now)
        if not admitted:
            now = loop.until
            loop, admitted = admit(loop, paths(len(starts)), noticed=noticed, started=starts[-1], now=now)
            assert admitted, "what has waited is served"
        starts.append(now)
    return starts


def test_a_loop_gets_slower_and_slower():
    starts = play(0.05, 100)
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert all(gap < PAUSE for gap in gaps[:STARTS])
    assert all(later > 1.5 * earlier for earlier, later in itertools.pairwise(gaps[STARTS:]))
    assert len(starts) < 15


def test_who_saves_by_hand_is_never_held_up():
    assert len(play(1.0, 100)) > 99


def test_changes_of_different_files_are_no_loop():
    assert len(play(0.05, 10, paths=lambda number: frozenset({str(number)}))) > 190


def test_a_change_while_waiting_is_served_when_the_wait_is_over():
    loop = NO_LOOP
    for number in range(STARTS):
        loop, admitted = admit(loop, PATHS, noticed=number, started=number, now=number)
        assert admitted
    loop, admitted = admit(loop, PATHS, noticed=5, started=5, now=5)
    assert (admitted, loop.until) == (False, 5 + PAUSE)
    assert admit(loop, PATHS, noticed=5.5, started=5, now=5.5) == (loop, False)
    assert admit(loop, frozenset({"other"}), noticed=5.5, started=5, now=5.5)[1]
    assert admit(loop, PATHS, noticed=5.5, started=5, now=6)[1]
