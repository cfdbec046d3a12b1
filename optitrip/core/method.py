"""The protocols of methods: what the items of a stage are, how they are evaluated and how parts merge."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from optitrip.core.arrays import Array
from optitrip.core.part import Part

if TYPE_CHECKING:
    from optitrip.core.failures import Problems
    from optitrip.loss.objective import Objective

AT_ONCE = 256
"""Parts that are merged by one call."""
NOTHING = b""
"""The `preparation` of a method that takes the objective as it is."""


class Items(Protocol):
    """Items one by one, for messages and for evaluating one again. An item has a point, or several: its sides."""

    def sides(self, item: int) -> int:
        """Return how many points an item has; they are numbered from 0."""
        ...

    def point(self, item: int, side: int = 0) -> dict[str, Array]:
        """Return the values of one of its points by name, as a batch of one."""
        ...

    def title(self, item: int, side: int | None = 0) -> str:
        """Return what a message calls one of its points; None for any of them, where it is not known which."""
        ...


class Points(Items, Protocol):
    """Points by item, one each, to be evaluated; frozen, pure and small, since they travel."""

    def values(self, items: range) -> dict[str, Array]:
        """Read-only values of a range of items by name, each of shape (len(items), *shape of the variable)."""
        ...

    def describe(self) -> dict[str, Any]:
        """All that the points depend on, for digests."""
        ...


class Method(Items, Protocol):
    """Frozen, picklable, pure.

    The law of every method: for adjacent ranges, `evaluate(a + b) == merge(evaluate(a), evaluate(b))`, to the bit.
    """

    @property
    def kind(self) -> str:
        """Its word in messages, phases and the journal's listing."""
        ...

    @property
    def items(self) -> int:
        """How many items there are; at least one."""
        ...

    @property
    def main(self) -> bool:
        """Whether the sweep is for this stage: it has the live line, is shared out, ends early and is spot-checked."""
        ...

    @property
    def retried(self) -> bool:
        """Whether items that failed may be tried again."""
        ...

    def stop_rule(self) -> StopRule:
        """Make the rule by which the stage may end before its last item."""
        ...

    @property
    def required_prefix(self) -> int:
        """If the first this many items all fail, the stage has no answer and ends; 0 where any may fail."""
        ...

    @property
    def block(self) -> int:
        """Items that it evaluates in one call, 0 for the objective's own block; slices hold whole ones if they can."""
        ...

    def digest(self) -> bytes:
        """Return a digest of everything in the method but `items`: parts with the same digest belong together."""
        ...

    def prepare(self, objective: Objective) -> Any:
        """A context for `evaluate`, made once a worker and `preparation`."""
        ...

    @property
    def preparation(self) -> bytes:
        """All that `prepare` depends on: methods that agree in it share a context, which may be dear to make."""
        ...

    def evaluate(self, context: Any, items: range) -> Part:
        """Evaluate any range of items."""
        ...

    def failed_part(self, items: range, problems: Problems) -> Part:
        """The part of items that no worker could evaluate, each with its problem."""
        ...

    def merge(self, *parts: Part) -> Part:
        """Join parts, each adjacent to the one before it.

        What it makes depends on their columns joined end to end alone, so one part that has them so will do, too.
        """
        ...

    def replaced(self, whole: Part, retried: Sequence[Part]) -> Part:
        """Return the whole with items that failed in it replaced by those of later parts, disjoint and ascending."""
        ...

    def result(self, whole: Part) -> Any:
        """The result of the stage from the part that covers all items."""
        ...


def merged(parts: list[Part], merge: Callable[..., Part]) -> Part:
    """All parts joined, in groups: merging one by one would copy the first columns once for every part."""
    while len(parts) > 1:
        parts = [merge(*parts[first : first + AT_ONCE]) for first in range(0, len(parts), AT_ONCE)]
    return parts[0]


def digest_of(kind: str, fields: dict[str, Any]) -> bytes:
    """A method's digest, of canonical JSON."""
    text = json.dumps([kind, fields], sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


Route = Generator[Method, Any, Any]
"""A generator that yields the methods of a sweep's stages, is sent their results, and returns what they came to.

It is pure: what it does depends on the sweep, on what the objective offers and on the results alone, so that resuming
can replay it with the journal's results.
"""


class StopRule(Protocol):
    """Sees the parts of a stage, in any order, and tells how many of its items are needed."""

    @property
    def items(self) -> int:
        """The number of items that are needed, as far as is known; it only ever falls."""
        ...

    def see(self, part: Part) -> None:
        """Take in a part."""
        ...


class AllItems:
    """The rule that all items are needed."""

    def __init__(self, items: int) -> None:
        self.items = items

    def see(self, part: Part) -> None:
        """Take in a part, which changes nothing."""
