"""Kernels and checkpoints behind a proxy, over random timelines."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ipy_autorestart.proxy.events import (
    Died,
    Drop,
    Ended,
    Exit,
    Fork,
    Goodbye,
    HandOver,
    Judge,
    Judged,
    Keep,
    Leaves,
    Memory,
    NotForked,
    NotStarted,
    Outdated,
    Parked,
    Ready,
    Start,
    Started,
    Tick,
    TookOver,
    Unparked,
)
from ipy_autorestart.proxy.policy import (
    ENDING,
    Kernels,
    State,
    step,
)


class World:
    """Plays the proxy, the kernels and the checkpoints; each checkpoint is one thing, whatever number it has."""

    def __init__(self):
        self.kernels, self.now, self.has_ended = Kernels(), 0.0, False
        self.table = {}  # checkpoints by their numbers, as the proxy has them
        self.pasts = {}  # what kernels remember to have parked, by number; what they were made of included
        self.made = {}  # kernels and the checkpoint that each was made of
        self.known = {}  # what the last live kernel remembers
        self.wanted = None  # by that, what the next is to be made of, in this order; None if that isn't said
        self.tried = []
        self.count = 0
        self.happen(Tick())

    def happen(self, event):
        live = self.kernels.one(State.LIVE)
        self.kernels, actions = step(self.kernels, event, self.now)
        if live is not None and self.kernels.state(live) is not State.LIVE:
            self.tried = []
            self.wanted = event.back if isinstance(event, Leaves) else () if event.hung_up else None
        for action in actions:
            self.act(action)
        self.check()

    def act(self, action):
        match action:
            case Start():
                self.count += 1
                self.pasts[self.count] = {}
                self.happen(Started(self.count))
            case Fork(number):
                self.count += 1
                self.made[self.count] = self.table[number]
                self.pasts[self.count] = dict(self.table[number])
                self.happen(Started(self.count, number))
            case Drop(number):
                del self.table[number]
            case Judge():
                self.happen(Judged())
            case HandOver(number):
                self.check_choice(number)
            case Exit():
                self.has_ended = True

    def check_choice(self, number):
        origin = self.kernels.origin(number)
        assert not origin or self.made[number] is self.known.get(origin), "of another past"
        if self.wanted is not None:
            assert origin in (*self.wanted, 0)
            better = self.wanted[: self.wanted.index(origin)] if origin else self.wanted
            assert not any(one in self.table or self.kernels.waiting(one) for one in better)
        assert all(origin < one for one in self.tried)
        self.tried += [origin] if origin else []

    def check(self):
        if self.has_ended:
            return
        found = [state for _, state in self.kernels.states]
        live, taking = found.count(State.LIVE), found.count(State.TAKING)
        assert live + taking <= 1
        assert live or not self.kernels.serves
        assert set(self.kernels.parked) == set(self.table)
        if live:
            number = self.kernels.one(State.LIVE)
            self.known = self.pasts[number]
            assert all(self.known.get(one) is checkpoint for one, checkpoint in self.table.items())
            ahead = {self.kernels.origin(one) for one, state in self.kernels.states if state is not State.LIVE}
            assert ahead - {0} <= {self.kernels.likely} or State.LEAVING in found

    def park(self, number):
        """A kernel parks a copy of itself, and numbers it on from what it remembers."""
        if self.kernels.state(number) is State.LIVE:  # as the proxy sees to
            past = self.pasts[number]
            checkpoint = 1 + max(past, default=0)
            assert checkpoint not in self.table
            past[checkpoint] = past_of_copy = dict(past)
            past_of_copy[checkpoint] = past_of_copy
            self.table[checkpoint] = past_of_copy
            self.happen(Parked(number, checkpoint))

    def unpark(self, checkpoint):
        if self.table.pop(checkpoint, None) is not None:
            self.happen(Unparked(checkpoint))

    def pass_time(self, seconds):
        self.now += seconds
        if self.now >= self.kernels.due:
            self.happen(Tick())

    def go_on(self):
        """Have everything go well from here on; return whether a kernel answers at last."""
        for _ in range(20):
            for number, state in self.kernels.states:
                if self.kernels.state(number) is not state:
                    continue
                match state:
                    case State.STARTING:
                        self.happen(Ready(number))
                    case State.TAKING:
                        self.happen(TookOver(number))
                    case State.LEAVING:
                        for channel in ENDING:
                            self.happen(Ended(number, channel))
            self.pass_time(1.0)
        return self.kernels.serves


KERNELS, CHECKPOINTS = st.integers(1, 12), st.integers(1, 6)
BACK = st.lists(CHECKPOINTS, unique=True, max_size=4).map(lambda some: tuple(sorted(some, reverse=True)))
WORDS = st.one_of(
    st.builds(Ready, KERNELS),
    st.builds(TookOver, KERNELS),
    st.builds(Leaves, KERNELS, BACK),
    st.builds(Ended, KERNELS, st.sampled_from(sorted(ENDING))),
    st.builds(Died, KERNELS, st.just(-9), st.booleans()),
    st.builds(NotForked, KERNELS),
    st.builds(Keep, KERNELS, st.lists(CHECKPOINTS, unique=True).map(tuple), CHECKPOINTS),
    st.builds(Memory, st.booleans()),
    st.builds(Outdated, KERNELS),
)
WAYS = ["park", "park", "leave", "die", "die of what has changed", "keep", "keep"]
LIVE = st.tuples(st.just("live"), st.sampled_from(WAYS), BACK, CHECKPOINTS)
NEXT = st.tuples(st.just("next"), st.sampled_from(["go", "go", "go", "die"]))
TIME = st.tuples(st.just("time"), st.sampled_from([0.05, 0.2, 6.0, 11.0]))
UNPARK = st.tuples(st.just("unpark"), CHECKPOINTS)
ACTS = st.sampled_from([LIVE, LIVE, LIVE, NEXT, NEXT, TIME, UNPARK, WORDS]).flatmap(lambda one: one)


def play(world, act):
    """Do what may happen at any time, or what moves the one that is live, or the next one, as real ones would."""
    kernels = world.kernels
    match act:
        case ("live", how, back, likely):
            if (live := kernels.one(State.LIVE)) is not None:
                match how:
                    case "park":
                        world.park(live)
                    case "keep" if parked := kernels.parked:
                        world.happen(Keep(live, parked, parked[likely % len(parked)]))
                        world.pass_time(0.2)
                    case "leave":
                        world.happen(Leaves(live, back))
                    case "die" | "die of what has changed":
                        world.happen(Died(live, -11, hung_up=how != "die"))
        case ("next", how):
            for number, state in kernels.states:
                if how == "die" and state in (State.TAKING, State.STARTING, State.STANDBY):
                    world.happen(Died(number, -9))
                    break
                event = {State.TAKING: TookOver(number), State.STARTING: Ready(number)}.get(state)
                if how == "go" and event:
                    world.happen(event)
                    break
            for number, state in kernels.states:
                if how == "go" and state is State.LEAVING:
                    for channel in ENDING:
                        world.happen(Ended(number, channel))
        case ("unpark", number):
            world.unpark(number)
        case ("time", seconds):
            world.pass_time(seconds)
        case _:
            world.happen(act)


@settings(max_examples=100)
@example([("live", "park", (), 1)] * 2 + [("live", "leave", (2, 1), 1), ("unpark", 2)])  # while one is made of it
@given(st.lists(ACTS, min_size=10, max_size=30))
def test_one_kernel_answers_and_the_next_is_made_of_what_it_remembers(acts):
    world = World()
    world.go_on()
    for act in acts:
        if world.has_ended:
            return
        play(world, act)
    if not world.has_ended:
        assert world.go_on()


def test_the_world_of_this_test_has_all_that_there_is():
    world = World()
    assert world.go_on()
    for _ in range(3):
        world.park(1)
    world.happen(Keep(1, (3, 2, 1), 2))
    world.go_on()
    assert 2 in dict(world.kernels.origins).values()
    world.happen(Leaves(1, (2, 1)))
    assert world.go_on()
    assert set(world.table) == {1, 2}
    live = world.kernels.one(State.LIVE)
    world.park(live)
    assert world.table[3] is not world.pasts[1][3]
    world.happen(Goodbye(live))
    world.happen(NotStarted())
    world.happen(Died(live, 0))
    assert world.has_ended
