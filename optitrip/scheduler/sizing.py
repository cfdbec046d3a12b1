"""How long a slice is, and which slots take one."""

from __future__ import annotations

from optitrip.scheduler.state import Slot, State

SLICES_A_SECOND = 1_000
"""What the driver can take in; with more slots than this, slices are longer."""
SHORTEST = 0.1
"""Of the target: the first slice of a slot whose pace is not known, and the last ones."""
SHARE = 0.5
"""Of the time for which work is left: so much is handed out at once."""
LIMIT_SHARE = 0.25
"""Of the time that an item may take: slices are no longer."""
GROWTH = 8
"""A slice has at most this many times the items of the largest that is done: the first ones measure mostly overhead."""


def accepts(state: State, slot: Slot, items: int) -> bool:
    """Whether it is good for all that a slot takes a slice now.

    Not behind another one, if other slots could have begun it sooner; and not a slow slot, if the others could have
    done all that is left sooner. Then it stays for whoever is free first.
    """
    if slot.pace is None or state.pace is None:
        return not slot.queue
    seconds = items * slot.pace
    if slot.queue:
        return seconds <= SHARE * state.seconds_for(state.waiting)
    busy = state.left > state.waiting
    return not busy or seconds <= SHARE * state.seconds_for(state.left) + items * state.pace


def size_of(state: State, slot: Slot) -> int:
    """About how many items a slot is given next."""
    if not state.known:
        return 1
    target = max(state.settings.target_seconds, len(state.names) / SLICES_A_SECOND)
    if state.limit is not None:  # a slice that takes as long as one item may is taken for one that hangs
        target = min(target, LIMIT_SHARE * state.limit)
    share = SHARE * state.seconds_for(state.waiting) if slot.pace else 0.0
    seconds = max(min(target, share), SHORTEST * target)
    return max(1, round(min(seconds / (slot.pace or state.pace or 1.0), GROWTH * state.largest)))


def stop_of(start: int, size: int, block: int) -> int:
    """The end of a slice of about `size` items from `start`: the last border of blocks in it, or else the next one."""
    return max((start + size) // block, start // block + 1) * block
