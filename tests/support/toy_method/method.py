"""Count: how many draws have a loss below a number, and the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import Failures, Problems
from optitrip.core.method import NOTHING, AllItems, Route, digest_of
from optitrip.core.part import Part, adjacent
from optitrip.errors import NoAnswer
from optitrip.loss.objective import Objective
from optitrip.loss.returns import Evaluation
from optitrip.space.candidates import Candidates

HITS, EARLIEST = "hits", "earliest_hit"
"""The columns: the number of hits, of one entry, and the index of the first one, of at most one."""


@dataclass(frozen=True, eq=False)
class CountResult:
    """What the stage came to."""

    items: int
    count: int
    first: int | None
    """The lowest index of a hit."""
    failures: Failures


@dataclass(frozen=True)
class Count:
    """The stage."""

    draws: Candidates
    items: int
    below: float
    kind: str = "count"
    main: bool = True
    retried: bool = True
    required_prefix: int = 100
    block: int = 0

    def sides(self, item: int) -> int:
        return self.draws.sides(item)

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        return self.draws.point(item, side)

    def title(self, item: int, side: int | None = 0) -> str:
        return self.draws.title(item, side)

    def stop_rule(self) -> AllItems:
        return AllItems(self.items)

    def digest(self) -> bytes:
        return digest_of(self.kind, {"draws": self.draws.describe(), "below": self.below})

    def prepare(self, objective: Objective) -> Objective:
        return objective

    @property
    def preparation(self) -> bytes:
        return NOTHING

    def evaluate(self, context: Objective, items: range) -> Part:
        return self._part(context.evaluate(self.draws.values, items))

    def failed_part(self, items: range, problems: Problems) -> Part:
        return self._part(Evaluation(items, problems=problems))

    def _part(self, found: Evaluation) -> Part:
        hits = np.flatnonzero(np.isfinite(found.losses) & (found.losses < self.below))
        columns = {HITS: np.array([len(hits)]), EARLIEST: found.items.start + hits[:1]}
        return Part(found.items, columns, found.failures)

    def merge(self, *parts: Part) -> Part:
        failures = Failures().then(*(part.failures for part in parts))
        return Part(adjacent(*parts), together([part.columns[HITS] for part in parts], earliest(parts)), failures)

    def replaced(self, whole: Part, part: Part) -> Part:
        """Add what was found: an item that failed was no hit."""
        columns = together([whole.columns[HITS], part.columns[HITS]], np.sort(earliest([whole, part])))
        return Part(whole.items, columns, whole.failures.replaced(part.items, part.failures))

    def result(self, whole: Part) -> CountResult:
        first = whole.columns[EARLIEST].tolist()
        return CountResult(len(whole.items), int(whole.columns[HITS][0]), first[0] if first else None, whole.failures)


def earliest(parts: Sequence[Part]) -> Array:
    return np.concatenate([part.columns[EARLIEST] for part in parts])


def together(hits: list[Array], first: Array) -> dict[str, Array]:
    return {HITS: np.concatenate(hits).sum(keepdims=True), EARLIEST: first[:1]}


@dataclass(frozen=True, eq=False)
class Found:
    """What the route came to."""

    result: CountResult


def count_route(method: Count) -> Route:
    """Yield the only stage.

    Raises:
        NoAnswer: if every draw failed.
    """
    result: CountResult = yield method
    if result.failures.count == result.items:
        raise NoAnswer(f"none of the {result.items:,} draws has a loss", result.failures, method)
    return Found(result)
