"""How far a sweep is: what the journal holds of its main stages, counted, and told in a line and in a curve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from optitrip.core.method import Method
from optitrip.core.observer import Observer, Times, Written
from optitrip.core.part import Part


class MetricPoint(NamedTuple):
    """One point of a metric's chart.

    With the time of the journal, sending a point twice leaves one: MLflow knows it by key, step, time and value.
    """

    key: str
    value: float
    step: int
    """The index of an item."""
    time: int
    """The time at which the item's row was written, in milliseconds since 1970."""


class Curve(Protocol):
    """Makes the points of a chart from the parts of a stage, in order of items. Pure, but for what it has seen."""

    def points(self, part: Part, times: Times) -> list[MetricPoint]:
        """Return the points of the next part."""
        ...

    def retried(self, part: Part, times: Times) -> list[MetricPoint]:
        """Return the points of items that failed before."""
        ...

    def end(self, items: int, time: int) -> list[MetricPoint]:
        """Return the last points of lines that are to reach the last item."""
        ...


class Partial(Protocol):
    """An incomplete answer: the best so far of a sweep that was stopped."""

    def fields(self, folder: Path | None) -> dict[str, Any]:
        """Return what --json prints of it; `folder` is where its files are."""
        ...

    def rows(self) -> list[tuple[str, str]]:
        """Return the lines of the short table, in words."""
        ...


class Progress(Observer):
    """Counts the items of main stages. A method adds what it makes of their parts: `see`, `words`, `best`.

    Args:
        total: the number of items that the sweep asks for, in its own unit.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        """The number of items in the journal, in the sweep's unit."""
        self.new = 0
        """The number of these that this run evaluated."""
        self._counts = False

    def stage(self, method: Method) -> None:
        self._counts = method.main

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        for part, _ in written if self._counts else ():
            count = self.count(part.items)
            self.done += count
            self.new += count if new else 0
            self.see(part)

    def retried(self, part: Part, times: Times) -> None:
        del times
        if self._counts:
            self.see(part)

    def count(self, items: range) -> int:
        """Return how many of a part's items count in the sweep's unit."""
        return len(items)

    def see(self, part: Part) -> None:
        """Take in a part of a main stage, in any order."""

    def words(self) -> str:
        """Return the live line, without the rate."""
        return f"{self.done:,} of {self.total:,}"

    def best(self) -> Partial | None:
        """Return the best so far, if there is one."""
        return None
