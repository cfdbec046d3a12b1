"""The number of items in a slice, and whether a slot accepts one."""

from __future__ import annotations

from optitrip.scheduler.state import Slot, State

SLICES_A_SECOND = 1_000
"""Number of slices that the driver can process in a second; with more slots than this, slices are longer."""
SHORTEST = 0.1
"""Shortest slice as a fraction of the target: the first one of a slot of unknown pace, and the last ones of a stage."""
SHARE = 0.5
"""Longest slice as a fraction of the time that all slots need for what is left."""
LIMIT_SHARE = 0.25
"""Longest slice as a fraction of the time limit of an item."""
GROWTH = 8
"""Largest slice as a multiple of the largest one done so far: the first slices measure mostly overhead."""


def accepts(state: State, slot: Slot, items: int) -> bool:
    """Return whether the stage ends sooner if a slot takes a slice now.

    It does not if the slice would queue behind another one while other slots could start it sooner, nor if the slot is
    slow and the others could do all that is left in less time. Then the slice waits for the slot that is free first.
    """
    if slot.pace is None or state.pace is None:
        return not slot.queue
    seconds = items * slot.pace
    if slot.queue:
        return seconds <= SHARE * state.seconds_for(state.waiting)
    busy = state.left > state.waiting
    return not busy or seconds <= SHARE * state.seconds_for(state.left) + items * state.pace


def size_of(state: State, slot: Slot) -> int:
    """Return the approximate number of items for the next slice of a slot."""
    if not state.known:
        return 1
    target = max(state.settings.target_seconds, len(state.names) / SLICES_A_SECOND)
    if state.settings.item_seconds is not None:  # a slice that takes as long as one item may would count as hanging
        target = min(target, LIMIT_SHARE * state.settings.item_seconds)
    share = SHARE * state.seconds_for(state.waiting) if slot.pace else 0.0
    seconds = max(min(target, share), SHORTEST * target)
    return max(1, round(min(seconds / (slot.pace or state.pace or 1.0), GROWTH * state.largest)))
