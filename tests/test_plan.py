"""The plan, simulated: whatever happens to slices, a stage ends complete and nothing is evaluated needlessly."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from optitrip.driver import plan
from optitrip.executors import Done, Failed
from optitrip.part import Part

SEEDS = 2_000


@dataclass
class World:
    """A seeded executor in virtual time: slots of uneven speed that lose, kill, repeat and reorder."""

    seed: int
    trouble: float
    events: list[plan.Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.items = self.random.choice([1, 2, 63, 64, 65, 1_000, 12_345])
        self.block = self.random.choice([1, 1, 7, 64])
        self.slots = self.random.randint(1, 9)
        self.pace = 10 ** self.random.uniform(-6, 0.5)
        self.flying: dict[int, range] = {}
        self.deaths: dict[range, int] = {}
        self.finished: list[range] = []
        self.old: list[plan.Event] = []

    def happen(self) -> list[plan.Event]:
        """Some outcomes, in any order, with some of the past repeated."""
        events: list[plan.Event] = []
        for ticket in self.random.sample(sorted(self.flying), k=self.random.randint(1, len(self.flying))):
            items = self.flying.pop(ticket)
            fate = self.random.random()
            if fate < self.trouble and self.deaths.get(items, 0) < plan.DEATHS_ALLOWED - 1:
                self.deaths[items] = self.deaths.get(items, 0) + 1
                events.append(Failed(ticket, "died", "killed"))
            elif fate < 2 * self.trouble:
                events.append(Failed(ticket, "lost", "node gone"))
            else:
                self.finished.append(items)
                seconds = len(items) * self.pace * self.random.uniform(0.3, 3)
                events.append(Done(ticket, Part(items, {}), seconds, "w"))
        self.old += events
        if self.trouble:
            events += self.random.sample(self.old, k=min(len(self.old), self.random.randint(0, 3)))
            self.random.shuffle(events)
            self.slots = max(0 if self.random.random() < 0.1 else 1, self.slots + self.random.randint(-1, 1))
        return [*events, plan.Slots(self.slots)]


def simulate(world: World) -> tuple[plan.State, list[plan.Submit]]:
    gaps = [range(0, world.items)]
    if world.items > 100:
        cut = world.random.randint(1, world.items - 1)
        gaps = [range(0, cut // 2), range(cut, world.items)]
    gaps = [gap for gap in gaps if gap]
    state = plan.begin(gaps, world.block, next_ticket=17)
    events: list[plan.Event] = [plan.Slots(world.slots)]
    submitted: list[plan.Submit] = []
    for _ in range(100_000):
        state, actions = plan.step(state, events)
        for action in actions:
            assert isinstance(action, plan.Submit), action
            submitted.append(action)
            world.flying[action.ticket] = action.items
        if state.complete:
            covered = sorted(world.finished, key=lambda items: items.start)
            assert [n for gap in gaps for n in gap] == [n for items in covered for n in items]
            return state, submitted
        assert dict(state.flying) == world.flying
        if world.flying:
            events = world.happen()
        else:
            world.slots = 1
            events = [plan.Slots(1)]
    raise AssertionError(f"seed {world.seed}: the stage never ended")


@pytest.mark.parametrize("trouble", [0.0, 0.2])
def test_every_item_is_done_exactly_once_whatever_happens(trouble: float) -> None:
    """Deaths, losses, duplicates, stale outcomes and changing slots: complete, nothing twice, tickets never reused."""
    for seed in range(SEEDS):
        state, submitted = simulate(World(seed, trouble))
        tickets = [submit.ticket for submit in submitted]
        assert tickets == list(range(17, 17 + len(tickets))), f"seed {seed}"
        assert state.next_ticket == 17 + len(tickets)


def test_slices_hold_whole_blocks_but_at_the_ends() -> None:
    """Inner borders of slices are borders of blocks, so no block is evaluated twice."""
    for seed in range(300):
        world = World(seed, 0.0)
        _, submitted = simulate(world)
        ends = {submit.items.stop for submit in submitted}
        starts = {submit.items.start for submit in submitted}
        assert all(border % world.block == 0 for border in ends & starts), f"seed {seed}"


def test_no_more_than_two_slices_a_slot_are_queued() -> None:
    """A full queue loses little when a worker dies, and never idles a slot."""
    state, actions = plan.step(plan.begin([range(10_000)], 1, 0), [plan.Slots(5)])
    assert len(actions) == 10
    state, actions = plan.step(state, [plan.Slots(5)])
    assert actions == []


def test_slices_grow_to_a_second_and_shrink_at_the_end() -> None:
    """Slices of a steady objective reach the target and end small enough that slots finish together."""
    world = World(0, 0.0)
    world.items, world.block, world.slots, world.pace = 400_000, 64, 4, 1e-4
    _, submitted = simulate(world)
    sizes = [len(submit.items) for submit in submitted]
    assert sizes[0] == 64
    assert 0.2 / 1e-4 < max(sizes) < 5 / 1e-4
    assert sizes[-1] < max(sizes) / 3


def test_a_range_that_kills_three_workers_ends_the_stage() -> None:
    """No poison slice loops for ever; the reason names its items."""
    state = plan.begin([range(4)], 4, 0)
    events: list[plan.Event] = [plan.Slots(1)]
    actions: list[plan.Action] = []
    for ticket in range(plan.DEATHS_ALLOWED):
        state, actions = plan.step(state, events)
        assert actions == [plan.Submit(ticket, range(4))]
        events = [Failed(ticket, "died", "killed")]
    state, actions = plan.step(state, events)
    assert actions == [plan.Abort("3 workers died over items 0 to 3: killed", users_fault=False)]


def test_losses_count_against_nobody() -> None:
    """A slice lost with its node comes back however often."""
    state, _ = plan.step(plan.begin([range(4)], 4, 0), [plan.Slots(1)])
    for ticket in range(50):
        state, actions = plan.step(state, [Failed(ticket, "lost", "gone"), plan.Slots(1)])
        assert actions == [plan.Submit(ticket + 1, range(4))]


def test_a_mistake_in_preparing_ends_the_stage_at_once() -> None:
    """What raises before an item is reached would raise everywhere."""
    state, _ = plan.step(plan.begin([range(4)], 4, 0), [plan.Slots(1)])
    _, actions = plan.step(state, [Failed(0, "raised", "no module named x")])
    assert actions == [plan.Abort("no module named x", users_fault=True)]
