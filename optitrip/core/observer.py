"""Observers: who is told of a running sweep, e.g. the terminal and MLflow. They see only what the journal holds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from optitrip.core.method import Method
from optitrip.core.notice import Notice
from optitrip.core.part import Part


class Times(NamedTuple):
    """When the journal rows that a part is made of were written."""

    starts: Sequence[int]
    """The first item of each row, ascending."""
    written: Sequence[int]
    """The time at which each row was written, in milliseconds since 1970."""

    def at(self, item: int) -> int:
        """Return when the row that holds an item was written."""
        return self.written[bisect_right(self.starts, item) - 1]


Written = tuple[Part, Times]
"""A part, and when it was written; one of an earlier run may be merged from many rows."""


class Observer:
    """Base class with empty methods. Observers must not raise: a sweep does not exist for their sake."""

    def stage(self, method: Method) -> None:
        """Note that a stage begins; the parts that are in the journal already follow."""

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        """Take in parts that are in the journal: new ones in any order, those of an earlier run in order of items."""

    def retried(self, part: Part, times: Times) -> None:
        """Take in a later attempt at items that failed; it replaces what was known of them."""

    def notice(self, notice: Notice) -> None:
        """Take in a message for the user."""


class Observers(Observer):
    """Several observers as one."""

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
    """Holds parts back until all before them have arrived, so that what is made of them does not depend on luck."""

    def __init__(self) -> None:
        self._next = 0
        self._held: dict[int, Written] = {}

    def push(self, written: Sequence[Written]) -> list[Written]:
        """Return the parts that now continue the unbroken range from 0, in order of items."""
        for part, time in written:
            if part.items.start >= self._next:
                held = self._held.get(part.items.start)
                if held is None or part.items.stop > held[0].items.stop:
                    self._held[part.items.start] = (part, time)
        ready: list[Written] = []
        while self._next in self._held:
            ready.append(self._held.pop(self._next))
            self._next = ready[-1][0].items.stop
        return ready
