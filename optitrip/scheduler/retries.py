"""What becomes of a slice that came back without a part: it is retried, halved, or its item is given up."""

from __future__ import annotations

from optitrip.core.executor import Failed
from optitrip.core.failures import DIED, TIMEOUT
from optitrip.scheduler import stragglers
from optitrip.scheduler.events import Action, RecordFailed, Submit
from optitrip.scheduler.state import State

DEATHS_OF_A_SLICE, DEATHS_OF_AN_ITEM = 2, 3
"""A range whose worker died so often is halved; an item that was alone every time is given up."""


def failed(state: State, submit: Submit, event: Failed) -> list[Action]:
    """Decide what to do about a slice whose worker was lost, killed or died."""
    items = submit.items
    timed_out = event.kind == "timed out"
    died = state.deaths.get(items, 0) + (event.kind == "died")
    state.deaths = {**state.deaths, items: died}
    state.note("timed-out" if timed_out else event.kind, submit, why=event.message)
    if stragglers.forget(state, submit.ticket):
        return []  # the other one may yet succeed
    if len(items) == 1 and (timed_out or died >= DEATHS_OF_AN_ITEM):
        state.left -= 1
        reason = "it took too long, alone" if timed_out else f"{died} workers died under it, each time alone"
        state.note("given-up", items=items, why=reason)
        return [RecordFailed(items.start, TIMEOUT if timed_out else DIED, event.message)]
    halve = len(items) > 1 and (timed_out or died >= DEATHS_OF_A_SLICE)
    if halve:
        reason = "it took too long" if timed_out else f"{died} workers died under it"
        state.note("halved", items=items, why=reason)
    state.again += halves(items, state.block) if halve else (items,)
    state.waiting += len(items)
    return []


def halves(items: range, block: int) -> tuple[range, range]:
    """Both halves of a range, cut at a border of blocks if there is one inside: no block is evaluated for both."""
    middle = items.start + len(items) // 2
    border = round(middle / block) * block
    if not items.start < border < items.stop:
        border = middle
    return range(items.start, border), range(border, items.stop)
