"""Observers of a running sweep, e.g. the terminal and MLflow. They see a part only once the journal contains it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

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


class Observer:
    """Base class with empty methods. Observers must not raise: a sweep must not fail because of one."""

    def stage(self, method: Method) -> None:
        """Receive the start of a stage; the parts already in the journal follow."""

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        """Receive parts that are in the journal: new ones in any order, those from an earlier run in order of items."""

    def retried(self, part: Part, times: Times) -> None:
        """Receive a later attempt at failed items; it replaces their earlier outcome."""

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
