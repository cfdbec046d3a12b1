"""Losses with batches, and their evaluation over ranges of items."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

import optitrip
from optitrip.core.arrays import Array
from optitrip.core.failures import Failures
from optitrip.loss.objective import Objective
from optitrip.samplers.random import Random
from optitrip.space.variables import Space

ITEMS = 300
SPACE = Space.parse({"x": {"normal": [0, 1]}, "W": {"normal": [0, 1], "shape": [3]}, "kind": {"choice": ["a", "b"]}})
X = SPACE.values(Random().unit(0, SPACE.sizes, range(ITEMS)), ITEMS)["x"]


def draw(items: range) -> dict[str, Array]:
    """Return values of the space, and as `n` the item's own index."""
    values = SPACE.values(Random().unit(0, SPACE.sizes, items), len(items))
    n = np.arange(items.start, items.stop)
    n.flags.writeable = False
    return {**values, "n": n}


Outcome = tuple[bytes, bytes]


def outcome(objective: Objective, items: range, plainly: bool = False) -> tuple[Array, Failures]:
    found = (objective.evaluate_plainly if plainly else objective.evaluate)(draw, items)
    return found.losses, found.failures


def joined(objective: Objective, cuts: list[int], plainly: bool = False) -> Outcome:
    """Return losses and failures of the ranges between the cuts, one after the other, as bytes."""
    losses, failures = [np.empty(0)], Failures()
    bounds = sorted(cuts)
    for lo, hi in pairwise(bounds):
        some, failed = outcome(objective, range(lo, hi), plainly)
        losses.append(some)
        failures = failures.then(failed)
    return np.concatenate(losses).tobytes(), failures.to_bytes()


def shows_optitrip(traceback: str) -> bool:
    """Return whether a traceback has a line of the package."""
    return str(Path(optitrip.__file__).parent) in traceback


def failed(failures: Failures) -> set[int]:
    return {n for runs in failures.runs.values() for lo, hi in runs for n in range(lo, hi)}


cuts = st.lists(st.integers(0, ITEMS), max_size=6).map(lambda some: [0, *some, ITEMS])
ranges = st.tuples(st.integers(0, ITEMS), st.integers(0, ITEMS)).map(lambda ends: range(min(ends), max(ends)))
blocks = st.sampled_from([1, 2, 7, 16, 64, 256])


class Batched:
    """Losses by a formula, and a record of what was called."""

    def __init__(self, formula: Callable[..., Any], block: int = 8) -> None:
        self.formula = formula
        self.block = block
        self.calls: list[dict[str, Array]] = []

    def losses(self, **given: Array) -> Any:
        self.calls.append(given)
        return self.formula(**given)


class Both(Batched):
    """A batched loss with a plain call."""

    def __call__(self, **point: Any) -> Any:
        return self.formula(**{name: np.asarray(value)[np.newaxis] for name, value in point.items()})[0]


def by_place(x: Array, W: Array, **_: Array) -> Array:
    """A loss that depends on the place in the block, as BLAS's rounding does, only more so."""
    return x + W.sum(axis=1) + np.arange(len(x)) / 1000


class Poisonous:
    """Raises when a poisonous item is in the batch, naming the first of them."""

    def __init__(self, poison: set[int], block: int, error: type[BaseException] = ValueError) -> None:
        self.poison, self.block, self.error = poison, block, error

    def losses(self, n: Array, **given: Any) -> Array:
        for item in n.tolist():
            if item in self.poison:
                raise self.error(f"item {item} is poisonous")
        return by_place(**given)


class Plain:
    """A poisonous loss without batches."""

    def __init__(self, poison: set[int]) -> None:
        self.poison = poison

    def __call__(self, n: int, x: float, W: Array, kind: str) -> float:
        if n in self.poison:
            raise ValueError(f"item {n} is poisonous")
        return x + float(W.sum()) + len(kind)
