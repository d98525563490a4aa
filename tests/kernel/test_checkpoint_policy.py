"""Which checkpoints are made, kept and chosen; random kernels are compared with what each has seen by itself."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipy_autorestart.kernel.checkpoint_policy import (
    Checkpoint,
    budget,
    by_worth,
    is_worth,
    is_worth_arming,
    kept,
    likely,
    over_budget,
    right_for,
)


def checkpoint(number, uses=1, seconds=0.0, memory_bytes=0):
    return Checkpoint(number, uses, seconds, 0.01, 1000 + number, number, memory_bytes)


#: Made after 10, 20 and 30 uses.
THREE = [checkpoint(number, 10 * number, seconds=float(number), memory_bytes=100) for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("work", "cost", "worth"),
    [(0.29, 0.0, False), (0.3, 0.0, True), (0.3, 0.015, True), (0.59, 0.03, False), (0.6, 0.03, True), (0, 0, False)],
)
def test_it_is_made_where_it_saves_more_than_it_costs(work, cost, worth):
    assert is_worth(work, cost) is worth


@pytest.mark.parametrize(
    ("work", "tried", "worth"), [(0.99, 0.0, False), (1.0, 0.0, True), (1.9, 1.0, False), (2.0, 1.0, True)]
)
def test_a_cell_waits_for_a_proxy_after_some_work_and_again_after_twice_as_much(work, tried, worth):
    assert is_worth_arming(work, tried) is worth


@pytest.mark.parametrize(
    ("places", "numbers"),
    [
        ([0], ()),
        ([9], ()),
        ([10], (1,)),
        ([29], (2, 1)),
        ([30], (3, 2, 1)),
        ([99, 15, None], (1,)),
        ([99, 0], ()),
        ([None], (3, 2, 1)),
        ([], ()),
    ],
)
def test_those_before_the_first_use_of_each_changed_file_are_right(places, numbers):
    assert right_for(THREE, places) == numbers
    assert right_for(reversed(THREE), iter(places)) == numbers


@pytest.mark.parametrize(
    ("places", "numbers"),
    [([], (3,)), ([None], (3,)), ([0, 5], (3,)), ([12, 15], (1, 3)), ([12, 25], (1, 2, 3)), ([99], (3,))],
)
def test_those_are_kept_that_may_be_the_best(places, numbers):
    assert kept(THREE, places) == numbers
    assert kept([], places) == ()


@pytest.mark.parametrize(("places", "number"), [([], 3), ([None], 3), ([5], 0), ([5, 12], 1), ([99, 12, None], 3)])
def test_the_next_save_is_likely_to_be_of_what_was_used_last(places, number):
    assert likely(THREE, places) == number
    assert likely([], places) == 0


def test_the_first_to_go_are_those_that_save_the_fewest_seconds_per_byte():
    three = [
        checkpoint(1, seconds=30.0, memory_bytes=100),
        checkpoint(2, seconds=31.0, memory_bytes=100),
        checkpoint(3, seconds=35.0, memory_bytes=300),
    ]
    assert over_budget(three, 500) == ()
    assert over_budget(three, 499) == (2,)
    assert over_budget(three, 399) == (2, 3)
    assert over_budget(three, 99) == (2, 3, 1)
    assert over_budget([], 0) == ()


def test_the_one_that_goes_first_is_worth_least():
    three = [
        checkpoint(1, seconds=30.0, memory_bytes=100),
        checkpoint(2, seconds=31.0, memory_bytes=100),
        checkpoint(3, seconds=35.0, memory_bytes=300),
    ]
    assert by_worth(three) == (1, 3, 2)
    assert by_worth([*three, checkpoint(4, seconds=35.1)]) == (4, 1, 3, 2)
    assert by_worth([checkpoint(number) for number in (1, 2)]) == (2, 1)


def test_one_that_has_no_memory_of_its_own_is_not_dropped():
    assert over_budget([checkpoint(1), checkpoint(2, memory_bytes=1)], 0) == (2,)


def test_a_quarter_of_what_is_available_may_be_used():
    assert budget(4000) == 1000
    assert budget(-1) == 0


@dataclasses.dataclass
class Lived:
    """A kernel's checkpoints, what each has seen by itself, and the first uses of all files."""

    checkpoints: list[Checkpoint] = dataclasses.field(default_factory=list)
    seen: dict[int, set[str]] = dataclasses.field(default_factory=dict)
    uses: dict[str, int] = dataclasses.field(default_factory=lambda: {"at the beginning": 0})

    def places(self, files):
        return [self.uses.get(file) for file in files]


