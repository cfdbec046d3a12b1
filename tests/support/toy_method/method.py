"""Count: how many candidates have a loss below a number, and the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import Failures
from optitrip.core.method import Route, digest_of
from optitrip.core.part import Part, failures_replaced
from optitrip.errors import NoAnswer
from optitrip.loss.evaluation import Evaluation
from optitrip.methods.shared import PointMethod, joined_part
from optitrip.space.candidates import Candidates

HITS, EARLIEST = "hits", "earliest_hit"
"""The columns: the number of hits, of one entry, and the index of the first one, of at most one."""


@dataclass(frozen=True, eq=False)
class CountResult:
    """The result of the stage."""

    items: int
    count: int
    first: int | None
    """The lowest index of a hit."""
    failures: Failures


@dataclass(frozen=True)
class Count(PointMethod[Candidates]):
    """The stage."""

    points: Candidates
    items: int
    below: float
    kind = "count"
    main = True
    retried = True
    required_prefix = 100

    def digest(self) -> bytes:
        return digest_of(self.kind, {"draws": self.points.describe(), "below": self.below})

    def part(self, evaluation: Evaluation) -> Part:
        hits = np.flatnonzero(np.isfinite(evaluation.losses) & (evaluation.losses < self.below))
        columns = {HITS: np.array([len(hits)]), EARLIEST: evaluation.items.start + hits[:1]}
        return Part(evaluation.items, columns, evaluation.failures)

    def merge(self, *parts: Part) -> Part:
        return joined_part(parts, added_up(parts))

    def replaced(self, whole: Part, retried: Sequence[Part]) -> Part:
        """Add the hits of retried items: an item that failed was no hit."""
        return Part(whole.items, added_up([whole, *retried]), failures_replaced(whole, retried))

    def result(self, whole: Part) -> CountResult:
        first = whole.columns[EARLIEST].tolist()
        return CountResult(len(whole.items), int(whole.columns[HITS][0]), first[0] if first else None, whole.failures)


def added_up(parts: Sequence[Part]) -> dict[str, Array]:
    hits, earliest = (np.concatenate([part.columns[name] for part in parts]) for name in (HITS, EARLIEST))
    return {HITS: hits.sum(keepdims=True), EARLIEST: np.sort(earliest)[:1]}


def count_route(method: Count) -> Route:
    """Yield the only stage; return its result.

    Raises:
        NoAnswer: if every candidate failed.
    """
    result: CountResult = yield method
    if result.failures.count == result.items:
        raise NoAnswer(f"none of the {result.items:,} draws has a loss", result.failures, method)
    return result
