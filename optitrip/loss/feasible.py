"""Evaluates only those items of a range that meet the constraints of a search; the others are marked as infeasible."""

from collections.abc import Callable

import numpy as np

from optitrip.core.arrays import Array
from optitrip.loss.evaluation import Evaluation, Evaluator, stretches

Feasible = Callable[[dict[str, Array], int], Array]
"""Function that returns which of some drawn items meet all constraints, bool, from their values and their number."""


def feasible_in_blocks(step: Evaluator, block: int, feasible: Feasible) -> Evaluator:
    """Return a step that evaluates feasible items in their places; those of others hold copies of one."""

    def evaluate(values: dict[str, Array], items: range, found: Evaluation) -> None:
        kept = feasible(values, len(items))
        found.infeasible[items.start - found.items.start :][: len(items)] = ~kept
        for wanted in stretches(items, block, block):
            rows = np.arange(wanted.start - items.start, wanted.stop - items.start)
            if not kept[rows].any():
                continue
            source = np.where(kept[rows], rows, rows[np.argmax(kept[rows])])
            part = Evaluation(wanted)
            step({name: selected(column, source) for name, column in values.items()}, wanted, part)
            some = np.flatnonzero(kept[rows])
            found.take(part, some, wanted.start - found.items.start + some)

    return evaluate


def feasible_one_by_one(step: Evaluator, feasible: Feasible) -> Evaluator:
    """Return a step that evaluates feasible items only."""

    def evaluate(values: dict[str, Array], items: range, found: Evaluation) -> None:
        kept = feasible(values, len(items))
        found.infeasible[items.start - found.items.start :][: len(items)] = ~kept
        rows = np.flatnonzero(kept)
        part = Evaluation(range(len(rows)))
        if len(rows):
            step({name: selected(column, rows) for name, column in values.items()}, part.items, part)
        found.take(part, np.arange(len(rows)), items.start - found.items.start + rows)

    return evaluate


def selected(column: Array, rows: Array) -> Array:
    """Return some rows of a column, read-only."""
    found = column[rows]
    found.flags.writeable = False
    return found
