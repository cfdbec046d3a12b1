"""Where a search's candidates come from: a sampler, a space and a seed; a candidate is its index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optitrip.part import Array
from optitrip.samplers import SAMPLERS
from optitrip.space import Space


@dataclass(frozen=True)
class Draws:
    """The endless sequence of candidates of a sweep."""

    space: Space
    seed: int
    sampler: str = "random"

    def values(self, items: range) -> dict[str, Array]:
        """Read-only values of a range of candidates by name, each of shape (len(items), *shape of the variable)."""
        unit = SAMPLERS[self.sampler].unit(self.seed, self.space.sizes, items)
        return self.space.values(unit, len(items))

    def point(self, index: int) -> dict[str, Array]:
        """One candidate, as a batch of one."""
        return self.values(range(index, index + 1))

    def title(self, index: int) -> str:
        """What a message calls it."""
        return f"candidate {index}"

    def describe(self) -> dict[str, Any]:
        return {"space": self.space.describe(), "seed": self.seed, "sampler": self.sampler}
