"""How a range of items is evaluated: one call after the other, or in full blocks.

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
from optitrip.core.failures import INVALID, RAISED, Record
from optitrip.loss.returns import Evaluation, NotANumber, batch, split
from optitrip.runtime.tracebacks import record_of

Draw = Callable[[range], dict[str, Array]]
"""Read-only values of a range of items by name, each with leading axis `len(items)`; it can be called for any range."""
Step = Callable[[dict[str, Array], range, Evaluation], None]
"""Enters the losses of drawn items."""

NUMBERS_AT_ONCE = 2**17
"""Numbers drawn at a time: long ranges, since a new Philox costs 8 us, but few enough to stay in the cache."""
BISECTIONS = 64
"""Calls spent on halving a block that raises; what is left then is called one by one."""
FAILED = object()
"""In place of a loss where a call raised."""


def evaluated(draw: Draw, items: range, block: int, step: Step) -> Evaluation:
    """Losses of a range, drawn in stretches of whole blocks, but for the ends."""
    found = Evaluation(items)
    for stretch in stretches(items, block, NUMBERS_AT_ONCE // max(1, row_size(draw, items))):
        step(draw(stretch), stretch, found)
    found.record_losses_that_are_not_finite()
    return found


def row_size(draw: Draw, items: range) -> int:
    """Numbers an item."""
    return sum(column.size for column in draw(items[:1]).values())


def stretches(items: range, block: int, length: int) -> Iterator[range]:
    """Cut a range at multiples of the most whole blocks that `length` holds, at least one."""
    step = max(1, length // block) * block
    start = items.start
    while start < items.stop:
        stop = min(items.stop, (start // step + 1) * step)
        yield range(start, stop)
        start = stop


def one_by_one(call: Callable[..., Any], values: Mapping[str, Array], items: range, found: Evaluation) -> None:
    """Call a plain loss for each item."""
    order = positional(call, list(values))
    columns = [values[name] for name in order or values]

    def by_name(*row: Any) -> Any:
        return call(**dict(zip(values, row, strict=True)))

    # Scalars as Python float and int; an array gives its rows, read-only as it is.
    each(
        call if order else by_name,
        [column.tolist() if column.ndim == 1 else column for column in columns],
        items,
        found,
    )


def in_batches_of_one(
    batch_call: Callable[..., Any], values: Mapping[str, Array], items: range, found: Evaluation
) -> None:
    """Call a batched loss for each item, with the dtypes of a batch."""

    def call(row: int) -> Any:
        return only(batch_call, {name: column[row : row + 1] for name, column in values.items()})

    each(call, [range(len(items))], items, found)


def each(call: Callable[..., Any], columns: Sequence[Iterable[Any]], items: range, found: Evaluation) -> None:
    """Call with one entry of every column for each item, and enter what is returned.

    The arguments are put together by `map`, in C: a dict of them for every call takes many times as long as a small
    loss itself.
    """
    calls = map(call, *columns)
    given: list[Any] = []
    while len(given) < len(items):
        try:
            # Not `given.extend(calls)`, which would take a StopIteration of the loss for the end.
            for _ in range(len(items) - len(given)):
                given.append(next(calls))  # noqa: PERF401 - a comprehension would lose what came before an exception
        except NotANumber as error:
            found.problems.append((INVALID, Record(items[len(given)], "TypeError", str(error), "")))
            given.append(FAILED)
        except (Exception, SystemExit) as error:
            found.problems.append((RAISED, record_of(items[len(given)], error)))
            given.append(FAILED)
    enter(given, items, found)


def enter(given: list[Any], items: range, found: Evaluation) -> None:
    """What plain calls returned, or FAILED where one raised."""
    first = items.start - found.items.start
    if set(map(type, given)) == {float}:
        found.losses[first : first + len(given)] = given
        return
    for row, one in enumerate(given):
        if one is FAILED:
            continue
        try:
            found.put(first + row, one)
        except NotANumber as error:
            found.problems.append((INVALID, Record(items[row], "TypeError", str(error), "")))
        except (Exception, SystemExit) as error:  # from the number's own __float__, or its own text
            found.problems.append((RAISED, record_of(items[row], error)))


def positional(call: Any, names: Sequence[str]) -> list[str] | None:
    """The names in the order in which a function takes them by position; None where only names are safe.

    Only what is a Python function, or binds one, says truly what it takes: wrappers may take more, or less.
    """
    function = call
    while isinstance(function, partial):
        function = function.func
    if not isinstance(function, FunctionType | MethodType | type):
        function = type(function).__call__
    if not isinstance(function, FunctionType | MethodType):
        return None
    parameters = inspect.signature(call, follow_wrapped=False).parameters.values()
    ahead = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD][: len(names)]
    return ahead if sorted(ahead) == sorted(names) else None


def in_blocks(
    batch_call: Callable[..., Any], block: int, values: dict[str, Array], items: range, found: Evaluation
) -> None:
    """Call a batched loss for each block of items."""
    start = items.start
    while start < items.stop:
        stop = min(items.stop, (start // block + 1) * block)
        settle(batch_call, block, values, range(start - items.start, stop - items.start), items, found)
        start = stop


def settle(
    batch_call: Callable[..., Any], block: int, values: dict[str, Array], rows: range, items: range, found: Evaluation
) -> None:
    """Evaluate the wanted rows of one block, halving the set of wanted rows whenever the batch raises.

    What fails is what raises with copies of itself in every place, however the block was cut; so a bound on the calls
    may change the order of calls only, never give up on a block.
    """
    first_place = (items.start + rows[0]) % block
    offset = items.start - found.items.start
    pending, calls = [rows], 0
    while pending:
        group = pending.pop()
        if len(group) > 1 and calls >= BISECTIONS:
            pending.extend(range(row, row + 1) for row in reversed(group))
            continue
        calls += 1
        place = first_place + group[0] - rows[0]
        try:
            loss, named = split(batch_call(**full(values, group, place, block)))
            columns = {"loss": batch(loss, block)}
            found.double &= np.asarray(loss).dtype == np.float64
            columns |= {name: batch(column, block, repr(name)) for name, column in named.items()}
        except (Exception, SystemExit) as error:
            if len(group) > 1:
                half = len(group) // 2
                pending += [group[half:], group[:half]]
            elif isinstance(error, NotANumber):
                found.problems.append((INVALID, Record(items[group[0]], "TypeError", str(error), "")))
            else:
                found.problems.append((RAISED, record_of(items[group[0]], error)))
            continue
        for name, column in columns.items():
            found.column(name)[offset + group[0] : offset + group[-1] + 1] = column[place : place + len(group)]


def full(values: Mapping[str, Array], rows: range, first_place: int, block: int) -> dict[str, Array]:
    """A full block with consecutive `rows` from `first_place` on and copies of the first of them elsewhere."""
    if len(rows) == block:
        return {name: column[rows.start : rows.stop] for name, column in values.items()}
    places = np.full(block, rows[0])
    places[first_place : first_place + len(rows)] = rows
    whole = {name: column[places] for name, column in values.items()}
    for column in whole.values():
        column.flags.writeable = False
    return whole


def only(batch_call: Callable[..., Any], values: Mapping[str, Array]) -> Any:
    """What a batch of one gives, as a plain call would return it.

    Raises:
        NotANumber: if that is no batch of one.
    """
    loss, named = split(batch_call(**values))
    one = float(batch(loss, 1)[0])
    return {"loss": one, **{name: batch(value, 1, repr(name))[0] for name, value in named.items()}} if named else one
