"""The grid sampler: all combinations of the variables' values, by index in mixed radix.

The first variable in the sweep file varies slowest, and within an array its first entry; the last varies fastest, as
digits of a number do. The seed does not matter. A search has at most as many candidates as there are combinations, so
that nothing is evaluated twice; with fewer, it is the first ones, which a larger number of candidates continues.
"""

import json
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from optitrip.core.arrays import Array
from optitrip.samplers.sampler import Design, Sampler

LARGEST_INDEX = 2**53


@dataclass(frozen=True)
class Grid(Sampler):
    """Middles of the intervals of u that give the values; row n depends on n and on the order of all variables and
    their numbers of values. After the last row they begin again."""

    name: ClassVar[str] = "grid"

    def check(self, design: Design) -> None:
        """Check that each variable has a finite number of values, all in equal intervals of u."""
        endless = [name for name in design if not design.levels[name]]
        if endless:
            raise ValueError(
                f"was 'grid', but {', '.join(endless)} cannot be counted off; give a continuous variable levels, e.g. "
                "{ uniform = [0, 1], levels = 11 }, list the values, e.g. { choice = [1, 10, 100] }, or use another "
                "sampler"
            )

    def most(self, design: Design) -> int | None:
        return math.prod(design.levels[name] ** size for name, size in design.items())

    def identity(self, design: Design) -> str:
        return f"{self.name} by {json.dumps(list(design), ensure_ascii=False)}"

    def unit(self, seed: int, design: Design, items: range) -> dict[str, Array]:
        index, stride = np.arange(items.start, items.stop), 1
        unit = {name: np.empty((len(items), size)) for name, size in design.items()}
        for name, size in reversed([*design.items()]):
            levels = design.levels[name]
            for place in reversed(range(size)):
                # Beyond the largest index, all rows have the first value.
                digit = index // stride % levels if stride <= LARGEST_INDEX else 0
                unit[name][:, place] = (digit + 0.5) / levels
                stride *= levels
        return unit
