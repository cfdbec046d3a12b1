"""The sequence of a search's candidates, made by a sampler, a space and a seed; a candidate is its index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optitrip.core.arrays import Array
from optitrip.samplers import SAMPLERS
from optitrip.space.variables import Space


@dataclass(frozen=True)
class Candidates:
    """The endless sequence of candidates of a sweep."""

    space: Space
    seed: int
    sampler: str = "random"

    def values(self, items: range) -> dict[str, Array]:
        """Return read-only values of a range of candidates by name, each of shape (len(items), *variable shape)."""
        unit = SAMPLERS[self.sampler].unit(self.seed, self.space.sizes, items)
        return self.space.values(unit, len(items))

    def sides(self, item: int) -> int:
        """Return 1: a candidate is one point."""
        del item
        return 1

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        """Draw one candidate, as a batch of one."""
        del side
        return self.values(range(item, item + 1))

    def title(self, item: int, side: int | None = 0) -> str:
        """Return the candidate's name in messages, e.g. "candidate 7"."""
        del side
        return f"candidate {item}"

    def describe(self) -> dict[str, Any]:
        return {"space": self.space.describe(), "seed": self.seed, "sampler": self.sampler}
