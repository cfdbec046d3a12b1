"""Evaluates slices again: those that returned no part, and stragglers.

Stragglers are slices that take far longer than expected, e.g. because their worker was stopped or its machine is slow.
When nothing else is left to hand out, another slot evaluates a backup copy; the first result wins. Without backup
copies the slowest worker would decide how long a sweep takes, and a stopped worker would block it forever (Dean and
Ghemawat, MapReduce, OSDI 2004, section 3.6: backup tasks).
"""

from dataclasses import replace

from optitrip.core.executor import Failed
from optitrip.core.failures import DIED, TIMEOUT
from optitrip.scheduler.events import Action, Cancel, RecordFailed, Submit
from optitrip.scheduler.state import Slot, State
from optitrip.scheduler.story import Note


def slice_failed(state: State, submit: Submit, event: Failed) -> list[Action]:
    items = submit.items
    timed_out = event.kind == "timed out"
    deaths = state.deaths.get(items, 0) + (event.kind == "died")
    state.deaths = {**state.deaths, items: deaths}
    state.note("timed-out" if timed_out else event.kind, submit, why=event.message)
    if unpair(state, submit.ticket):
        return []  # the other copy may yet succeed
    reason = "it took too long" if timed_out else f"{deaths} workers died evaluating it"
    if len(items) == 1 and (timed_out or deaths >= state.settings.deaths):
        state.left -= 1
        state.notes.append(Note("item-failed", items=items, why=f"{reason} by itself"))
        return [RecordFailed(items.start, TIMEOUT if timed_out else DIED, event.message)]
    halve = len(items) > 1 and (timed_out or deaths >= max(1, state.settings.deaths - 1))
    if halve:
        state.notes.append(Note("halved", items=items, why=reason))
    state.requeue(*(halves(items, state.block) if halve else (items,)))
    return []


def halves(items: range, block: int) -> tuple[range, range]:
    """Halve a range, at a block border if there is one inside, so that no block is evaluated twice."""
    middle = items.start + len(items) // 2
    border = round(middle / block) * block
    if not items.start < border < items.stop:
        border = middle
    return range(items.start, border), range(border, items.stop)


def check_stragglers(state: State) -> list[Action]:
    """Reclaim slices queued behind stragglers; if there are none, start one backup copy of each straggler.

    This happens about once a second, when everything has been handed out and some slots are idle. It does not happen
    if items have a time limit, which ends stragglers.
    """
    settings = state.settings
    if state.now - state.checked < settings.check_seconds or settings.item_seconds is not None or not state.measured:
        return []
    state.checked = state.now
    if state.waiting or state.draining:
        return []
    idle = [name for name in state.names if state.slots[name].idle]
    stragglers = [name for name, slot in state.slots.items() if idle and slot.queue and is_straggler(state, slot)]
    if reclaimed := [action for name in stragglers for action in _reclaim(state, name)]:
        return reclaimed
    seconds = state.pace or state.measured
    if not (seconds <= settings.backup_seconds if settings.backups is None else settings.backups):
        return []
    actions: list[Action] = []
    without_copy: list[str] = []
    for name in stragglers:
        slot = state.slots[name]
        first = slot.queue[0]
        if first.ticket not in state.copies:
            without_copy.append(name)
        elif first.copy_of is not None:  # so that another copy can be started, e.g. if the slot of this one was stopped
            unpair(state, first.ticket)
            state.note("dropped", first, why="this backup copy takes too long as well")
            state.put(name, replace(slot.without(first, state.now), straggling=True))
            actions.append(Cancel(first.ticket))
    for name, other in zip(without_copy, idle, strict=False):
        first = state.slots[name].queue[0]
        copy = state.submit(first.items, other, copy_of=first)
        state.note("copied", copy, why=f"slice {first.ticket} at {name} takes much longer than expected")
        state.copies = {**state.copies, first.ticket: copy.ticket, copy.ticket: first.ticket}
        state.put(name, replace(state.slots[name], straggling=True))
        actions.append(copy)
    return actions


def is_straggler(state: State, slot: Slot) -> bool:
    first = slot.queue[0]
    expected = len(first.items) * (slot.pace or state.pace or state.measured or 0.0)
    # A backup copy is expected to take as long as the original had taken when the copy was started: an item that simply
    # takes long should not occupy one idle slot after another.
    if first.copy_of in state.copies:
        original = state.copies[first.ticket]
        (slot_of_original,) = {submit.slot for submit in state.in_flight() if submit.ticket == original}
        expected = slot.since - state.slots[slot_of_original].since
    return state.now - slot.since > max(state.settings.straggler_seconds, state.settings.straggler_factor * expected)


def _reclaim(state: State, name: str) -> list[Action]:
    slot = state.slots[name]
    for submit in slot.queue[1:]:
        if not unpair(state, submit.ticket):
            state.note("reclaimed", submit, why="it was queued behind a straggler")
            state.requeue(submit.items)
    state.put(name, replace(slot, queue=slot.queue[:1], straggling=True))
    return [Cancel(submit.ticket) for submit in slot.queue[1:]]


def unpair(state: State, ticket: int) -> bool:
    """Forget that a slice and its backup copy belong together; return whether the slice had or was a copy."""
    paired = ticket in state.copies
    state.copies = {one: other for one, other in state.copies.items() if ticket not in (one, other)}
    return paired


def drop_copy(state: State, ticket: int, why: str) -> list[Action]:
    other_copy = state.copies.get(ticket)
    if other_copy is None:
        return []
    unpair(state, ticket)
    for submit in state.in_flight():
        if submit.ticket == other_copy:
            state.put(submit.slot, state.slots[submit.slot].without(submit, state.now))
            state.note("dropped", submit, why=why)
            return [Cancel(other_copy)]
    return []
