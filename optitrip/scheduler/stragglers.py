"""Stragglers: slices that take far longer than expected, e.g. because their worker was stopped or its machine is slow.

When nothing else is left to hand out, another slot evaluates a backup copy; the first result wins. Without backup
copies the slowest worker would decide how long a sweep takes, and a stopped worker would stop it for ever (Dean and
Ghemawat, MapReduce, OSDI 2004, section 3.6: backup tasks).
"""

from __future__ import annotations

from dataclasses import replace

from optitrip.scheduler.events import Action, Cancel, Submit
from optitrip.scheduler.state import Slot, State, put


def check(state: State) -> list[Action]:
    """Reclaim slices queued behind stragglers; if there are none, start one backup copy of each straggler.

    This happens about once a second, when everything has been handed out and some slots are idle. It does not happen
    where items have a time limit: the limit ends stragglers.
    """
    if state.now - state.checked < state.settings.check_seconds or state.limit is not None or state.measured is None:
        return []
    state.checked = state.now
    if state.waiting or state.draining:
        return []
    idle = [name for name in state.names if state.slots[name].idle]
    stragglers = [name for name, slot in state.slots.items() if idle and slot.queue and is_straggler(state, slot)]
    if reclaimed := [action for name in stragglers for action in _reclaim(state, name)]:
        return reclaimed
    dropped: list[Action] = []
    without_copy: list[str] = []
    for name in stragglers:
        first = state.slots[name].queue[0]
        if first.ticket not in state.twins:
            without_copy.append(name)
        elif first.copy_of is not None:
            dropped += _drop_late_copy(state, name)
    return dropped + [_copy(state, name, other) for name, other in zip(without_copy, idle, strict=False)]


def is_straggler(state: State, slot: Slot) -> bool:
    """Return whether the first slice of a slot is a straggler.

    A backup copy is expected to take as long as the original had taken when the copy was started: an item that simply
    takes long should not occupy one idle slot after the other.
    """
    first = slot.queue[0]
    expected = len(first.items) * (slot.pace or state.pace or state.measured or 0.0)
    if first.copy_of in state.twins:
        original = state.twins[first.ticket]
        expected = max(slot.since - other.since for other in state.slots.values() if other.find(original))
    return state.now - slot.since > max(state.settings.straggler_seconds, state.settings.straggler_factor * expected)


def _drop_late_copy(state: State, name: str) -> list[Action]:
    """Drop a backup copy that is a straggler too, e.g. because its slot was stopped, so that it can be replaced."""
    slot = state.slots[name]
    first = slot.queue[0]
    unpair(state, first.ticket)
    state.note("dropped", first, why="this backup copy takes too long as well")
    put(state, name, replace(slot.without(first, state.now), straggling=True))
    return [Cancel(first.ticket)]


def _reclaim(state: State, name: str) -> list[Action]:
    slot = state.slots[name]
    for submit in slot.queue[1:]:
        if not unpair(state, submit.ticket):
            state.note("reclaimed", submit, why="it was queued behind a straggler")
            state.requeued += (submit.items,)
            state.waiting += len(submit.items)
    put(state, name, replace(slot, queue=slot.queue[:1], straggling=True))
    return [Cancel(submit.ticket) for submit in slot.queue[1:]]


def _copy(state: State, name: str, other: str) -> Submit:
    first = state.slots[name].queue[0]
    submit = Submit(state.next_ticket, first.items, other, copy_of=first.ticket)
    state.next_ticket += 1
    state.note("copied", submit, why=f"slice {first.ticket} at {name} takes much longer than expected")
    state.twins = {**state.twins, first.ticket: submit.ticket, submit.ticket: first.ticket}
    put(state, name, replace(state.slots[name], straggling=True))
    put(state, other, state.slots[other].with_more(submit, state.now))
    return submit


def unpair(state: State, ticket: int) -> bool:
    """Forget that a slice and its backup copy belong together; return whether the slice had or was a copy."""
    paired = ticket in state.twins
    state.twins = {one: other for one, other in state.twins.items() if ticket not in (one, other)}
    return paired


def drop_twin(state: State, ticket: int, why: str) -> list[Action]:
    """Drop the twin of a slice, if it has one."""
    twin = state.twins.get(ticket)
    if twin is None:
        return []
    unpair(state, ticket)
    for name, slot in state.slots.items():
        if submit := slot.find(twin):
            put(state, name, slot.without(submit, state.now))
            state.note("dropped", submit, why=why)
            return [Cancel(twin)]
    return []


def drop_copies(state: State) -> list[Action]:
    """Drop all backup copies whose originals are in flight."""
    originals = [copy.copy_of for copy in state.in_flight() if copy.copy_of is not None and copy.copy_of in state.twins]
    return [action for original in originals for action in drop_twin(state, original, "the stage is cut")]
