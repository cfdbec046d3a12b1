"""The plan of a stage: a pure state machine, without a clock and without I/O, that hands out slices to slots.

    state, actions = step(state, events)

Slices affect the speed of a sweep, never its answer. A slice takes about a second of its slot (so that a lost one costs
little, and Ray's overhead of about a millisecond is negligible), consists of whole blocks where possible, and is
shorter towards the end, so that all slots finish together, slow ones too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from optitrip.core.executor import Done, Failed
from optitrip.scheduler import retries
from optitrip.scheduler.events import Abort, Action, Cancel, Cut, Drain, Event, ExecutorReplaced, Slots, Submit, Tick
from optitrip.scheduler.state import DEFAULT, SchedulerSettings, Slot, State
from optitrip.scheduler.story import Note

WORTH_SHARING = 0.02
"""Seconds of work below which the first slice of a stage, whose pace is known from others, is not made smaller."""
SUBMITS_PER_STEP = 64
"""Most slices per step: with thousands of slots, the outcomes of the first help to size the slices of the others."""
SLICES_A_SECOND = 1_000
"""Number of slices per second that the driver can process; with more slots than this, slices are longer."""
SHORTEST = 0.1
"""Shortest slice as a fraction of the target, for the last slices of a stage and for slots of unknown pace."""
WORK_SHARE = 0.5
"""Longest slice as a fraction of the time that all slots together need for the items left."""
LIMIT_SHARE = 0.25
"""Longest slice as a fraction of the time limit of an item."""
GROWTH = 8
"""Largest slice as a multiple of the largest one done so far: the time of a small slice is mostly overhead."""


def begin(
    missing: Sequence[range],
    block: int,
    next_ticket: int,
    whole_slices: Sequence[range] = (),
    settings: SchedulerSettings = DEFAULT,
    expected: float | None = None,
) -> State:
    """Return the initial state for evaluating the ranges `missing`, and those in `whole_slices` as one slice each.

    An item is `expected` to take so many seconds, if that is known.
    """
    todo = tuple(items for items in missing if items)
    count = sum(map(len, (*todo, *whole_slices)))
    start = todo[0].start if todo else 0
    return State(block, next_ticket, todo, count, count, settings, start, tuple(whole_slices), expected=expected)


def step(state: State, events: Sequence[Event]) -> tuple[State, list[Action]]:
    """Return the state after some events, and the actions to take; ignore outcomes of tickets not in flight."""
    state = State(**vars(state))
    state.slots, state.free = dict(state.slots), tuple(map(dict, state.free))
    state.notes = []
    actions: list[Action] = []
    for event in events:
        match event:
            case Slots():
                if event.names is not state.names:
                    _update_slots(state, event.names)
            case Cut():
                actions += _cut(state, event.stop)
            case Drain():
                state.draining = True
                state.note("draining", why="a stop was requested; no more slices are handed out")
            case ExecutorReplaced():
                _requeue_all(state)
            case Tick():
                state.now = event.now
            case Note():
                state.notes.append(event)
            case _:
                if submit := state.find(event):
                    actions += _take_outcome(state, submit, event)
    aborts: list[Action] = [action for action in actions if isinstance(action, Abort)]
    actions = aborts or actions + retries.check_stragglers(state) + _hand_out(state)
    state.story = state.story.then(state.notes, state.now)
    return state, actions


def _update_slots(state: State, names: tuple[str, ...]) -> None:
    before, now = set(state.names), set(names)
    for name in names:
        if name not in before:
            state.put(name, replace(state.slots.get(name, Slot()), removed=False))
            state.notes.append(Note("joined", slot=name))
    for name in before - now:
        state.put(name, replace(state.slots[name], removed=True))
        state.notes.append(Note("left", slot=name))
    state.names = names


def _requeue_all(state: State) -> None:
    """Requeue all slices in flight with their bounds unchanged, and remove all slots."""
    state.note("replaced", why="another executor takes over; all slices in flight are handed out again")
    for name, slot in list(state.slots.items()):
        for submit in slot.queue:
            if not retries.unpair(state, submit.ticket):
                state.requeue(submit.items)
        state.put(name, Slot(removed=True))
    state.names = ()


def _take_outcome(state: State, submit: Submit, event: Done | Failed) -> list[Action]:
    items = submit.items
    slot = state.slots[submit.slot].without(submit, state.now)
    if isinstance(event, Done):
        measured = max(event.seconds / len(items), 1e-12)
        pace = measured if slot.pace is None or len(items) > slot.largest else (slot.pace + measured) / 2
        state.put(submit.slot, Slot(slot.queue, pace, max(slot.largest, len(items)), slot.removed, slot.since))
        state.largest, state.measured = max(state.largest, len(items)), measured
        state.left -= len(items)
        state.note("done", submit, why=f"{event.seconds:.3f} s")
        return retries.drop_copy(state, submit.ticket, f"slice {submit.ticket}, of the same items, was done first")
    state.put(submit.slot, replace(slot, straggling=False))
    if event.kind == "setup error":
        state.note("aborted", submit, why=event.message)
        return [Abort(event.message)]
    return retries.slice_failed(state, submit, event)


def _cut(state: State, stop: int) -> list[Action]:
    """Skip items from `stop` on; drop slices in flight that reach past it, and requeue the part that is needed."""
    state.note("cut", why=f"only the first {stop:,} items are needed")
    originals = [
        copy.copy_of for copy in state.in_flight() if copy.copy_of is not None and copy.copy_of in state.copies
    ]
    dropped = [action for original in originals for action in retries.drop_copy(state, original, "the stage is cut")]
    requeued = list(state.requeued)
    for name, slot in list(state.slots.items()):
        for submit in slot.queue:
            if submit.items.stop > stop:
                requeued.append(submit.items)
                dropped.append(Cancel(submit.ticket))
        state.put(name, replace(slot, queue=tuple(submit for submit in slot.queue if submit.items.stop <= stop)))
    state.requeued = _before(stop, requeued)
    gaps = list(state.todo[state.gap :])
    if gaps:
        gaps[0] = range(state.start, gaps[0].stop)
    state.todo, state.gap = _before(stop, gaps), 0
    state.start = state.todo[0].start if state.todo else 0
    state.waiting = sum(map(len, (*state.todo, *state.requeued)))
    state.left = state.waiting + sum(len(submit.items) for submit in state.in_flight())
    return dropped


def _before(stop: int, ranges: Iterable[range]) -> tuple[range, ...]:
    return tuple(range(items.start, min(items.stop, stop)) for items in ranges if items and items.start < stop)


def _hand_out(state: State) -> list[Action]:
    """Hand out slices to idle slots, then queue a second one at each, so that none idles while the driver is busy."""
    if state.draining:
        return []
    if state.requeued or state.left == state.waiting:
        state.free[0].update((name, None) for name in state.names if state.slots[name].idle)
    actions: list[Action] = []
    for level in state.free:
        while level and state.waiting and len(actions) < SUBMITS_PER_STEP:
            name = next(iter(level))
            slot = state.slots[name]
            items = _next_slice(state, slot)
            if _accepts(state, slot, len(items)):
                _mark_handed_out(state, items)
                submit = state.submit(items, name)
                state.note("given", submit)
                actions.append(submit)
            else:
                del level[name]
        if not state.waiting:
            level.clear()
    return actions


def _next_slice(state: State, slot: Slot) -> range:
    if state.requeued:
        return state.requeued[0]
    end = state.start + _size_of(state, slot)
    # End at the last block border within reach, or else at the next one.
    stop = max(end // state.block, state.start // state.block + 1) * state.block
    return range(state.start, min(stop, state.todo[state.gap].stop))


def _mark_handed_out(state: State, items: range) -> None:
    state.waiting -= len(items)
    if state.requeued:
        state.requeued = state.requeued[1:]
    elif items.stop < state.todo[state.gap].stop:
        state.start = items.stop
    else:
        state.gap += 1
        state.start = state.todo[state.gap].start if state.gap < len(state.todo) else items.stop


def _accepts(state: State, slot: Slot, items: int) -> bool:
    """Return whether the stage ends sooner if a slot takes a slice now.

    It does not if the slice would queue behind another one while other slots could start it sooner, nor if the slot is
    so slow that the others could finish everything sooner. Then the slice waits for the next free slot.
    """
    if slot.pace is None or state.pace is None:
        return not slot.queue
    seconds = items * slot.pace
    if slot.queue:
        return seconds <= WORK_SHARE * state.seconds_for(state.waiting)
    busy = state.left > state.waiting
    return not busy or seconds <= WORK_SHARE * state.seconds_for(state.left) + items * state.pace


def _size_of(state: State, slot: Slot) -> int:
    """Return the approximate number of items for the next slice of a slot."""
    if state.settings.one_block or not (state.known or state.expected):
        return 1
    target = max(state.settings.target_seconds, len(state.names) / SLICES_A_SECOND)
    if state.settings.item_seconds is not None:  # a slice as long as the limit of an item would time out
        target = min(target, LIMIT_SHARE * state.settings.item_seconds)
    if not state.known and state.expected:
        equal = state.waiting * state.expected / max(1, len(state.names))
        return max(1, round(min(target, max(equal, WORTH_SHARING)) / state.expected))
    share = WORK_SHARE * state.seconds_for(state.waiting) if slot.pace else 0.0
    seconds = max(min(target, share), SHORTEST * target)
    return max(1, round(min(seconds / (slot.pace or state.pace or 1.0), GROWTH * state.largest)))
