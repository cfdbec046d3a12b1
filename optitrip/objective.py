"""The evaluation ladder: what an objective offers, and how a range of items is evaluated by the best step there is.

A batched objective is always called with a full block. Item n sits at place n mod block, and a place that is not wanted
(outside the range) holds a copy of a wanted item: BLAS rounds by shape and by place, but not by what stands in the
other places. So any range can be evaluated, and a poison item left out, with the others' bits unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from optitrip.errors import InputError
from optitrip.part import INVALID, RAISED, Array, Failures, Record
from optitrip.returned import NotANumber, Problems, batch, found_failures, number, recorded, shortly
from optitrip.space import arguments

Draw = Callable[[range], dict[str, Array]]
"""Read-only values of a range of items by name, each with leading axis `len(items)`; it can be called for any range."""

PLAIN_BLOCK, BATCH_BLOCK, LARGEST_BLOCK = 1, 256, 2**20
NUMBERS_AT_ONCE = 2**20
"""Numbers drawn at a time: long ranges, since a new Philox costs 8 us, but few enough for the cache and the memory."""
BISECTIONS = 64
"""Calls spent on halving a block that raises; what is left then is called one by one."""


@dataclass(frozen=True)
class Offers:
    """What a loaded objective offers; all that a route may know of it."""

    losses: bool = False
    gradient: bool = False
    report: bool = False
    block: int = PLAIN_BLOCK


class Objective:
    """A loss with its ladder.

    Args:
        loss: the user's object: callable, or with `losses`, or both; `gradient`, `report`, `block`, `digest` and
            `tolerance` are found by presence.
        name: as in the sweep file, for messages.
        block: in place of the objective's own block.

    Raises:
        InputError: if the object's own block is no number of candidates.
    """

    def __init__(self, loss: Any, name: str = "loss", block: int | None = None) -> None:
        self.loss = loss
        self.name = name
        own = getattr(loss, "block", None)
        if own is not None and (isinstance(own, bool) or not isinstance(own, int) or not 1 <= own <= LARGEST_BLOCK):
            raise InputError(f"{name}: its block was {own!r}, wanted a whole number from 1 to {LARGEST_BLOCK:,}")
        batched = callable(getattr(loss, "losses", None))
        self.offers = Offers(
            losses=batched,
            gradient=callable(getattr(loss, "gradient", None)),
            report=callable(getattr(loss, "report", None)),
            block=block or own or (BATCH_BLOCK if batched else PLAIN_BLOCK),
        )

    def evaluate(self, draw: Draw, items: range) -> tuple[Array, Failures]:
        """Losses of a range by the best step there is.

        Returns:
            Losses, float64 of shape (len(items),), NaN where there is none, and the failures by index.
        """
        return self._evaluate(draw, items, self._batch if self.offers.losses else self._one_by_one)

    def evaluate_plainly(self, draw: Draw, items: range) -> tuple[Array, Failures]:
        """The same by the plain call, or by batches of one where the objective is batched only."""
        return self._evaluate(draw, items, self._one_by_one)

    def allowed_difference(self, loss: float, draw: Draw, items: range) -> float:
        """How far a batched and a plain loss may differ: the objective's relative `tolerance`; without one
        64 eps max(|f|, 1) for losses in float64, else 1e-5 relative."""
        tolerance = getattr(self.loss, "tolerance", None)
        if tolerance is None:
            raw = self.loss.losses(**self._full(draw(items), [0], items.start % self.offers.block))
            if np.asarray(raw).dtype == np.float64:
                return 64 * float(np.finfo(np.float64).eps) * max(abs(loss), 1.0)
            tolerance = 1e-5
        return float(tolerance) * abs(loss)

    def report(self, values: Mapping[str, Array]) -> dict[str, float]:
        """The objective's extra figures of one point, given as a batch of one.

        Raises:
            TypeError: if it returns anything but a dict of numbers.
        """
        figures = self.loss.report(**arguments(values, 0))
        if not isinstance(figures, dict):
            raise TypeError(f"report must return a dict of numbers, returned {shortly(figures)}")
        return {str(name): number(value) for name, value in figures.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]

    def gradient(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """The objective's analytic gradient at one point, given as a batch of one: names and shapes of the point.

        Raises:
            TypeError: if names or shapes differ.
        """
        point = arguments(values, 0)
        given = self.loss.gradient(**point)
        if not isinstance(given, dict) and len(point) == 1:
            given = {next(iter(point)): given}
        wanted = {name: np.shape(value) for name, value in point.items()}
        found: Any = {name: np.shape(value) for name, value in given.items()} if isinstance(given, dict) else given  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        if found != wanted:
            raise TypeError(f"gradient must return arrays of shapes {wanted}, returned {found}")
        return {name: np.asarray(value, dtype=np.float64) for name, value in given.items()}

    def _evaluate(
        self, draw: Draw, items: range, step: Callable[[dict[str, Array], range, Array, Problems], None]
    ) -> tuple[Array, Failures]:
        losses = np.full(len(items), np.nan)
        problems: Problems = []
        for chunk in self._chunks(draw, items):
            out = losses[chunk.start - items.start : chunk.stop - items.start]
            step(draw(chunk), chunk, out, problems)
        return losses, found_failures(losses, items, problems)

    def _chunks(self, draw: Draw, items: range) -> Iterator[range]:
        """Cut a range into stretches of whole blocks, but for the ends, that are drawn at once."""
        first = draw(items[:1])
        row = sum(column.size for column in first.values())
        block = self.offers.block
        step = max(1, NUMBERS_AT_ONCE // max(1, row) // block) * block
        start = items.start
        while start < items.stop:
            stop = min(items.stop, (start // step + 1) * step)
            yield range(start, stop)
            start = stop

    def _one_by_one(self, values: dict[str, Array], items: range, out: Array, problems: Problems) -> None:
        call = self.loss if callable(self.loss) else self._batch_of_one
        for row, index in enumerate(items):
            try:
                given = call(**arguments(values, row))
                out[row] = given if type(given) is float else number(given)
            except NotANumber as error:
                problems.append((INVALID, Record(index, "TypeError", str(error), "")))
            except (Exception, SystemExit) as error:
                problems.append((RAISED, recorded(index, error)))

    def _batch_of_one(self, **point: Any) -> float:
        given = self.loss.losses(**{name: np.asarray(value)[np.newaxis] for name, value in point.items()})
        return float(batch(given, 1)[0])

    def _batch(self, values: dict[str, Array], items: range, out: Array, problems: Problems) -> None:
        block = self.offers.block
        start = items.start
        while start < items.stop:
            stop = min(items.stop, (start // block + 1) * block)
            rows = list(range(start - items.start, stop - items.start))
            self._settle(values, rows, items, out, problems)
            start = stop

    def _settle(self, values: dict[str, Array], rows: list[int], items: range, out: Array, problems: Problems) -> None:
        """Evaluate the wanted rows of one block, halving the set of wanted rows whenever the batch raises.

        What fails is what raises with copies of itself in every place, however the block was cut; so a bound on the
        calls may change the order of calls only, never give up on a block.
        """
        first_place = (items.start + rows[0]) % self.offers.block
        pending, calls = [rows], 0
        while pending:
            group = pending.pop()
            if len(group) > 1 and calls >= BISECTIONS:
                pending.extend([row] for row in reversed(group))
                continue
            calls += 1
            place = first_place + group[0] - rows[0]
            try:
                given = batch(self.loss.losses(**self._full(values, group, place)), self.offers.block)
            except (Exception, SystemExit) as error:
                if len(group) > 1:
                    half = len(group) // 2
                    pending += [group[half:], group[:half]]
                elif isinstance(error, NotANumber):
                    problems.append((INVALID, Record(items[group[0]], "TypeError", str(error), "")))
                else:
                    problems.append((RAISED, recorded(items[group[0]], error)))
                continue
            out[group[0] : group[-1] + 1] = given[place : place + len(group)]

    def _full(self, values: dict[str, Array], rows: list[int], first_place: int) -> dict[str, Array]:
        """A full block with consecutive `rows` from `first_place` on and copies of the first of them elsewhere."""
        block = self.offers.block
        if len(rows) == block:
            return {name: column[rows[0] : rows[-1] + 1] for name, column in values.items()}
        places = np.full(block, rows[0])
        places[first_place : first_place + len(rows)] = rows
        full = {name: column[places] for name, column in values.items()}
        for column in full.values():
            column.flags.writeable = False
        return full
