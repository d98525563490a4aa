"""Ctrl-C: first the script's, then the watch's."""

from ipy_autorestart.decide.ctrl_c import Answer, CtrlC, pressed


def answers(*events):
    state, found = CtrlC(), []
    for run, running in events:
        state, answer = pressed(state, run=run, running=running)
        found.append(answer)
    return found


def test_the_second_in_one_run_ends_the_watch_and_the_third_at_once():
    assert answers((1, True), (1, True), (1, True)) == [Answer.FORWARD, Answer.END, Answer.KILL]


def test_where_nothing_runs_the_first_ends_it():
    assert answers((1, False), (1, False)) == [Answer.END, Answer.KILL]


def test_each_run_has_a_first_of_its_own():
    assert answers((1, True), (2, True), (3, True), (3, False)) == [Answer.FORWARD] * 3 + [Answer.END]
