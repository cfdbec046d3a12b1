"""The protocols of methods: what the items of a stage are, how they are evaluated and how parts merge."""

# Protocol methods have only docstrings.
# pyright: reportReturnType=false

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.part import Part

if TYPE_CHECKING:
    from optitrip.core.failures import Problems
    from optitrip.loss.objective import Objective

AT_ONCE = 256
"""Number of parts that one call merges."""


class Items(Protocol):
    """Access to single items, for messages and re-evaluation. An item has one or more points, called its sides."""

    def sides(self, item: int) -> int:
        """Return the number of points of an item; they are numbered from 0."""

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        """Return the values of one point by name, as a batch of one."""

    def title(self, item: int, side: int | None = 0) -> str:
        """Return the label of a point in messages; None stands for any of the item's points."""


class Points(Items, Protocol):
    """Points to be evaluated, one per item; frozen, pure, and small because they are sent to the workers."""

    def sides(self, item: int) -> int:
        return 1

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        return self.values(range(item, item + 1))

    def values(self, items: range) -> dict[str, Array]:
        """Return read-only values by name, each of shape (len(items), *shape of the variable)."""

    @property
    def constrained(self) -> bool:
        """True if some of the points may be infeasible; these are not evaluated."""
        return False

    def feasible(self, values: Mapping[str, Array], count: int) -> Array:
        """Return which of some points meet all constraints, bool of shape (count,)."""
        return np.ones(count, bool)

    def describe(self) -> dict[str, Any]:
        """Return everything that the points depend on, for digests."""


class StopRule:
    """Sees the parts of a stage, in any order, and decides how many items are needed: in this class, all."""

    def __init__(self, items: int) -> None:
        self.items = items
        """Number of items needed according to the parts seen so far; it never rises."""

    def see(self, part: Part) -> None:
        """Update the rule with a part."""


class Method(Items, Protocol):
    """Frozen, picklable, pure.

    The law of every method: for adjacent ranges, `evaluate(a + b) == merge(evaluate(a), evaluate(b))`, to the bit.
    """

    @property
    def kind(self) -> str:
        """Name in messages, phases and the journal's listing."""

    @property
    def items(self) -> int:
        """Number of items; at least one."""

    @property
    def main(self) -> bool:
        """True if the stage is the purpose of the sweep: it has the live line, shards, early ends and spot checks."""

    @property
    def retried(self) -> bool:
        """True if items that failed may be retried."""

    @property
    def optional(self) -> bool:
        """True if the stage only checks the main stage before it. It is skipped, with the result None, where an item of
        that stage takes over a second and over 1 % of the whole."""

    @property
    def only_stored(self) -> bool:
        """True if the stage is only read from the journal: it is skipped, with the result None, unless it is there."""

    @property
    def joins(self) -> bool:
        """True if the stage has the number of the stage before it, so that a route may yield any number of such stages.
        Their digests tell them apart, and the journal lists only the last."""

    @property
    def before(self) -> int:
        """Number of the sweep's items that are done before a main stage."""

    @property
    def required_prefix(self) -> int:
        """Number of leading items; if all fail, a stage with more ends without an answer. 0 if any items may fail."""

    @property
    def block(self) -> int:
        """Number of items in one call, 0 for the objective's own block; slices hold whole blocks where they can."""

    @property
    def preparation(self) -> bytes:
        """Everything that `prepare` depends on: methods with equal values share a context. Empty if there is none."""

    def stop_rule(self) -> StopRule:
        """Make the rule by which the stage may end before its last item."""

    def digest(self) -> bytes:
        """Return a digest of everything in the method except `items`: parts with equal digests belong together."""

    def prepare(self, objective: Objective) -> Any:
        """Make the context for `evaluate`, once per worker and `preparation`."""

    def evaluate(self, context: Any, items: range) -> Part:
        """Evaluate any range of items."""

    def evaluations(self, items: range) -> int:
        """Return how often items take the loss to be computed, at one point at a time or in batches."""

    def failed_part(self, items: range, problems: Problems) -> Part:
        """Make the part of items that no worker could evaluate, each with its problem."""

    def merge(self, *parts: Part) -> Part:
        """Join adjacent parts.

        The result depends only on their concatenated columns, so one part with these columns can replace them.
        """

    def replaced(self, whole: Part, retried: Sequence[Part]) -> Part:
        """Return the whole with its failed items replaced by those of later parts, which are disjoint and ascending."""

    def witness(self, part: Part) -> tuple[int, float] | None:
        """Return the item of a part that decides the answer, with its loss, or None.

        On a cluster, another node evaluates it again at the end. A part of this item alone has the same witness.
        """

    def result(self, whole: Part) -> Any:
        """Return the result of the stage from the part that covers all items."""


Route = Generator[Method, Any, Any]
"""A generator that yields the methods of a sweep's stages, receives their results, and returns the sweep's answer.

It is pure: it depends only on the sweep, the capabilities of the objective and the results, so resuming can replay it
with the journal's results.
"""


def number_after(number: int, method: Method) -> int:
    """Return the number of a stage that follows stage `number`, -1 for none."""
    return max(0, number + (not method.joins))


def merged(parts: list[Part], merge: Callable[..., Part]) -> Part:
    """Merge all parts in groups: merging one at a time would copy the first columns once per part."""
    while len(parts) > 1:
        parts = [merge(*parts[first : first + AT_ONCE]) for first in range(0, len(parts), AT_ONCE)]
    return parts[0]


def digest_of(kind: str, fields: dict[str, Any]) -> bytes:
    text = json.dumps([kind, fields], sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
