"""Who gets which slice: a pure state machine, without a clock and without I/O.

    state, actions = step(state, events)

Slices are a matter of speed only. They take about a second (a lost one costs no more, and Ray's own cost of about a
millisecond vanishes), hold whole blocks where they can, and shrink towards the end so that all slots finish together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from optitrip.executors import Done, Failed

TARGET_SECONDS = 1.0
SHORTEST_SECONDS = 0.1
GROWTH = 8
"""A slice has at most this many times the items of the largest that is done: the first ones measure mostly overhead."""
QUEUED_PER_SLOT = 2
DEATHS_ALLOWED = 3


@dataclass(frozen=True)
class Slots:
    """How many slices can run now."""

    count: int


Event = Done | Failed | Slots


@dataclass(frozen=True)
class Submit:
    """Hand out a slice."""

    ticket: int
    items: range


@dataclass(frozen=True)
class Abort:
    """The stage cannot go on."""

    reason: str
    users_fault: bool


Action = Submit | Abort


@dataclass(frozen=True)
class State:
    """Where a stage stands."""

    block: int
    next_ticket: int
    todo: tuple[range, ...]
    """Not handed out; disjoint and ascending."""
    again: tuple[range, ...] = ()
    """Came back without a part; handed out first, with their bounds unchanged."""
    flying: Mapping[int, range] = field(default_factory=dict[int, range])
    deaths: Mapping[range, int] = field(default_factory=dict[range, int])
    slots: int = 0
    pace: float | None = None
    """Seconds an item takes on one slot."""
    largest: int = 0
    """Items of the largest slice that is done."""

    @property
    def complete(self) -> bool:
        return not (self.todo or self.again or self.flying)

    @property
    def waiting(self) -> int:
        """Items that are not handed out."""
        return sum(map(len, self.todo)) + sum(map(len, self.again))

    @property
    def seconds_left(self) -> float | None:
        """On one slot."""
        remaining = self.waiting + sum(map(len, self.flying.values()))
        return None if self.pace is None else remaining * self.pace


def begin(missing: Sequence[range], block: int, next_ticket: int) -> State:
    """The state of a stage of which `missing` is to be evaluated, in blocks of `block`."""
    return State(block=block, next_ticket=next_ticket, todo=tuple(missing))


def step(state: State, events: Sequence[Event]) -> tuple[State, list[Action]]:
    """Take in events, hand out slices.

    Outcomes of tickets that are not in flight (stale, duplicate) change nothing.
    """
    flying, deaths, again = dict(state.flying), dict(state.deaths), list(state.again)
    pace, largest, slots = state.pace, state.largest, state.slots
    aborts: list[Action] = []
    for event in events:
        if isinstance(event, Slots):
            slots = event.count
            continue
        items = flying.pop(event.ticket, None)
        if items is None:
            continue
        if isinstance(event, Done):
            measured = event.seconds / len(items)
            pace = measured if pace is None or len(items) > largest else (pace + measured) / 2
            largest = max(largest, len(items))
        elif event.kind == "raised":
            aborts.append(Abort(event.message, users_fault=True))
        else:
            again.append(items)
            deaths[items] = deaths.get(items, 0) + (event.kind == "died")
            if deaths[items] >= DEATHS_ALLOWED:
                reason = f"{deaths[items]} workers died over items {items.start} to {items.stop - 1}: {event.message}"
                aborts.append(Abort(reason, users_fault=False))
    state = replace(state, flying=flying, deaths=deaths, again=tuple(again), pace=pace, largest=largest, slots=slots)
    return (state, aborts) if aborts else _hand_out(state)


def _hand_out(state: State) -> tuple[State, list[Action]]:
    todo, again, flying = list(state.todo), list(state.again), dict(state.flying)
    ticket, actions = state.next_ticket, list[Action]()
    waiting = state.waiting
    while (todo or again) and len(flying) < QUEUED_PER_SLOT * state.slots:
        if again:
            items = again.pop(0)
        else:
            first = todo.pop(0)
            stop = min(first.stop, _stop(first.start, _size(state, waiting), state.block))
            items = range(first.start, stop)
            if stop < first.stop:
                todo.insert(0, range(stop, first.stop))
        waiting -= len(items)
        flying[ticket] = items
        actions.append(Submit(ticket, items))
        ticket += 1
    return replace(state, todo=tuple(todo), again=tuple(again), flying=flying, next_ticket=ticket), actions


def _size(state: State, waiting: int) -> int:
    """Items of the next slice, of `waiting` that are left."""
    if state.pace is None:
        return state.block
    pace = max(state.pace, 1e-12)
    share = waiting / (QUEUED_PER_SLOT * max(state.slots, 1))
    wanted = max(min(TARGET_SECONDS / pace, share), SHORTEST_SECONDS / pace)
    return max(1, int(min(wanted, GROWTH * state.largest)))


def _stop(start: int, size: int, block: int) -> int:
    """The end of a slice of about `size` items from `start`: the last border of blocks in it, or else the next one."""
    return max((start + size) // block, start // block + 1) * block
