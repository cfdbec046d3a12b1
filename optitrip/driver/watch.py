"""What a running sweep tells: to the terminal, to MLflow. Watchers see only what the journal already holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from optitrip.methods import Method
from optitrip.part import Part

Written = tuple[Part, int]
"""A part, and when it was written, in milliseconds since 1970."""


class Watch(Protocol):
    """A watcher must not raise: it is not what the sweep is for."""

    def stage(self, method: Method, found: int) -> None:
        """A stage begins; `found` of its items are in the journal already, and their parts follow."""
        ...

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        """Parts are in the journal: new ones in any order, those of an earlier run in order of items."""
        ...

    def say(self, message: str) -> None:
        """A line for the user."""
        ...


class Watchers:
    """Several as one."""

    def __init__(self, *watchers: Watch) -> None:
        self._watchers = watchers

    def stage(self, method: Method, found: int) -> None:
        for watcher in self._watchers:
            watcher.stage(method, found)

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        for watcher in self._watchers:
            watcher.parts(written, new=new)

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
    """What the journal holds of a search: how many candidates, and the smallest loss with its index."""

    def __init__(self) -> None:
        self.done, self.loss, self.index = 0, float("inf"), -1

    def stage(self, method: Method, found: int) -> None: ...

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        del new
        for part, _ in written:
            if "best_loss" in part.columns:
                self.done += len(part.items)
                best = zip(part.columns["best_loss"].tolist(), part.columns["best_index"].tolist(), strict=True)
                self.loss, self.index = min([(self.loss, self.index), *best])

    def say(self, message: str) -> None: ...
