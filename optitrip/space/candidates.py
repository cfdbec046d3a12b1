"""The sequence of candidates that a sampler, a space and a seed make, with given points before them and constraints."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.method import Points
from optitrip.samplers import SAMPLERS
from optitrip.samplers.random import Random
from optitrip.samplers.sampler import Design
from optitrip.space.conditions import satisfied
from optitrip.space.expression import Expression
from optitrip.space.given import Given
from optitrip.space.variables import Space

MOST_REDRAWN = 1_000
"""Most times that an infeasible candidate is drawn again."""


@dataclass(frozen=True)
class Candidates(Points):
    """The sequence of candidates of a sweep, endless unless the sampler or given points end it.

    Given points are the first candidates; the others are drawn, the first of them as row 0 of the sampler.
    """

    space: Space
    seed: int
    sampler: str = "random"
    together: int | None = field(default=None, kw_only=True)
    """Number of drawn candidates, which some samplers draw together; None where one is drawn for itself."""
    given: Given | None = field(default=None, kw_only=True)
    """Points that a person gave."""
    where: tuple[Expression, ...] = field(default=(), kw_only=True)
    """Constraints; a candidate that violates one is infeasible, and not evaluated."""
    redraw: bool = field(default=False, kw_only=True)
    """True if an infeasible candidate is drawn again, from streams of its own, until it is feasible."""
    draws: ClassVar[bool] = True
    """True if each candidate is drawn for itself; False if a searcher asks for it, or it has numbers of another."""

    @property
    def independent(self) -> bool:
        """True if all candidates are drawn, without regard to the losses of others."""
        return self.draws and self.given is None

    @property
    def given_count(self) -> int:
        """Number of given points."""
        return self.given.count if self.given else 0

    def values(self, items: range) -> dict[str, Array]:
        """Return read-only values by name of a range of candidates, absent where a variable does not exist."""
        given = self.given_count
        drawn = range(max(items.start, given) - given, max(items.stop, given) - given)
        if self.given is None or items.start >= given:
            return self.space.values(self.unit(self.space.sizes, drawn), len(drawn))
        first = self.given.rows(range(items.start, min(items.stop, given)))
        if not drawn:
            return first
        others = self.space.values(self.unit(self.space.sizes, drawn), len(drawn))
        found = {name: np.concatenate([column, others[name]]) for name, column in first.items()}
        for column in found.values():
            column.flags.writeable = False
        return found

    @cached_property
    def _design(self) -> Design:
        return self.space.design(self.together)

    def unit(self, names: Iterable[str], items: range) -> dict[str, Array]:
        """Return points of the unit cube for some drawn variables, as a sampler does; they may be overwritten. Row 0 is
        that of the first candidate that is not given."""
        names = list(names)
        if self.redraw:
            found = self._redrawn(items)
        else:
            sampler = SAMPLERS[self.sampler]
            # Arrays may be large; with most samplers they move no other variable, so that they need not be drawn.
            found = sampler.unit(self.seed, self._design.only(names) if sampler.separate else self._design, items)
        return {name: found[name] for name in names}

    def _redrawn(self, items: range) -> dict[str, Array]:
        """Return points of the unit cube, of which infeasible ones are drawn again at most `MOST_REDRAWN` times.

        Each time has a stream of its own, of which candidate n takes row n: how often a candidate is drawn again moves
        no other one.
        """
        found = SAMPLERS[self.sampler].unit(self.seed, self._design, items)
        wrong = self._infeasible(found, np.arange(len(items)))
        for attempt in range(1, MOST_REDRAWN + 1):
            if not len(wrong):
                break
            low, high = int(wrong[0]), int(wrong[-1]) + 1
            again = Random(purpose=f"redraw {attempt}").unit(
                self.seed, self._design, range(items.start + low, items.start + high)
            )
            for name, column in again.items():
                found[name][wrong] = column[wrong - low]
            wrong = self._infeasible(found, wrong)
        return found

    def _infeasible(self, unit: Mapping[str, Array], rows: Array) -> Array:
        """Return which of some rows are infeasible, int64."""
        values = self.space.values({name: column[rows] for name, column in unit.items()}, len(rows))
        return rows[~self.feasible(values, len(rows))]

    @property
    def most(self) -> int | None:
        """Number of different candidates that can be drawn, if the sampler has no more."""
        return SAMPLERS[self.sampler].most(self._design)

    @property
    def constrained(self) -> bool:
        """True if there are constraints."""
        return bool(self.where)

    def feasible(self, values: Mapping[str, Array], count: int) -> Array:
        """Return which of some points meet all constraints, bool of shape (count,); one over a variable that does not
        exist at a point is met there."""
        found = np.ones(count, bool)
        for constraint in self.where:
            found &= satisfied(constraint, values, count, otherwise=True)
        return found

    def feasible_share(self, count: int) -> float:
        """Return the share of feasible candidates among the first drawn ones, before any is drawn again."""
        unit = SAMPLERS[self.sampler].unit(self.seed, self._design, range(count))
        return 1 - len(self._infeasible(unit, np.arange(count))) / count

    def title(self, item: int, side: int | None = 0) -> str:
        return f"candidate {item}"

    def describe(self) -> dict[str, Any]:
        described = {"space": self.space.describe(), "seed": self.seed, "sampler": self.sampler}
        design = SAMPLERS[self.sampler].identity(self._design)
        constraints = {"where": [one.text for one in self.where], "redraw": self.redraw} if self.where else {}
        given = {"given": self.given.digest} if self.given else {}
        return described | ({"design": design} if design else {}) | constraints | given
