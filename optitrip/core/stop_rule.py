"""Stop rules: where a stage ends before its last item; by index, never by time, so that it ends there again."""

from __future__ import annotations

from typing import Protocol

from optitrip.core.part import Part


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
