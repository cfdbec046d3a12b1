"""Snapshots: what a route knows after some of its stages, stored so that a resumed route can start from there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import Problems
from optitrip.core.method import digest_of
from optitrip.core.part import Part
from optitrip.loss.evaluation import Evaluation
from optitrip.methods.shared import MethodBase

Columns = Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Snapshot(MethodBase):
    """A stage that stores columns, or only reads them; the result is the columns, or None if there are none.

    Args:
        route: digest of everything that the route depends on.
        number: number of the snapshot in the route.
        columns: arrays to store, by name.
        only_stored: True to read.
        joins: True if the stage has the number of the one before it.
        word: noun for what its number counts.
    """

    route: str
    number: int
    columns: Columns = field(default_factory=dict[str, Array])
    only_stored: bool = False
    joins: bool = True
    word: str = "step"
    kind = "snapshot"
    items = 1

    def sides(self, item: int) -> int:
        return 1

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        return {name: column[np.newaxis] for name, column in self.columns.items()}

    def title(self, item: int, side: int | None = 0) -> str:
        return f"{self.word} {self.number:,}"

    def digest(self) -> bytes:
        return digest_of(self.kind, {"route": self.route, "number": self.number})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snapshot) and self.digest() == other.digest()

    def __hash__(self) -> int:
        return hash(self.digest())

    def evaluate(self, context: Any, items: range) -> Part:
        return Part(items, dict(self.columns))

    def evaluations(self, items: range) -> int:
        return 0

    def failed_part(self, items: range, problems: Problems) -> Part:
        return Part(items, {}, Evaluation(items, problems=problems).failures)

    def result(self, whole: Part) -> Columns | None:
        return whole.columns or None
