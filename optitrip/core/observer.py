"""Observers of a running sweep, e.g. the terminal and MLflow, and what they show: progress, the best so far, charts.

They see a part only once the journal contains it.
"""

# Protocol methods have only docstrings.
# pyright: reportReturnType=false

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from optitrip.core.method import Method
from optitrip.core.notice import Notice
from optitrip.core.part import Part


class Times(NamedTuple):
    """When the journal rows that make up a part were written."""

    starts: Sequence[int]
    """First item of each row, ascending."""
    written: Sequence[int]
    """Time at which each row was written, in milliseconds since 1970."""

    def at(self, item: int) -> int:
        """Return when the row that holds an item was written."""
        return self.written[bisect_right(self.starts, item) - 1]


Written = tuple[Part, Times]
"""A part and the times of its rows; a part from an earlier run may be merged from many rows."""


class Running(NamedTuple):
    """A slice that is being evaluated."""

    items: range
    since: float
    """Time at which it began, in seconds of the monotonic clock."""


class Observer:
    """Base class with empty methods. Observers must not raise: a sweep must not fail because of one."""

    def stage(self, method: Method) -> None:
        """Receive the start of a stage; the parts already in the journal follow."""

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        """Receive parts that are in the journal: new ones in any order, those from an earlier run in order of items."""

    def retried(self, part: Part, times: Times) -> None:
        """Receive a later attempt at failed items; it replaces their earlier outcome."""

    def running(self, slices: Sequence[Running]) -> None:
        """Receive what is being evaluated now, several times a second, and before this process evaluates a slice."""

    def notice(self, notice: Notice) -> None:
        """Receive a message for the user; it may arrive before the journal contains the event that it reports."""


class Observers(Observer):
    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def stage(self, method: Method) -> None:
        for observer in self._observers:
            observer.stage(method)

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        for observer in self._observers:
            observer.parts(written, new=new)

    def retried(self, part: Part, times: Times) -> None:
        for observer in self._observers:
            observer.retried(part, times)

    def running(self, slices: Sequence[Running]) -> None:
        for observer in self._observers:
            observer.running(slices)

    def notice(self, notice: Notice) -> None:
        for observer in self._observers:
            observer.notice(notice)


class InOrder:
    """Buffers parts until all earlier ones have arrived, so that charts do not depend on the order of arrival."""

    def __init__(self) -> None:
        self._next, self._waiting = 0, dict[int, Written]()

    def push(self, written: Sequence[Written]) -> list[Written]:
        """Add parts; return those that now continue the unbroken range from 0, in order of items."""
        for part, times in written:
            start = part.items.start
            longest = self._waiting[start][0].items.stop if start in self._waiting else start
            if start >= self._next and part.items.stop > longest:
                self._waiting[start] = part, times
        ready: list[Written] = []
        while self._next in self._waiting:
            ready.append(self._waiting.pop(self._next))
            self._next = ready[-1][0].items.stop
        return ready


class MetricPoint(NamedTuple):
    """One point of a metric's chart. Its time comes from the journal, so that MLflow stores a point sent twice once."""

    key: str
    value: float
    step: int
    """Index of an item."""
    time: int
    """Time at which the item's row was written, in milliseconds since 1970."""


class Curve(Protocol):
    """Makes the points of a chart from the parts of a stage, in order of items, and from nothing else.

    A metric of the answer that has the chart's name is its last point."""

    def points(self, part: Part, times: Times) -> list[MetricPoint]:
        """Return the points of the next part."""

    def retried(self, part: Part) -> None:
        """Take the results of retried items into account; points that were returned stay."""


class Printable(Protocol):
    """The best result so far of a stopped sweep, or the answer of a finished one."""

    @abstractmethod
    def fields(self, folder: Path | None) -> dict[str, Any]:
        """Return the fields for `--json`; `folder` holds its files."""

    @abstractmethod
    def rows(self) -> list[tuple[str, str]]:
        """Return the lines of the short table, as label and text."""

    def verdict(self) -> str:
        """Return the answer in a few words."""
        return " ".join(self.rows()[0])

    def parameters(self) -> str:
        """Return the parameters of the answer in a line: scalars by value, arrays by shape and range."""
        return ""

    def how_sure(self) -> list[str]:
        """Return how far the answer can be relied on, each reason in a few words, the most telling first."""
        return []

    def metrics(self) -> dict[str, float]:
        """Return the numbers by which sweeps are compared, by name."""
        return {}

    def labels(self) -> dict[str, str]:
        """Return the words by which sweeps are compared, e.g. the winner's choices, by name."""
        return {}


class Progress(Observer):
    """Counts the items of main stages. A method overrides `see`, `words` and `best`."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.new = total, 0, 0
        """Numbers of items in the sweep's unit: requested, in the journal, and evaluated by this run."""
        self.is_main = False
        """True during a main stage."""

    def stage(self, method: Method) -> None:
        self.is_main = method.main
        self.done = method.before if method.main else self.done

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

    def few_words(self) -> str:
        """Return the text of the live line where there is little room."""
        return self.words()

    def best(self) -> Printable | None:
        """Return the best so far, if there is one."""
        return None
