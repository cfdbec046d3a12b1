"""What a running sweep tells: to the terminal, to MLflow. Watchers see only what the journal already holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from optitrip.driver.strung import Times
from optitrip.methods import MAIN, Method
from optitrip.methods.search import Search
from optitrip.part import Part

Written = tuple[Part, Times]
"""A part, and when it was written; one of an earlier run may be merged from many."""


class Watch(Protocol):
    """A watcher must not raise: it is not what the sweep is for."""

    def stage(self, method: Method) -> None:
        """A stage begins; the parts that are in the journal already follow."""
        ...

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        """Parts are in the journal: new ones in any order, those of an earlier run in order of items."""
        ...

    def mended(self, part: Part, times: Times) -> None:
        """A later try of items that failed, as it is in the journal, takes their place."""
        ...

    def say(self, message: str) -> None:
        """A line for the user."""
        ...


class Watchers:
    """Several as one."""

    def __init__(self, *watchers: Watch) -> None:
        self._watchers = watchers

    def stage(self, method: Method) -> None:
        for watcher in self._watchers:
            watcher.stage(method)

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        for watcher in self._watchers:
            watcher.parts(written, new=new)

    def mended(self, part: Part, times: Times) -> None:
        for watcher in self._watchers:
            watcher.mended(part, times)

    def say(self, message: str) -> None:
        for watcher in self._watchers:
            watcher.say(message)


class InOrder:
    """Holds parts back until all before them are there, so that what is made of them does not depend on luck."""

    def __init__(self) -> None:
        self._next = 0
        self._held: dict[int, Written] = {}

    def push(self, written: Sequence[Written]) -> list[Written]:
        """The parts that now continue the unbroken range from 0, in order of items."""
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


class Progress:
    """What the journal holds of a search or a gradient: how many are done; of a search the best loss with its index."""

    def __init__(self) -> None:
        self.done, self.new, self.loss, self.index = 0, 0, float("nan"), -1
        self._sign, self._counts = 1, False

    def stage(self, method: Method) -> None:
        self._counts = method.kind in MAIN
        self._sign = method.sign if isinstance(method, Search) else 1

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        for part, _ in written if self._counts else ():
            search = "best_loss" in part.columns
            count = len(part.items) - (part.items.start == 0 and not search)  # x itself is no coordinate
            self.done += count
            self.new += count if new else 0
            self._see_best(part)

    def mended(self, part: Part, times: Times) -> None:
        del times
        if self._counts:
            self._see_best(part)

    def _see_best(self, part: Part) -> None:
        columns = part.columns
        if "best_loss" not in columns:
            return
        best = zip(columns["best_loss"][:1].tolist(), columns["best_index"][:1].tolist(), strict=True)
        for loss, index in best:  # none, if all failed
            if self.index < 0 or (self._sign * loss, index) < (self._sign * self.loss, self.index):
                self.loss, self.index = loss, index

    def say(self, message: str) -> None: ...
