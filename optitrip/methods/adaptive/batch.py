"""The main stage of an adaptive search: the losses of one batch of candidates, stored with their points."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optitrip.core.failures import Failures, Problems
from optitrip.core.method import digest_of
from optitrip.core.part import Part
from optitrip.errors import StateError
from optitrip.loss.objective import Objective
from optitrip.methods.adaptive.cube import Asked
from optitrip.methods.search.method import OF_BEST, Search
from optitrip.methods.wrapped import Wrapped

UNIT = "unit"
"""Column with the points of the unit cube."""
INDICES = ("low_index", OF_BEST + "index")
"""Columns of a search that hold numbers of candidates."""


@dataclass(frozen=True)
class Batch(Wrapped):
    """The candidates of one batch, evaluated as those of a search, of which the result is the part.

    Args:
        inner: the search, whose candidates are `Asked`, from number 0; it ends at the target.
        first: number of the first candidate.
        size: number of candidates of a batch; there are fewer in the last one only.
        told: digest of everything that decides which points the searcher asks for, without the points.
        searcher: name of the searcher.
        best_before: best loss of all batches before; None without one.
    """

    first: int
    size: int
    told: str
    searcher: str
    best_before: float | None = None
    kind = "adaptive"
    main = True
    retried = True
    joins = True

    @property
    def before(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.first

    @property
    def required_prefix(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return 0  # the route counts over all batches

    @property
    def search(self) -> Search:
        """The search of these candidates."""
        assert isinstance(self.inner, Search)
        return self.inner

    @property
    def asked(self) -> Asked:
        """The candidates, with their numbers."""
        points = self.search.points
        assert isinstance(points, Asked)
        return points.numbered(self.first)

    @property
    def preparation(self) -> bytes:
        return f"block of at most {self.size}".encode()

    def prepare(self, objective: Objective) -> Objective:
        # A whole block would be computed for a few candidates: BLAS rounds by the shape, so blocks are always full.
        return replace(objective, block=min(self.size, objective.capabilities.block))

    def digest(self) -> bytes:
        # Without the points: a searcher that asks for others than those that are stored is found out, not evaluated.
        return digest_of(self.kind, {"told": self.told, "first": self.first, "size": self.size})

    def evaluate(self, context: Any, items: range) -> Part:
        return self._with_points(self.inner.evaluate(context, items))

    def failed_part(self, items: range, problems: Problems) -> Part:
        return self._with_points(self.inner.failed_part(items, problems))

    def _with_points(self, part: Part) -> Part:
        rows = self.asked.unit_rows[part.items.start : part.items.stop]
        return Part(part.items, {**part.columns, UNIT: rows}, part.failures)

    def merge(self, *parts: Part) -> Part:
        whole = self.inner.merge(*map(losses_of, parts))
        points = np.concatenate([part.columns[UNIT] for part in parts])
        return Part(whole.items, {**whole.columns, UNIT: points}, whole.failures)

    def replaced(self, whole: Part, retried: Sequence[Part]) -> Part:
        found = self.inner.replaced(losses_of(whole), [losses_of(part) for part in retried])
        return Part(found.items, {**found.columns, UNIT: whole.columns[UNIT]}, found.failures)

    def witness(self, part: Part) -> tuple[int, float] | None:
        return self.inner.witness(part) if not self.first else None  # one batch shows what another node computes

    def title(self, item: int, side: int | None = 0) -> str:
        return self.inner.title(self.first + item, side)

    def result(self, whole: Part) -> Part:
        """Return the part of a search of these candidates; raise StateError if it is one of other points."""
        if not np.array_equal(whole.columns[UNIT], self.asked.unit_rows[: len(whole.items)]):
            raise StateError(
                f"{self.title(0)}: the searcher {self.searcher} asks for other points than those that are stored. "
                "Either it has changed, e.g. with another version of its package, or it is not deterministic. The "
                "stored sweep stays as it is: give this one another name, or restore the searcher"
            )
        return losses_of(whole)

    def numbered(self, part: Part) -> Part:
        """Return a part of a search with the numbers of the candidates in place of those in the batch."""
        columns = losses_of(part).columns
        moved = {name: columns[name] + self.first for name in INDICES if name in columns}
        items = range(part.items.start + self.first, part.items.stop + self.first)
        return Part(items, {**columns, **moved}, shifted(part.failures, self.first))


def losses_of(part: Part) -> Part:
    """Return the part of a search that a part of a batch holds."""
    return Part(part.items, {name: column for name, column in part.columns.items() if name != UNIT}, part.failures)


def shifted(failures: Failures, by: int) -> Failures:
    """Return failures at indices that are higher by a number."""
    runs = {kind: tuple((lo + by, hi + by) for lo, hi in of_kind) for kind, of_kind in failures.runs.items()}
    records = {
        kind: tuple(replace(record, index=record.index + by) for record in of_kind)
        for kind, of_kind in failures.records.items()
    }
    return Failures(runs, records)
