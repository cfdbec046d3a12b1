"""The plan in a simulation: whatever happens to slices, a stage ends complete and nothing is evaluated needlessly."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos import Faults, slot_names
from optitrip.core.executor import Done, Failed
from optitrip.core.part import Part
from optitrip.scheduler import plan, retries
from optitrip.scheduler.events import Abort, Cancel, Drain, Event, ExecutorReplaced, RecordFailed, Slots, Submit, Tick
from optitrip.scheduler.state import SchedulerSettings, State
from optitrip.scheduler.story import MAX_ENTRIES, Note, Story, lines
from quick_tests import examples
from virtual_cluster import Cluster, item_costs, uneven

SEEDS = 200


class World(Faults):
    """A cluster in virtual time: slots of uneven speed under faults."""

    def __init__(self, seed: int, trouble: float) -> None:
        super().__init__(seed, trouble)
        self.seed = seed
        self.items = self.random.choice([1, 2, 63, 64, 65, 1_000, 12_345])
        self.block = self.random.choice([1, 1, 7, 64])
        self.slots = slot_names(self.random.randint(1, 9))
        self.pace = 10 ** self.random.uniform(-6, 0.5)
        """Mean seconds of an item."""
        self.flying: dict[int, Submit] = {}
        self.finished: dict[range, None] = {}
        self.frozen: frozenset[str] = frozenset()
        """Slots that never report anything."""
        self.now = 0.0

    def happen(self) -> list[Event]:
        """Return what happens next: outcomes, the slots and the time."""
        reporting = [ticket for ticket, submit in self.flying.items() if submit.slot not in self.frozen]
        events = [self.outcome(self.flying.pop(ticket)) for ticket in self.ended(reporting, fewest=1)]
        if self.trouble:
            events = self.reported(events)
            self.slots = self.changed(self.slots, fewest=0 if self.random.random() < 0.1 else 1)
        self.now += self.random.choice([0.0, 0.1, 5.0, 20.0])
        return [*events, Slots(self.slots), Tick(self.now)]

    def outcome(self, submit: Submit) -> Done | Failed:
        if failed := self.failure(submit.ticket, submit.items):
            return failed
        self.finished[submit.items] = None  # perhaps with its copy, in the same moment
        seconds = len(submit.items) * self.pace * self.random.uniform(0.3, 3)
        return Done(submit.ticket, Part(submit.items, {}), seconds, submit.slot)


def invalid(world: World, state: State) -> str:
    """Return what is wrong with a state; empty if nothing is."""
    flying = {submit.ticket: submit for submit in state.in_flight()}
    rates = [slot.rate for slot in state.slots.values()]
    if flying != world.flying:
        return f"in flight are {sorted(world.flying)}, the plan has {sorted(flying)}"
    if state.left != state.waiting + sum(map(len, {submit.items for submit in state.in_flight()})):
        return f"{state.left} are left, {state.waiting} of them wait, in flight are {sorted(flying)}"
    if not math.isclose(state.rate, sum(rates)) or state.known != sum(rate > 0 for rate in rates):
        return f"the rate is {state.rate} of {state.known}, by slots {rates}"
    return ""


def about(state: State, item: int) -> list[Note]:
    """Return the notes of the story that concern an item, or no items in particular."""
    return [note for note in state.story.entries if not note.items or item in note.items]


def text(entries: list[Note]) -> list[str]:
    return list(lines(note.to_json() for note in entries))


def simulate(world: World, gaps: list[range] | None = None) -> tuple[State, list[Submit]]:
    if gaps is None and world.items > 100:
        cut = world.random.randint(1, world.items - 1)
        gaps = [gap for gap in (range(0, cut // 2), range(cut, world.items)) if gap]
    gaps = gaps or [range(0, world.items)]
    state = plan.begin(gaps, world.block, next_ticket=17)
    events: list[Event] = [Slots(world.slots)]
    submitted: list[Submit] = []
    for _ in range(100_000):
        state, actions = plan.step(state, events)
        for action in actions:
            if isinstance(action, RecordFailed):
                assert action.item in world.poison
                world.finished[range(action.item, action.item + 1)] = None
                continue
            if isinstance(action, Cancel):
                submit = world.flying.pop(action.ticket, None)  # None if it was done in this step
                if submit and world.trouble:
                    world.past.append(Done(action.ticket, Part(submit.items, {}), 1.0, submit.slot))
                continue
            assert isinstance(action, Submit), action
            assert action.slot in world.slots
            submitted.append(action)
            world.flying[action.ticket] = action
        problem = invalid(world, state)
        assert not problem, "\n".join([f"seed {world.seed}: {problem}", *text(state.story.entries)])
        if state.complete:
            covered = sorted(world.finished, key=lambda items: items.start)
            assert [n for gap in gaps for n in gap] == [n for items in covered for n in items]
            return state, submitted
        if world.flying:
            events = world.happen()
        else:
            world.slots = slot_names(1)
            events = [Slots(world.slots)]
    raise AssertionError(f"seed {world.seed}: the stage never ended")


@pytest.mark.mostly_daily
@pytest.mark.parametrize("trouble", [0.0, 0.2])
def test_every_item_is_done_exactly_once_whatever_happens(trouble: float) -> None:
    """Deaths, losses, duplicates, stale outcomes and changing slots: complete, nothing twice, tickets never reused."""
    for seed in range(SEEDS):
        state, submitted = simulate(World(seed, trouble))
        tickets = [submit.ticket for submit in submitted]
        assert tickets == list(range(17, 17 + len(tickets))), f"seed {seed}"
        assert state.next_ticket == 17 + len(tickets)


@pytest.mark.daily
def test_slices_hold_whole_blocks_but_at_the_ends() -> None:
    """Inner borders of slices are borders of blocks, so no block is evaluated twice."""
    for seed in range(300):
        world = World(seed, 0.0)
        _, submitted = simulate(world)
        ends = {submit.items.stop for submit in submitted}
        starts = {submit.items.start for submit in submitted}
        assert all(border % world.block == 0 for border in ends & starts), f"seed {seed}"


def test_no_more_than_two_slices_a_slot_are_queued() -> None:
    """One each until a pace is known, then two: few slices are lost when a worker dies, and no slot idles while the
    driver is busy."""
    state, actions = plan.step(plan.begin([range(10_000)], 1, 0), [Slots(slot_names(5))])
    assert [action.slot for action in actions if isinstance(action, Submit)] == [*slot_names(5)]
    state, actions = plan.step(state, [Slots(slot_names(5))])
    assert actions == []
    state, _ = plan.step(state, [Done(n, Part(range(n, n + 1), {}), 0.01, f"slot {n}") for n in range(5)])
    assert [len(slot.queue) for slot in state.slots.values()] == [2] * 5
    assert plan.step(state, [])[1] == []


def test_a_long_item_waits_for_the_slot_that_is_free_first() -> None:
    """At the end, nothing is queued behind a long item: another slot may be free long before."""
    state, _ = plan.step(plan.begin([range(5)], 1, 0), [Slots(slot_names(2))])
    state, actions = plan.step(state, [Done(0, Part(range(0, 1), {}), 60.0, "slot 0")])
    assert actions == [Submit(2, range(2, 3), "slot 0")]
    state, actions = plan.step(state, [Done(2, Part(range(2, 3), {}), 60.0, "slot 0")])
    assert actions == [Submit(3, range(3, 4), "slot 0")]


def test_a_slow_slot_leaves_the_last_items_to_faster_ones_unless_there_are_none() -> None:
    """A slot that would finish last stays idle; but a slot that is alone does everything."""
    state, _ = plan.step(plan.begin([range(4)], 1, 0), [Slots(("fast", "slow"))])
    state, actions = plan.step(state, [Done(0, Part(range(0, 1), {}), 1.0, "fast")])
    assert actions == [Submit(2, range(2, 3), "fast")]
    state, actions = plan.step(state, [Done(1, Part(range(1, 2), {}), 100.0, "slow")])
    assert actions == []
    state, actions = plan.step(state, [Slots(("slow",)), Failed(2, "lost", "gone")])
    assert actions == [Submit(3, range(2, 3), "slow")]


def test_few_slices_are_handed_out_before_anything_is_known() -> None:
    """With thousands of slots, the first ones show how long the slices of the others should be."""
    state, actions = plan.step(plan.begin([range(10**9)], 1, 0), [Slots(slot_names(1_000))])
    assert len(actions) == plan.SUBMITS_PER_STEP
    _, actions = plan.step(state, [Done(0, Part(range(0, 1), {}), 1e-6, "slot 0")])
    assert {len(action.items) for action in actions if isinstance(action, Submit)} == {plan.GROWTH}


@examples(30)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 30),
    seconds=st.sampled_from([0.001, 0.01, 0.1, 1.0]),
    varying=st.booleans(),
    block=st.sampled_from([1, 16]),
)
@pytest.mark.daily
def test_uneven_slots_finish_together(seed: int, count: int, seconds: float, varying: bool, block: int) -> None:
    """In virtual time, slots of very different speed finish within 1.05 of the ideal, plus the time of one block, and
    every item is handed out once."""
    slowness = uneven(count, seed)
    seconds /= block
    cluster = Cluster(slowness, item_costs(seconds, 30.0, slowness, varying, seed), latency=0.002)
    over = cluster.run(block)
    longest = block * (float(cluster.costs.max()) if block == 1 else seconds * 2) * float(slowness.max())
    assert over * cluster.ideal <= 1.05 * cluster.ideal + 2 * longest
    covered = sorted(cluster.handed_out, key=lambda items: items.start)
    assert [n for items in covered for n in items] == list(range(len(cluster.costs)))


def test_slices_grow_to_a_second_and_shrink_at_the_end() -> None:
    """Slices of a steady objective reach the target and end small enough that slots finish together."""
    world = World(0, 0.0)
    world.items, world.block, world.slots, world.pace = 400_000, 64, slot_names(4), 1e-4
    _, submitted = simulate(world)
    sizes = [len(submit.items) for submit in submitted]
    assert sizes[0] == 64
    assert 0.2 / 1e-4 < max(sizes) < 5 / 1e-4
    assert sizes[-1] < max(sizes) / 3


@pytest.mark.parametrize("poisons", [1, 20])
def test_an_item_that_kills_its_workers_is_recorded_as_failed_and_no_other(poisons: int) -> None:
    """Halving isolates it, all others are done, and at most 3 (log2(slice) + 1) workers die for each."""
    for seed in range(100 // poisons + 20):
        world = World(seed, 0.0)
        world.items, world.pace = 10_000, 10 ** world.random.uniform(-6, -3)
        world.poison = frozenset(world.random.sample(range(10_000), poisons))
        gaps = [range(0, world.items)]
        state, submitted = simulate(world, gaps)
        largest = max(len(submit.items) for submit in submitted)
        assert state.left == 0
        for item in world.poison if poisons == 1 else ():  # the story of many is longer than the part that is stored
            story = about(state, item)
            (end,) = [note for note in story if note.what == "item-failed"]
            assert re.fullmatch(r"\d+ workers died evaluating it by itself", end.why)
            assert [note.what for note in story].count("died") >= 2
        assert world.wasted <= poisons * 3 * (math.ceil(math.log2(largest)) + 1), f"seed {seed}"


def test_a_slice_that_kills_twice_is_halved_at_a_border_of_blocks() -> None:
    """Blocks keep their shape and places, and therefore the bits of their losses."""
    state, actions = plan.step(plan.begin([range(40)], 16, 0), [Slots(("slot",))])
    for ticket in range(2):
        assert actions == [Submit(ticket, range(16), "slot")]
        state, actions = plan.step(state, [Failed(ticket, "died", "killed")])
    assert actions == [Submit(2, range(8), "slot")]
    assert retries.halves(range(5, 40), 16) == (range(5, 16), range(16, 40))
    assert retries.halves(range(17, 30), 16) == (range(17, 23), range(23, 30))


def test_an_item_alone_may_kill_two_workers_but_not_three() -> None:
    """Other ranges that it was in do not count: it must have been alone."""
    state, actions = plan.step(plan.begin([range(1)], 1, 0), [Slots(slot_names(1))])
    for ticket in range(3):
        assert actions == [Submit(ticket, range(1), "slot 0")]
        state, actions = plan.step(state, [Failed(ticket, "died", "killed")])
    assert actions == [RecordFailed(0, "died", "killed")]
    assert state.complete


def test_lost_slices_count_against_no_item() -> None:
    """A slice lost with its node is handed out again, however often that happens."""
    state, _ = plan.step(plan.begin([range(4)], 4, 0), [Slots(slot_names(1))])
    for ticket in range(50):
        state, actions = plan.step(state, [Failed(ticket, "lost", "gone"), Slots(slot_names(1))])
        assert actions == [Submit(ticket + 1, range(4), "slot 0")]


def test_a_setup_error_ends_the_stage_at_once() -> None:
    """An exception before any item is evaluated would be raised on every worker."""
    state, _ = plan.step(plan.begin([range(4)], 4, 0), [Slots(slot_names(1))])
    _, actions = plan.step(state, [Failed(0, "setup error", "no module named x")])
    assert actions == [Abort("no module named x")]


def test_a_slice_that_times_out_is_halved_and_alone_it_is_a_timeout_at_once() -> None:
    """It is not retried first, since that would take as long again."""
    state, actions = plan.step(
        plan.begin([range(2)], 2, 0, settings=SchedulerSettings(item_seconds=1.0)), [Slots(slot_names(1))]
    )
    assert actions == [Submit(0, range(2), "slot 0")]
    state, actions = plan.step(state, [Failed(0, "timed out", "killed")])
    assert actions == [Submit(1, range(1), "slot 0")]
    state, actions = plan.step(state, [Failed(1, "timed out", "killed")])
    assert actions == [RecordFailed(0, "timeout", "killed"), Submit(2, range(1, 2), "slot 0")]


def test_slices_are_much_shorter_than_the_time_limit_of_an_item() -> None:
    """Otherwise a slice would be killed because it has many items."""
    world = World(0, 0.0)
    world.items, world.block, world.slots, world.pace = 400_000, 64, slot_names(4), 1e-4
    state = plan.begin([range(world.items)], world.block, 17, settings=SchedulerSettings(item_seconds=0.2))
    events: list[Event] = [Slots(world.slots)]
    while not state.complete:
        state, actions = plan.step(state, events)
        world.flying |= {action.ticket: action for action in actions if isinstance(action, Submit)}
        assert all(len(submit.items) * world.pace < 0.2 for submit in world.flying.values())
        events = [
            Done(ticket, Part(submit.items, {}), len(submit.items) * world.pace, submit.slot)
            for ticket, submit in world.flying.items()
        ]
        world.flying.clear()


@pytest.mark.parametrize("trouble", [0.0, 0.2])
def test_slots_that_never_answer_stop_nothing(trouble: float) -> None:
    """If a worker is stopped or waits for ever, another one evaluates its slices, each once."""
    copied = 0
    for seed in range(100):
        world = World(seed, trouble)
        world.slots = slot_names(world.random.randint(2, 9))
        world.frozen = frozenset(world.random.sample(world.slots[1:], k=world.random.randint(1, len(world.slots) - 1)))
        _, submitted = simulate(world)
        copies = [submit for submit in submitted if submit.copy_of is not None]
        if not trouble:  # which loses backup copies as well
            assert len({submit.copy_of for submit in copies}) == len(copies)
        copied += len(copies)
    assert copied > 50


def test_stragglers_are_copied_only_when_other_slots_are_idle() -> None:
    """Over three times the expected time and ten seconds, with everything else handed out; the first outcome counts."""

    def step(state: State, now: float, *done: Submit) -> tuple[State, list[Submit]]:
        events = [Done(one.ticket, Part(one.items, {}), 1.0, one.slot) for one in done]
        state, actions = plan.step(state, [Slots(slot_names(2)), *events, Tick(now)])
        return state, [action for action in actions if isinstance(action, Submit)]

    state, (one, other) = step(plan.begin([range(4)], 1, 0), 0.0)
    state, (third,) = step(state, 1.0, one)
    state, (fourth,) = step(state, 2.0, third)
    state, submits = step(state, 100.0)
    assert submits == []  # the first slot is busy with the fourth item
    state, (copy,) = step(state, 102.0, fourth)
    assert copy == Submit(4, other.items, one.slot, copy_of=other.ticket)
    state, submits = step(state, 200.0)
    assert submits == []  # one backup copy is enough
    for first, second in ((other, copy), (copy, other)):
        ended, actions = plan.step(state, [Done(first.ticket, Part(first.items, {}), 99.0, first.slot)])
        assert ended.complete
        assert actions == [Cancel(second.ticket)]
        assert list(ended.in_flight()) == []


def test_a_story_records_what_happened_and_why() -> None:
    """Each entry has the time since the stage began, the slice, its slot and the reason."""
    state, _ = plan.step(plan.begin([range(40)], 16, 0), [Slots(("slot",)), Tick(100.0)])
    for ticket in range(2):
        state, _ = plan.step(state, [Failed(ticket, "died", "killed"), Tick(101.5 + ticket)])
    state, _ = plan.step(state, [ExecutorReplaced(), Slots(("other",)), Tick(104.0)])
    state, _ = plan.step(state, [Done(3, Part(range(8), {}), 0.25, "other"), Drain(), Tick(104.5)])
    assert text(about(state, 3)) == [
        "    0.000 s  joined     at slot",
        "    0.000 s  given      slice 0, items 0 to 15, at slot",
        "    1.500 s  died       slice 0, items 0 to 15, at slot: killed",
        "    1.500 s  given      slice 1, items 0 to 15, at slot",
        "    2.500 s  died       slice 1, items 0 to 15, at slot: killed",
        "    2.500 s  halved     items 0 to 15: 2 workers died evaluating it",
        "    2.500 s  given      slice 2, items 0 to 7, at slot",
        "    4.000 s  replaced   another executor takes over; all slices in flight are\n"
        "                        handed out again",
        "    4.000 s  joined     at other",
        "    4.500 s  draining   a stop was requested; no more slices are handed out",
    ]
    assert "    4.500 s  done       slice 3, items 8 to 15, at other: 0.250 s" in text(state.story.entries)


def test_a_story_is_bounded_and_keeps_what_seldom_happens() -> None:
    """Millions of slices do not crowd out the one death; dropped entries are counted."""
    story = Story().then([Note("died", 7, range(3))], 0.0)
    for number in range(3 * MAX_ENTRIES):
        story = story.then([Note("given", number), Note("done", number)], 1.0 + number)
    stored = story.to_json()
    assert len(stored["entries"]) == MAX_ENTRIES + 1
    assert stored["entries"][0][1:3] == ["died", 7]
    assert stored["dropped"] == 5 * MAX_ENTRIES
    assert stored["counts"] == {"died": 1, "given": 3 * MAX_ENTRIES, "done": 3 * MAX_ENTRIES}


def test_another_executor_takes_over_all_that_was_in_flight() -> None:
    """With its bounds unchanged; outcomes of the same step count, and the slots of the previous executor are gone."""
    for seed in range(50):
        world = World(seed, 0.2)
        state = plan.begin([range(world.items)], world.block, 0)
        events: list[Event] = [Slots(world.slots)]
        count = 0
        while not state.complete:
            state, actions = plan.step(state, events)
            world.flying |= {action.ticket: action for action in actions if isinstance(action, Submit)}
            for action in actions:
                if isinstance(action, Cancel):
                    world.flying.pop(action.ticket, None)
            events = world.happen() if world.flying else [Slots(slot_names(1))]
            count += 1
            if count % 7 == 3:
                world.flying.clear()
                names = tuple(f"{name} of {count}" for name in world.slots)
                events = [*events[:-2], ExecutorReplaced(), Slots(names), *events[-1:]]
                world.slots = names
        covered = sorted(world.finished, key=lambda items: items.start)
        assert [n for items in covered for n in items] == list(range(world.items)), f"seed {seed}"
