"""Evaluates a range of items: one call after the other, or in full blocks.

A batched objective is always called with a full block. Item n sits at place n mod block, and a place that is not wanted
(outside the range) holds a copy of a wanted item: BLAS rounds by shape and by place, but not by what stands in the
other places. So any range can be evaluated, and a poison item left out, with the others' bits unchanged.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.loss.returns import Evaluation, as_batch, split_loss

Draw = Callable[[range], dict[str, Array]]
"""Returns read-only values of any range of items by name, each with leading axis `len(items)`."""
Step = Callable[[dict[str, Array], range, Evaluation], None]
"""Stores the losses of drawn items."""

NUMBERS_AT_ONCE = 2**17
"""Numbers drawn at a time: long ranges, since a new Philox costs 8 us, but few enough to stay in the cache."""
BISECTIONS = 64
"""Calls spent on halving a block that raises; the remaining items are called one by one."""
FAILED = object()
"""Stands in place of a loss where a call raised."""


def evaluate_range(draw: Draw, items: range, block: int, step: Step) -> Evaluation:
    """Evaluate a range, drawn in stretches of whole blocks (the two ends excepted)."""
    found = Evaluation(items)
    item_size = sum(column.size for column in draw(items[:1]).values())
    for stretch in stretches(items, block, NUMBERS_AT_ONCE // max(1, item_size)):
        step(draw(stretch), stretch, found)
    found.record_losses_that_are_not_finite()
    return found


def stretches(items: range, block: int, length: int) -> Iterator[range]:
    """Cut a range at multiples of the most whole blocks that `length` holds, at least one."""
    step = max(1, length // block) * block
    start = items.start
    while start < items.stop:
        stop = min(items.stop, (start // step + 1) * step)
        yield range(start, stop)
        start = stop


def call_one_by_one(call: Callable[..., Any], values: Mapping[str, Array], items: range, found: Evaluation) -> None:
    """Call a plain loss for each item."""
    order = positional_order(call, list(values))
    columns = [values[name] for name in order or values]

    def call_by_name(*row: Any) -> Any:
        return call(**dict(zip(values, row, strict=True)))

    # Scalars as Python float and int; an array yields its rows, read-only like itself.
    entries = [column.tolist() if column.ndim == 1 else column for column in columns]
    call_each(call if order else call_by_name, entries, items, found)


def call_in_batches_of_one(
    batch_call: Callable[..., Any], values: Mapping[str, Array], items: range, found: Evaluation
) -> None:
    """Call a batched loss for each item, with the dtypes of a batch."""

    def call(row: int) -> Any:
        return call_batch_of_one(batch_call, {name: column[row : row + 1] for name, column in values.items()})

    call_each(call, [range(len(items))], items, found)


def call_each(call: Callable[..., Any], columns: Sequence[Iterable[Any]], items: range, found: Evaluation) -> None:
    """Call with one entry of every column for each item, and store what is returned.

    The arguments are put together by `map`, in C: a dict of them for every call takes many times as long as a small
    loss itself.
    """
    calls = map(call, *columns)
    returned: list[Any] = []
    while len(returned) < len(items):
        try:
            # Not `returned.extend(calls)`, which would take a StopIteration of the loss for the end.
            for _ in range(len(items) - len(returned)):
                returned.append(next(calls))  # noqa: PERF401 - a comprehension would lose what came before an exception
        except (Exception, SystemExit) as error:
            found.add_failure(items[len(returned)], error)
            returned.append(FAILED)
    first = items.start - found.items.start
    if set(map(type, returned)) == {float}:
        found.losses[first : first + len(returned)] = returned
        return
    for row, value in enumerate(returned):
        if value is not FAILED:
            try:
                found.store(first + row, value)
            except (Exception, SystemExit) as error:  # from the number's own __float__, or its own text
                found.add_failure(items[row], error)


def positional_order(call: Any, names: Sequence[str]) -> list[str] | None:
    """Return the names in the order in which a function takes them by position; None where only names are safe.

    Only the signature of a Python function, or of what binds one, can be trusted: wrappers may take more, or less.
    """
    function = unwrap_partial(call)
    if not isinstance(function, FunctionType | MethodType | type):
        function = type(function).__call__
    if not isinstance(function, FunctionType | MethodType):
        return None
    parameters = inspect.signature(call, follow_wrapped=False).parameters.values()
    first = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][: len(names)]
    return first if sorted(first) == sorted(names) else None


def unwrap_partial(call: Any) -> Any:
    """Return the function to which a `partial` binds arguments, and anything else unchanged."""
    while isinstance(call, partial):
        call = call.func  # pyright: ignore[reportUnknownVariableType]
    return call


def call_in_blocks(
    batch_call: Callable[..., Any], block: int, values: dict[str, Array], items: range, found: Evaluation
) -> None:
    """Call a batched loss for each block of items."""
    for wanted in stretches(items, block, block):
        evaluate_block(batch_call, block, values, items, wanted, found)


def evaluate_block(
    batch_call: Callable[..., Any], block: int, values: dict[str, Array], items: range, wanted: range, found: Evaluation
) -> None:
    """Evaluate the wanted items of one block, halving them whenever the batch raises.

    An item fails if the batch raises with copies of it in every place, however the block was cut; so a bound on the
    calls may change the order of calls only, never give up on a block.
    """
    pending, calls = [wanted], 0
    while pending:
        group = pending.pop()
        if len(group) > 1 and calls >= BISECTIONS:
            pending.extend(range(item, item + 1) for item in reversed(group))
            continue
        calls += 1
        place = group.start % block
        rows = range(group.start - items.start, group.stop - items.start)
        try:
            loss, extras = split_loss(batch_call(**full_block(values, rows, place, block)))
            columns = {"loss": as_batch(loss, block)}
            found.double &= np.asarray(loss).dtype == np.float64
            columns |= {name: as_batch(column, block, repr(name)) for name, column in extras.items()}
        except (Exception, SystemExit) as error:
            if len(group) > 1:
                half = len(group) // 2
                pending += [group[half:], group[:half]]
            else:
                found.add_failure(group.start, error)
            continue
        first = group.start - found.items.start
        for name, column in columns.items():
            found.column(name)[first : first + len(group)] = column[place : place + len(group)]


def full_block(values: Mapping[str, Array], rows: range, first_place: int, block: int) -> dict[str, Array]:
    """Return a full block with consecutive `rows` from `first_place` on and copies of the first of them elsewhere."""
    if len(rows) == block:
        return {name: column[rows.start : rows.stop] for name, column in values.items()}
    places = np.full(block, rows[0])
    places[first_place : first_place + len(rows)] = rows
    filled = {name: column[places] for name, column in values.items()}
    for column in filled.values():
        column.flags.writeable = False
    return filled


def call_batch_of_one(batch_call: Callable[..., Any], values: Mapping[str, Array]) -> Any:
    """Call a batched loss with a batch of one, and return what a plain call would. Raises NotANumber if it does not
    return a batch of one."""
    loss, extras = split_loss(batch_call(**values))
    number = float(as_batch(loss, 1)[0])
    numbers = {name: as_batch(value, 1, repr(name))[0] for name, value in extras.items()}
    return {"loss": number, **numbers} if numbers else number
