"""Verification: the losses of chosen candidates, by the objective itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.method import digest_of
from optitrip.core.part import Part
from optitrip.methods.shared.base import PointMethod
from optitrip.space.candidates import Candidates


@dataclass(frozen=True)
class Verification(PointMethod[Candidates]):
    """The losses of the candidates `indices`; its result is the part that covers them."""

    points: Candidates
    indices: tuple[int, ...]
    kind = "verification"
    retried = True

    @property
    def items(self) -> int:
        return len(self.indices)

    def point_index(self, item: int) -> int:
        return self.indices[item]

    def values(self, items: range) -> dict[str, Array]:
        points = [self.point(item) for item in items]
        values = {name: np.concatenate([point[name] for point in points]) for name in points[0]}
        for column in values.values():
            column.flags.writeable = False
        return values

    def digest(self) -> bytes:
        return digest_of(self.kind, {"draws": self.points.describe(), "candidates": list(self.indices)})

    def result(self, whole: Part) -> Part:
        return whole
