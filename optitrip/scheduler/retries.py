"""Decides whether a slice that came back without a part is retried, is halved, or has its item recorded as failed."""

from __future__ import annotations

from optitrip.core.executor import Failed
from optitrip.core.failures import DIED, TIMEOUT
from optitrip.scheduler import stragglers
from optitrip.scheduler.events import Action, RecordFailed, Submit
from optitrip.scheduler.state import State
from optitrip.scheduler.story import Note

DEATHS_OF_A_SLICE, DEATHS_OF_AN_ITEM = 2, 3
"""Deaths of workers after which a range is halved, and after which an item evaluated alone is recorded as failed."""


def slice_failed(state: State, submit: Submit, event: Failed) -> list[Action]:
    """Decide what to do about a slice whose worker was lost, killed or died."""
    items = submit.items
    timed_out = event.kind == "timed out"
    deaths = state.deaths.get(items, 0) + (event.kind == "died")
    state.deaths = {**state.deaths, items: deaths}
    state.note("timed-out" if timed_out else event.kind, submit, why=event.message)
    if stragglers.unpair(state, submit.ticket):
        return []  # the other copy may yet succeed
    reason = "it took too long" if timed_out else f"{deaths} workers died evaluating it"
    if len(items) == 1 and (timed_out or deaths >= DEATHS_OF_AN_ITEM):
        state.left -= 1
        state.notes.append(Note("given-up", items=items, why=f"{reason} by itself"))
        return [RecordFailed(items.start, TIMEOUT if timed_out else DIED, event.message)]
    halve = len(items) > 1 and (timed_out or deaths >= DEATHS_OF_A_SLICE)
    if halve:
        state.notes.append(Note("halved", items=items, why=reason))
    state.requeued += halves(items, state.block) if halve else (items,)
    state.waiting += len(items)
    return []


def halves(items: range, block: int) -> tuple[range, range]:
    """Return both halves of a range, cut at a border of blocks if it has one inside: no block is evaluated twice."""
    middle = items.start + len(items) // 2
    border = round(middle / block) * block
    if not items.start < border < items.stop:
        border = middle
    return range(items.start, border), range(border, items.stop)