FILES = [f"{number}.py" for number in range(5)]
ACTS = st.lists(st.one_of(st.sampled_from(FILES), st.floats(0.1, 50)), max_size=20)
SOME_FILES = st.lists(st.sampled_from([*FILES, "never.py"]), min_size=1, max_size=4)


def lived(acts):
    """A kernel uses a file for the first time or again; a number is a checkpoint, after so many seconds."""
    kernel, seconds = Lived(), 0.0
    for act in acts:
        if isinstance(act, str):
            kernel.uses.setdefault(act, len(kernel.uses))
        else:
            number, seconds = len(kernel.checkpoints) + 1, seconds + act
            kernel.checkpoints.append(checkpoint(number, len(kernel.uses), seconds, int(act * 1000) % 777))
            kernel.seen[number] = set(kernel.uses)
    return kernel


@given(ACTS, SOME_FILES)
def test_what_is_right_has_seen_no_changed_file_and_what_isnt_has(acts, changed):
    kernel = lived(acts)
    right = right_for(kernel.checkpoints, kernel.places(changed))
    assert list(right) == sorted(right, reverse=True)
    assert set(right) == {number for number, seen in kernel.seen.items() if seen.isdisjoint(changed)}


@given(ACTS, SOME_FILES, st.lists(st.sampled_from(FILES), max_size=3))
def test_what_is_dropped_would_never_be_chosen(acts, changed, later):
    kernel = lived(acts)
    numbers = kept(kernel.checkpoints, kernel.places(FILES))
    left = [one for one in kernel.checkpoints if one.number in numbers]
    for file in later:  # used for the first time after the others were dropped
        kernel.uses.setdefault(file, len(kernel.uses))
    places = kernel.places(changed)
    assert right_for(left, places)[:1] == right_for(kernel.checkpoints, places)[:1]


@given(ACTS)
def test_each_that_is_kept_may_be_chosen(acts):
    kernel = lived(acts)
    chosen = {right_for(kernel.checkpoints, kernel.places([file]))[:1] for file in [*FILES, "never.py"]}
    assert set(kept(kernel.checkpoints, kernel.places(FILES))) == set(itertools.chain(*chosen))


@given(ACTS)
def test_the_likely_one_is_kept_and_right_for_some_file(acts):
    kernel = lived(acts)
    number = likely(kernel.checkpoints, kernel.places(FILES))
    assert number in (0, *kept(kernel.checkpoints, kernel.places(FILES)))
    heads = [right_for(kernel.checkpoints, kernel.places([file]))[:1] for file in [*FILES, "never.py"]]
    assert (number,) in heads or not number


@given(ACTS, st.integers(0, 5000))
def test_the_budget_holds_and_no_more_is_dropped_than_that_asks_for(acts, budget_bytes):
    checkpoints = lived(acts).checkpoints
    dropped = over_budget(checkpoints, budget_bytes)
    sizes = {one.number: one.memory_bytes for one in checkpoints}
    assert len(set(dropped)) == len(dropped)
    total = sum(sizes.values()) - sum(sizes[number] for number in dropped)
    assert total <= budget_bytes
    assert not dropped or total + sizes[dropped[-1]] > budget_bytes
    assert all(sizes[number] for number in dropped)
