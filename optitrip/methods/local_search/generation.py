"""The main stage of a local search: the losses of several random moves around the best point so far."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import ndtri

from optitrip.core.arrays import Array, ours
from optitrip.core.failures import Failures
from optitrip.core.method import Points, digest_of
from optitrip.core.part import Part
from optitrip.core.point import Limits, Point
from optitrip.loss.evaluation import Evaluation
from optitrip.loss.objective import Objective
from optitrip.methods.points import confined, flat_of, moved_to
from optitrip.methods.shared import PointMethod
from optitrip.samplers.random import Random


@dataclass(frozen=True, eq=False)
class Around(Points):
    """The points x + step * noise, whose noise depends on the seed, the variable and the number of the try alone.

    Args:
        center: x.
        first: number of the first try.
        step: standard deviation of the moves.
        seed: seed of the noise.
        limits: variables that must not leave an interval.
    """

    center: Point
    first: int
    step: float
    seed: int
    limits: Limits | None = None

    @ours()
    def values(self, items: range) -> dict[str, Array]:
        rows = {name: np.repeat(value[np.newaxis], len(items), axis=0) for name, value in self.center.values.items()}
        sizes = {name: self.center.values[name].size for name in self.center.varied}
        tries = range(self.first + items.start, self.first + items.stop)
        units = Random(purpose="noise").unit(self.seed, sizes, tries)
        noise = np.concatenate([ndtri(unit) for unit in units.values()], axis=1)
        x = flat_of(self.center)
        for row in range(len(items)):
            moved = confined(self.center, x + self.step * noise[row], self.limits)
            for name, part in self.center.by_variable(moved).items():
                rows[name][row] = part
        for column in rows.values():
            column.flags.writeable = False
        return rows

    def end(self, item: int) -> Point:
        """Return the point of a try."""
        point = self.point(item)
        flat = [point[name][0].ravel().astype(np.float64) for name in self.center.varied]
        return moved_to(self.center, np.concatenate(flat))

    def title(self, item: int, side: int | None = 0) -> str:
        return f"try {self.first + item:,}"

    @cached_property
    def description(self) -> dict[str, Any]:
        """Everything that the points depend on."""
        limits = {name: [b.tolist() for b in pair] for name, pair in (self.limits or {}).items()}
        own = hashlib.blake2b(str(limits).encode(), digest_size=8).hexdigest() if limits else ""
        return {"x": self.center.digest, "first": self.first, "step": self.step, "seed": self.seed, "limits": own}

    def describe(self) -> dict[str, Any]:
        return self.description

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Around) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash(str(self.describe()))


@dataclass(frozen=True, eq=False)
class Tried:
    """The losses of a generation."""

    losses: Array
    """Losses, float64; NaN where one failed."""
    failures: Failures


@dataclass(frozen=True)
class Generation(PointMethod[Around]):
    """The losses of `items` moves from one point; the result is `Tried`.

    Args:
        points: the moves.
        items: number of moves, fewer than `size` in the last generation only.
        size: number of moves of a generation, which a batched loss takes at once if that is less than its own block.
        sign: +1 to minimise, -1 to maximise.
    """

    points: Around
    items: int
    size: int
    sign: int = 1
    kind = "local_search"
    main = True
    retried = True
    joins = True

    @property
    def before(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.points.first

    @property
    def preparation(self) -> bytes:
        return f"block of at most {self.size}".encode()

    def prepare(self, objective: Objective) -> Objective:
        # A whole block would be computed for a few moves: BLAS rounds by the shape, so blocks are always full.
        return replace(objective, block=min(self.size, objective.capabilities.block))

    def digest(self) -> bytes:
        return digest_of(self.kind, {"points": self.points.describe(), "size": self.size})

    def part(self, evaluation: Evaluation) -> Part:
        return Part(evaluation.items, {"loss": evaluation.losses}, evaluation.failures)

    def result(self, whole: Part) -> Tried:
        return Tried(whole.columns["loss"], whole.failures)
