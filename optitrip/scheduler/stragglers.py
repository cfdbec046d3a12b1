"""Slices that take far longer than they should, e.g. because their worker was stopped or its machine is slow.

When nothing else is left for the others to do, one of them evaluates a copy; whichever is done first counts. Without
that the slowest worker would decide how long a sweep takes, and one that is stopped would stop it for ever (Dean and
Ghemawat, MapReduce, OSDI 2004, section 3.6: backup tasks).
"""

from __future__ import annotations

from dataclasses import replace

from optitrip.scheduler.events import Action, Cancel, Submit
from optitrip.scheduler.state import Slot, State, put


def look(state: State) -> list[Action]:
    """Once in a while, when nothing is left to hand out and slots are idle: what is queued behind a late slice is taken
    back, to be handed to others; if nothing is, late slices are copied, once each.

    Not where an item may take only so long: what takes too long is ended there.
    """
    if state.now - state.looked < state.settings.look_seconds or state.limit is not None or state.measured is None:
        return []
    state.looked = state.now
    if state.waiting or state.draining:
        return []
    idle = [name for name in state.names if state.slots[name].idle]
    late = [name for name, slot in state.slots.items() if slot.queue and is_late(state, slot)] if idle else []
    taken = [action for name in late for action in _take_back(state, name)]
    if taken:
        return taken
    given_up: list[Action] = []
    alone: list[str] = []
    for name in late:
        first = state.slots[name].queue[0]
        if first.ticket not in state.copies:
            alone.append(name)
        elif first.copy_of is not None:
            given_up += _give_up(state, name)
    return given_up + [_copy(state, name, other) for name, other in zip(alone, idle, strict=False)]


def is_late(state: State, slot: Slot) -> bool:
    """A copy is late only when the slice that it is a copy of had not been out for a third of its time: an item that
    just takes long should not occupy one idle slot after the other."""
    first = slot.queue[0]
    expected = len(first.items) * (slot.pace or state.pace or state.measured or 0.0)
    if first.copy_of in state.copies:
        expected = max(slot.since - one.since for one in state.slots.values() if one.find(state.copies[first.ticket]))
    return state.now - slot.since > max(state.settings.late_seconds, state.settings.late_times * expected)


def _give_up(state: State, name: str) -> list[Action]:
    """A copy that is late, too, e.g. because its slot was stopped: another one may take its place."""
    slot = state.slots[name]
    first = slot.queue[0]
    forget(state, first.ticket)
    state.note("dropped", first, why="a copy that is late, too")
    put(state, name, replace(slot.without(first, state.now), late=True))
    return [Cancel(first.ticket)]


def _take_back(state: State, name: str) -> list[Action]:
    slot = state.slots[name]
    for submit in slot.queue[1:]:
        if not forget(state, submit.ticket):
            state.note("reclaimed", submit, why="it waited behind a late slice")
            state.again += (submit.items,)
            state.waiting += len(submit.items)
    put(state, name, replace(slot, queue=slot.queue[:1], late=True))
    return [Cancel(submit.ticket) for submit in slot.queue[1:]]


def _copy(state: State, name: str, other: str) -> Submit:
    first = state.slots[name].queue[0]
    submit = Submit(state.next_ticket, first.items, other, copy_of=first.ticket)
    state.next_ticket += 1
    state.note("copied", submit, why=f"slice {first.ticket} at {name} takes much longer than expected")
    state.copies = {**state.copies, first.ticket: submit.ticket, submit.ticket: first.ticket}
    put(state, name, replace(state.slots[name], late=True))
    put(state, other, state.slots[other].with_more(submit, state.now))
    return submit


def forget(state: State, ticket: int) -> bool:
    """One of two is no more; whether there were two."""
    other = state.copies.get(ticket)
    state.copies = {one: two for one, two in state.copies.items() if ticket not in (one, two)}
    return other is not None


def drop_other(state: State, ticket: int) -> list[Action]:
    """One of two is done, so the other one is not needed."""
    other = state.copies.get(ticket)
    if other is None:
        return []
    forget(state, ticket)
    for name, slot in state.slots.items():
        if submit := slot.find(other):
            put(state, name, slot.without(submit, state.now))
            state.note("dropped", submit, why="the other one of two was done first")
            return [Cancel(other)]
    return []


def drop_all(state: State) -> list[Action]:
    """No slice is there twice any more."""
    dropped: list[Action] = []
    for slot in list(state.slots.values()):
        for submit in slot.queue:
            if submit.copy_of is not None and submit.copy_of in state.copies:
                dropped += drop_other(state, submit.copy_of)
    return dropped
