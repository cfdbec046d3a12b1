"""Progress of a sweep: counts the items of its main stages in the journal, and shows them as a line and a chart."""

# The bodies of these protocols are their docstrings.
# pyright: reportReturnType=false

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from optitrip.core.method import Method
from optitrip.core.observer import Observer, Times, Written
from optitrip.core.part import Part


class MetricPoint(NamedTuple):
    """One point of a metric's chart. Its time comes from the journal, so that MLflow stores a point sent twice once."""

    key: str
    value: float
    step: int
    """Index of an item."""
    time: int
    """Time at which the item's row was written, in milliseconds since 1970."""


class Curve(Protocol):
    """Makes the points of a chart from the parts of a stage, in order of items, and from nothing else."""

    def points(self, part: Part, times: Times) -> list[MetricPoint]:
        """Return the points of the next part."""

    def retried(self, part: Part, times: Times) -> list[MetricPoint]:
        """Return the points of retried items."""

    def end(self, items: int, time: int) -> list[MetricPoint]:
        """Return the last points of lines that extend to the last item."""


class Partial(Protocol):
    """The best result so far of a stopped sweep, or the answer of a finished one."""

    @abstractmethod
    def fields(self, folder: Path | None) -> dict[str, Any]:
        """Return the fields for `--json`; `folder` holds its files."""

    @abstractmethod
    def rows(self) -> list[tuple[str, str]]:
        """Return the lines of the short table, as label and text."""


class Progress(Observer):
    """Counts the items of main stages. A method overrides `see`, `words` and `best`."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.new = total, 0, 0
        """Numbers of items in the sweep's unit: requested, in the journal, and evaluated by this run."""
        self.is_main = False
        """True during a main stage."""

    def stage(self, method: Method) -> None:
        self.is_main = method.main

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        for part, _ in written if self.is_main else ():
            count = self.count(part.items)
            self.done += count
            self.new += count if new else 0
            self.see(part)

    def retried(self, part: Part, times: Times) -> None:
        del times
        if self.is_main:
            self.see(part)

    def count(self, items: range) -> int:
        """Return how many items of a part count in the sweep's unit."""
        return len(items)

    def see(self, part: Part) -> None:
        """Update the best and latest values with a part of a main stage; parts arrive in any order."""

    def words(self) -> str:
        """Return the text of the live line, without the rate."""
        return f"{self.done:,} of {self.total:,}"

    def best(self) -> Partial | None:
        """Return the best so far, if there is one."""
        return None
