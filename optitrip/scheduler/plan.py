"""Who gets which slice: a pure state machine, without a clock and without I/O.

    state, actions = step(state, events)

Slices are a matter of speed only. They take about a second of the slot that gets them (a lost one costs no more, and
Ray's own cost of about a millisecond vanishes), hold whole blocks where they can, and shrink towards the end so that
all slots finish together, the slow ones too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from optitrip.core.executor import Done, Failed
from optitrip.scheduler import retries, sizing, stragglers
from optitrip.scheduler.events import (
    Abort,
    Action,
    Cancel,
    Cut,
    Drain,
    Event,
    ExecutorReplaced,
    Remark,
    Slots,
    Submit,
    Tick,
)
from optitrip.scheduler.settings import DEFAULT, SchedulerSettings
from optitrip.scheduler.state import Slot, State, put

AT_ONCE = 64
"""Slices handed out by one step: with thousands of slots, the first ones tell how long those of the others should be.
"""


def begin(
    missing: Sequence[range],
    block: int,
    next_ticket: int,
    limit: float | None = None,
    uncut: Sequence[range] = (),
    settings: SchedulerSettings = DEFAULT,
) -> State:
    """The state of a stage of which `missing` is to be evaluated, in blocks, and `uncut` as it is; `limit` is in
    seconds an item."""
    todo = tuple(items for items in missing if items)
    count = sum(map(len, (*todo, *uncut)))
    start = todo[0].start if todo else 0
    return State(block, next_ticket, limit, todo, count, count, settings, start=start, again=tuple(uncut))


def step(state: State, events: Sequence[Event]) -> tuple[State, list[Action]]:
    """Take in events, hand out slices.

    Outcomes of tickets that are not in flight (stale, duplicate) change nothing.
    """
    state = State(**vars(state))
    state.slots, state.free = dict(state.slots), tuple(map(dict, state.free))
    state.notes = []
    done: list[Action] = []
    for event in events:
        if isinstance(event, Slots):
            if event.names is not state.names:
                _there_are(state, event.names)
        elif isinstance(event, Cut):
            done += _cut(state, event.stop)
        elif isinstance(event, Drain):
            state.draining = True
            state.note("draining", why="someone asked to stop: nothing more is handed out")
        elif isinstance(event, ExecutorReplaced):
            _requeue(state)
        elif isinstance(event, Tick):
            state.now = event.now
        elif isinstance(event, Remark):
            state.note(event.what, why=event.text)
        elif (name := state.holder(event)) is not None:
            done += _take_in(state, name, event)
    aborts: list[Action] = [action for action in done if isinstance(action, Abort)]
    actions = aborts or done + stragglers.look(state) + _hand_out(state)
    state.story = state.story.then(state.notes, state.now)
    return state, actions


def _there_are(state: State, names: tuple[str, ...]) -> None:
    before, now = set(state.names), set(names)
    for name in names:
        if name not in before:
            put(state, name, replace(state.slots.get(name, Slot()), gone=False))
            state.note("joined", slot=name)
    for name in before - now:
        put(state, name, replace(state.slots[name], gone=True))
        state.note("left", slot=name)
    state.names = names


def _requeue(state: State) -> None:
    """All that is in flight comes back, as it was handed out, and no slots are left."""
    state.note("replaced", why="another executor takes over; what was in flight is handed out again")
    for name, slot in list(state.slots.items()):
        for submit in slot.queue:
            if not stragglers.forget(state, submit.ticket):
                state.again += (submit.items,)
                state.waiting += len(submit.items)
        put(state, name, Slot(gone=True))
    state.names = ()


def _take_in(state: State, name: str, event: Done | Failed) -> list[Action]:
    """What became of a slice that a slot holds."""
    slot = state.slots[name]
    submit = slot.find(event.ticket)
    assert submit is not None
    items = submit.items
    slot = slot.without(submit, state.now)
    if isinstance(event, Done):
        measured = max(event.seconds / len(items), 1e-12)
        pace = measured if slot.pace is None or len(items) > slot.largest else (slot.pace + measured) / 2
        put(state, name, Slot(slot.queue, pace, max(slot.largest, len(items)), slot.gone, slot.since))
        state.largest, state.measured = max(state.largest, len(items)), measured
        state.left -= len(items)
        state.note("done", submit, why=f"{event.seconds:.3f} s")
        return stragglers.drop_other(state, submit.ticket)
    put(state, name, Slot(slot.queue, slot.pace, slot.largest, slot.gone, slot.since))
    if event.kind == "setup error":
        state.note("aborted", submit, why=event.message)
        return [Abort(event.message, users_fault=True)]
    return retries.failed(state, submit, event)


def _cut(state: State, stop: int) -> list[Action]:
    """Forget what is not needed; of a slice in flight that is needed in part, that part comes back."""
    state.note("cut", why=f"only the first {stop:,} items are needed")
    dropped = stragglers.drop_all(state)
    clipped = [before(items, stop) for items in state.again]
    for name, slot in list(state.slots.items()):
        for submit in slot.queue:
            if submit.items.stop > stop:
                clipped.append(before(submit.items, stop))
                dropped.append(Cancel(submit.ticket))
        put(state, name, replace(slot, queue=tuple(one for one in slot.queue if one.items.stop <= stop)))
    state.again = tuple(items for items in clipped if items)
    rest = [before(items, stop) for items in (range(state.start, gap.stop) for gap in state.todo[state.gap :][:1])]
    rest += [before(gap, stop) for gap in state.todo[state.gap + 1 :]]
    state.todo, state.gap = tuple(items for items in rest if items), 0
    state.start = state.todo[0].start if state.todo else 0
    state.waiting = sum(map(len, (*state.todo, *state.again)))
    state.left = state.waiting + sum(len(submit.items) for submit in state.flying())
    return dropped


def before(items: range, stop: int) -> range:
    return range(items.start, max(items.start, min(items.stop, stop)))


def _hand_out(state: State) -> list[Action]:
    """Slices for the slots that are idle, then for those that have one: it never idles while the driver is busy."""
    if state.draining:
        return []
    if state.again or state.left == state.waiting:
        state.free[0].update((name, None) for name in state.names if state.slots[name].idle)
    actions: list[Action] = []
    for level in state.free:
        while level and state.waiting and len(actions) < AT_ONCE:
            name = next(iter(level))
            slot = state.slots[name]
            items = _next(state, slot)
            if sizing.accepts(state, slot, len(items)):
                submit = Submit(state.next_ticket, items, name)
                state.next_ticket += 1
                _take_out(state, items)
                put(state, name, slot.with_more(submit, state.now))
                state.note("given", submit)
                actions.append(submit)
            else:
                del level[name]
        if not state.waiting:
            level.clear()
    return actions


def _next(state: State, slot: Slot) -> range:
    """The slice that a slot would be given."""
    if state.again:
        return state.again[0]
    stop = sizing.stop_of(state.start, sizing.size_of(state, slot), state.block)
    return range(state.start, min(stop, state.todo[state.gap].stop))


def _take_out(state: State, items: range) -> None:
    state.waiting -= len(items)
    if state.again:
        state.again = state.again[1:]
    elif items.stop < state.todo[state.gap].stop:
        state.start = items.stop
    else:
        state.gap += 1
        state.start = state.todo[state.gap].start if state.gap < len(state.todo) else items.stop
