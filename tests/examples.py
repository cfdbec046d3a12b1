"""Objectives and sweeps that many tests use. Importable on workers too."""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.methods.agreement import Agreement
from optitrip.methods.draws import Draws
from optitrip.methods.report import Report
from optitrip.methods.search import Search
from optitrip.objective import Objective
from optitrip.part import Array, Part
from optitrip.space import Space

HERE = str(Path(__file__).parent)

SPACE = Space.parse({"x": {"shape": [3], "normal": [0, 1]}, "k": {"integer": [1, 9]}, "c": 2.5})


def scalar(x: Array, k: int, c: float) -> float:
    """A plain loss of one point."""
    return float(np.sum((x - 1) ** 2)) * k + c


def troubled(x: Array, k: int, c: float) -> Any:
    """A loss that fails in every way for some points, by their values alone."""
    value = scalar(x, k, c)
    match int(value * 1000) % 23:
        case 0:
            raise ValueError(f"no loss at {value!r}")
        case 1:
            return math.nan
        case 2:
            return math.inf
        case 3:
            return "many"
        case 4:
            return -math.inf
        case _:
            return value


class Batched:
    """A batched loss by a matrix product, so that bits depend on the shape of a block and on the place in it."""

    block = 8

    def __init__(self) -> None:
        self.matrix = np.random.default_rng(1).standard_normal((3, 40))

    def __call__(self, x: Array, k: int, c: float) -> float:
        return float(np.square(x @ self.matrix).sum() * k + c)

    def losses(self, x: Array, k: Array, c: Array) -> Array:
        return np.square(x @ self.matrix).sum(axis=1) * k + c

    def report(self, x: Array, k: int, c: float) -> dict[str, float]:
        del c
        return {"largest": float(np.abs(x).max()), "k": float(k)}

    tolerance = 1e-12


class Poisoned(Batched):
    """A batch that raises as a whole if one of its candidates is poison, as vectorised code does."""

    def losses(self, x: Array, k: Array, c: Array) -> Array:
        if (k == 7).any():
            raise FloatingPointError("k is 7")
        return super().losses(x, k, c)

    def __call__(self, x: Array, k: int, c: float) -> float:
        if k == 7:
            raise FloatingPointError("k is 7")
        return super().__call__(x, k, c)


def slow(x: Array, k: int, c: float) -> float:
    """A loss that takes two milliseconds."""
    time.sleep(0.002)
    return scalar(x, k, c)


class KillsOnce:
    """Kills its process at one candidate, the first time that any process meets it."""

    def __init__(self, marker: str) -> None:
        self.marker = Path(marker)

    def __call__(self, x: Array, k: int, c: float) -> float:
        if k == 3 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return scalar(x, k, c)


class CannotPrepare:
    """An objective that cannot be rebuilt on a worker."""

    def __call__(self, x: Array, k: int, c: float) -> float:
        return scalar(x, k, c)

    def __reduce__(self) -> tuple[Any, ...]:
        return (refuse, ())


def refuse() -> Any:
    raise RuntimeError("this worker lacks the simulator")


LOSSES: dict[str, Any] = {
    "scalar": Objective(scalar),
    "troubled": Objective(troubled),
    "batched": Objective(Batched()),
    "poisoned": Objective(Poisoned()),
}


def draws(seed: int = 5) -> Draws:
    return Draws(SPACE, seed)


def search(items: int, keep_all: int = 50, best: int = 4, seed: int = 5) -> Search:
    """A search whose losses thin out from `keep_all` on."""
    return Search(draws(seed), items, best, keep_all)


METHODS: dict[str, Any] = {
    "search": search,
    "agreement": lambda items: Agreement(draws(), items),
    "report": lambda items: Report(draws(), items),
}
"""Makers by items, each run through every law; a report's only item is the candidate of that index."""


def bits(part: Part) -> tuple[range, bytes, bytes]:
    """All that makes two parts the same."""
    return part.items, part.columns_bytes(), part.failures.to_bytes()


def result_bits(result: Any) -> bytes:
    """A result, to the bit."""
    return b"|".join(
        value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode() for value in vars(result).values()
    )
