"""Mini-batches: the few rows of the data on which one step computes its losses."""

from dataclasses import dataclass, replace
from functools import lru_cache

from optitrip.core.arrays import Array
from optitrip.core.method import Route
from optitrip.errors import NoAnswer
from optitrip.loss.objective import Capabilities
from optitrip.methods.descent.step import Step
from optitrip.methods.wrapped import with_stages
from optitrip.samplers.random import permutation


@dataclass(frozen=True)
class MiniBatch:
    """The rows of one step; they depend on the seed, the number of the step and the sizes alone.

    All rows are taken once in each epoch, in an order drawn anew; a rest that fills no mini-batch is left out.

    Args:
        seed: seed of the order.
        step: number of the step.
        size: number of rows.
    """

    seed: int
    step: int
    size: int

    def rows(self, samples: int) -> Array:
        """Return the numbers of the rows, ascending, int64 of shape (size,), of data with so many rows."""
        epoch, place = divmod(self.step, samples // self.size)
        chosen = order(self.seed, epoch, samples)[place * self.size : (place + 1) * self.size].copy()
        chosen.sort()
        return chosen


@lru_cache(2)
def order(seed: int, epoch: int, samples: int) -> Array:
    """Draw the order of all rows in an epoch."""
    return permutation(seed, "rows", str(epoch), samples)


def check_rows(size: int, capabilities: Capabilities) -> None:
    """Raise NoAnswer if an objective has no mini-batches of a size."""
    if not capabilities.samples:
        raise NoAnswer(
            f"rows = {size:,}, but the objective offers no mini-batches; wanted a method `subset(rows)`, which returns "
            "the same loss on some rows of its data, and `samples`, the number of rows"
        )
    if size > capabilities.samples:
        raise NoAnswer(f"rows = {size:,}, but the objective has {capabilities.samples:,} rows of data")


def on_mini_batches(route: Route, seed: int, number: int, size: int) -> Route:
    """Return the route of a step, whose slope is that on its mini-batch."""
    rows = MiniBatch(seed, number, size)
    return with_stages(route, lambda method: replace(method, rows=rows) if isinstance(method, Step) else method)
