"""Samplers: for any range of items, points of the open unit cube. One file each; to add one, add it to the table."""

from collections.abc import Mapping
from typing import Protocol

from optitrip.core.arrays import Array
from optitrip.samplers.halton import Halton
from optitrip.samplers.random import Random


class Sampler(Protocol):
    """Points of (0, 1)^d by index. A sampler is frozen and pure."""

    @property
    def name(self) -> str:
        """Name in sweep files."""
        ...

    @property
    def separate(self) -> bool:
        """True if the points of a variable do not depend on which others are drawn."""
        ...

    def check(self, sizes: Mapping[str, int], items: int) -> None:
        """Raise ValueError, with advice, if the sampler does not suit these numbers of coordinates (by variable) and
        items."""

    def unit(self, seed: int, sizes: Mapping[str, int], items: range) -> dict[str, Array]:
        """Draw the points of a range of items for the sweep's seed and the number of coordinates of each variable;
        returns for each name a float64 array of shape (len(items), sizes[name]) in the open interval (0, 1)."""
        ...


SAMPLERS: dict[str, Sampler] = {sampler.name: sampler for sampler in (Random(), Halton())}
"""Samplers by name in sweep files."""
