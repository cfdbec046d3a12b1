"""Evaluates a range of items, one call at a time or in full blocks.

A batched objective is always called with a full block. Item n sits at place n mod block, and unused places hold copies
of an item in the range: how BLAS rounds a row depends on the shape and the row's place, but not on the other rows. So
any range can be evaluated, and an item that fails left out, without changing a bit of the other losses.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from optitrip.core.absent import ABSENT, existing, exists
from optitrip.core.arrays import Array
from optitrip.core.failures import INFINITE, INVALID, NAN, RAISED, Failures, Problems, Record
from optitrip.loss.passing import Passing, Ways, passing_of
from optitrip.loss.returns import DOUBLE, NotANumber, as_batch, as_number, eps_of, split_loss
from optitrip.runtime.interrupts import failure
from optitrip.runtime.tracebacks import record_of
from optitrip.space.conditions import natural


@dataclass(eq=False)
class Evaluation:
    """Losses and failures of a range of items, filled in while they are evaluated."""

    items: range
    columns: dict[str, Array] = field(default_factory=dict[str, Array])
    """`loss` and other numbers by name; float64 of shape (len(items),), NaN where missing."""
    problems: Problems = field(default_factory=list[tuple[str, Record]])
    """Kind and record of each failed item."""

    @cached_property
    def infeasible(self) -> Array:
        """True for each item that violates a constraint, and is not evaluated."""
        return np.zeros(len(self.items), bool)

    @cached_property
    def losses(self) -> Array:
        return self.column("loss")

    @cached_property
    def eps(self) -> Array:
        """Relative precision of the type in which each loss was returned, float64."""
        return np.full(len(self.items), DOUBLE)

    @property
    def extras(self) -> dict[str, Array]:
        """Numbers that the objective returned beside its losses, by name."""
        return {name: column for name, column in self.columns.items() if name != "loss"}

    @property
    def failures(self) -> Failures:
        return Failures.of({record.index: kind for kind, record in self.problems}, self.problems)

    def column(self, name: str) -> Array:
        if name not in self.columns:
            self.columns[name] = np.full(len(self.items), np.nan)
        return self.columns[name]

    def store(self, row: int, returned: Any) -> None:
        """Store the result of a plain call. Raises NotANumber, and stores nothing, unless it is a number or a dict of
        numbers."""
        loss, extras = split_loss(returned)
        numbers = {"loss": as_number(loss)}
        numbers |= {name: as_number(value, f"{name!r} beside a loss") for name, value in extras.items()}
        for name, value in numbers.items():
            self.column(name)[row] = value
        self.eps[row] = eps_of(loss)

    def add_failure(self, index: int, error: BaseException) -> None:
        """Record that the loss of an item raised, or is not a number."""
        if isinstance(error, NotANumber):
            self.problems.append((INVALID, Record(index, "TypeError", str(error), "")))
        else:
            self.problems.append((RAISED, record_of(index, error)))

    def take(self, part: "Evaluation", rows: Array, places: Array) -> None:
        """Store some rows of another evaluation at some places; its other rows are left out."""
        for name, column in part.columns.items():
            self.column(name)[places] = column[rows]
        self.eps[places] = part.eps[rows]
        index = dict(zip((part.items.start + rows).tolist(), (self.items.start + places).tolist(), strict=True))
        kept = [(kind, record) for kind, record in part.problems if record.index in index]
        self.problems += [(kind, replace(record, index=index[record.index])) for kind, record in kept]

    def record_non_finite(self) -> None:
        failed = {record.index for _, record in self.problems}
        for row in np.flatnonzero(~np.isfinite(self.losses) & ~self.infeasible).tolist():
            index, loss = self.items[row], self.losses[row]
            if index not in failed:
                kind = NAN if math.isnan(loss) else INFINITE
                self.problems.append((kind, Record(index, "float", f"the loss was {loss}", "")))


Draw = Callable[[range], dict[str, Array]]
"""Function that returns the read-only values of a range of items by name, each with leading axis `len(items)`."""
Evaluator = Callable[[dict[str, Array], range, Evaluation], None]
"""Function that evaluates drawn items and stores their losses."""

NUMBERS_AT_ONCE = 2**17
"""Number of entries drawn at a time: many, since a new Philox costs 8 us, but few enough to stay in the cache."""
BISECTIONS = 64
"""Most calls spent on halving a block that raises; after that the remaining items are called one by one."""
FAILED = object()
"""Placeholder for the result of a call that raised."""


def evaluate_range(draw: Draw, items: range, block: int, step: Evaluator) -> Evaluation:
    """Evaluate a range, drawn in stretches of whole blocks (except at the two ends)."""
    found = Evaluation(items)
    first: dict[str, Array] | None = draw(items[:1])
    item_size = sum(column.size for column in first.values())
    for stretch in stretches(items, block, NUMBERS_AT_ONCE // max(1, item_size)):
        step(first if first and len(stretch) == 1 else draw(stretch), stretch, found)
        first = None  # a point may be large
    found.record_non_finite()
    return found


def stretches(items: range, block: int, length: int) -> Iterator[range]:
    """Cut a range at multiples of the largest number of whole blocks that fits in `length`, at least one block."""
    step = max(1, length // block) * block
    start = items.start
    while start < items.stop:
        stop = min(items.stop, (start // step + 1) * step)
        yield range(start, stop)
        start = stop


def call_one_by_one(
    call: Callable[..., Any], values: Mapping[str, Array], items: range, found: Evaluation, *, as_dict: bool = False
) -> None:
    """Call a plain loss for each item."""
    passing = Passing.of(call, list(values), as_dict=as_dict)
    fast = len(passing.first) == len(values)
    columns = [values[name] for name in (passing.first if fast else values)]
    # Where a variable may be absent, each set of others has a way of its own.
    if any(column.dtype.hasobject and not exists(column).all() for column in columns):
        fast, columns = False, list(values.values())
    ways: Ways = {}

    def call_with(*row: Any) -> Any:
        point = {name: value for name, value in zip(values, row, strict=True) if value is not ABSENT}
        return passing_of(call, point, ways, as_dict=as_dict).bound(call, point)()

    # Scalars become Python float and int; an array yields its rows, which are read-only too.
    entries = [column.tolist() if column.ndim == 1 else column for column in columns]
    call_each(call if fast else call_with, entries, items, found)


def call_in_batches_of_one(
    batch_call: Callable[..., Any],
    values: Mapping[str, Array],
    items: range,
    found: Evaluation,
    *,
    as_dict: bool = False,
) -> None:
    """Call a batched loss for each item, with the dtypes of a batch."""

    ways: Ways = {}

    def call(row: int) -> Any:
        point = existing({name: column[row : row + 1] for name, column in values.items()})
        batch = {name: natural(column) for name, column in point.items()}
        return batch_of_one(passing_of(batch_call, batch, ways, as_dict=as_dict).bound(batch_call, batch))

    call_each(call, [range(len(items))], items, found)


def call_each(call: Callable[..., Any], columns: Sequence[Iterable[Any]], items: range, found: Evaluation) -> None:
    """Call with one entry of every column for each item, and store the results.

    `map` assembles the arguments, in C: building a dict for every call takes many times longer than a small loss.
    """
    calls = map(call, *columns)
    returned: list[Any] = []
    while len(returned) < len(items):
        try:
            # Not `returned.extend(calls)`, which would mistake a StopIteration raised by the loss for the end.
            for _ in range(len(items) - len(returned)):
                returned.append(next(calls))  # noqa: PERF401 - a comprehension would lose the results before an exception
        except BaseException as error:
            found.add_failure(items[len(returned)], failure(error))
            returned.append(FAILED)
    first = items.start - found.items.start
    if set(map(type, returned)) == {float}:
        found.losses[first : first + len(returned)] = returned
        return
    for row, value in enumerate(returned):
        if value is not FAILED:
            try:
                found.store(first + row, value)
            except BaseException as error:  # from the user's own __float__ or __str__
                found.add_failure(items[row], failure(error))


def call_in_blocks(
    batch_call: Callable[..., Any],
    block: int,
    values: dict[str, Array],
    items: range,
    found: Evaluation,
    *,
    as_dict: bool = False,
) -> None:
    """Call a batched loss for each block of items, halving the block whenever the batch raises.

    An item fails if the batch raises with copies of it in every place, however the block was cut. So the bound on
    halving may only change the order of calls, never abandon a block.
    """
    passing = Passing.of(batch_call, list(values), as_dict=as_dict)
    for wanted in stretches(items, block, block):
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
                loss, extras = split_loss(passing.bound(batch_call, full_block(values, rows, place, block))())
                columns = {"loss": as_batch(loss, block)}
                eps = eps_of(loss)
                columns |= {name: as_batch(column, block, repr(name)) for name, column in extras.items()}
            except BaseException as raised:
                error = failure(raised)
                if len(group) > 1:
                    half = len(group) // 2
                    pending += [group[half:], group[:half]]
                else:
                    found.add_failure(group.start, error)
                continue
            first = group.start - found.items.start
            for name, column in columns.items():
                found.column(name)[first : first + len(group)] = column[place : place + len(group)]
            found.eps[first : first + len(group)] = eps


def full_block(values: Mapping[str, Array], rows: range, first_place: int, block: int) -> dict[str, Array]:
    """Return a full block with consecutive `rows` from `first_place` on, and copies of the first row elsewhere."""
    if len(rows) == block:
        return {name: column[rows.start : rows.stop] for name, column in values.items()}
    places = np.full(block, rows[0])
    places[first_place : first_place + len(rows)] = rows
    filled = {name: column[places] for name, column in values.items()}
    for column in filled.values():
        column.flags.writeable = False
    return filled


def batch_of_one(batch_call: Callable[[], Any]) -> Any:
    """Call a batched loss bound to a batch of one; return a plain result. Raises NotANumber if it returns another
    shape."""
    loss, extras = split_loss(batch_call())
    number = float(as_batch(loss, 1)[0])
    numbers = {name: as_batch(value, 1, repr(name))[0] for name, value in extras.items()}
    return {"loss": number, **numbers} if numbers else number
