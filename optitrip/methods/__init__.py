"""Methods: what the items of a stage are, how they are evaluated and how parts merge. One file each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from optitrip.objective import Objective
from optitrip.part import Part


class Method(Protocol):
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

    def digest(self) -> bytes:
        """Of everything in the method but `items`: parts with the same digest belong together."""
        ...

    def prepare(self, objective: Objective) -> Any:
        """A context for `evaluate`, made once a worker and method."""
        ...

    def evaluate(self, context: Any, items: range) -> Part:
        """Evaluate any range of items."""
        ...

    def merge(self, left: Part, right: Part) -> Part:
        """Join two adjacent parts; `right` follows `left`."""
        ...

    def result(self, whole: Part) -> Any:
        """The result of the stage from the part that covers all items."""
        ...


def merged(parts: list[Part], merge: Callable[[Part, Part], Part]) -> Part:
    """All parts joined, in pairs: merging one by one would copy the first columns once for every part."""
    while len(parts) > 1:
        pairs = [merge(left, right) for left, right in zip(parts[::2], parts[1::2], strict=False)]
        parts = [*pairs, *parts[len(parts) - len(parts) % 2 :]]
    return parts[0]
