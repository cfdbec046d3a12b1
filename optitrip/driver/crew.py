"""The executor of one sweep after another: begun when the first slice comes, perhaps exchanged for a larger one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optitrip.core.executor import Done, Executor

NOTHING = object()


class Crew:
    """Holds an executor and what it evaluates.

    Args:
        begin: makes the executor to begin with.
        objective: to be loaded into it.
        grow: given the estimated seconds that are left in this process, makes a larger executor or returns None.
    """

    def __init__(
        self, begin: Callable[[], Executor], objective: Any, grow: Callable[[float], Executor | None] | None = None
    ) -> None:
        self._begin, self._objective, self._grow = begin, objective, grow
        self._executor: Executor | None = None
        self._loaded: Any = NOTHING
        self.may_grow = grow is not None
        self.next_ticket = 0
        """Counts on from sweep to sweep: an executor may still hold slices of one that was given up."""
        self.memory: int | None = None
        """Of the worker that took most, the highest resident memory in bytes; None where all is in this process."""

    def employ(self, objective: Any) -> None:
        """From now on evaluate this objective, another one or the one that is loaded already."""
        self._objective = objective
        self.may_grow = self._grow is not None

    def see(self, done: Done) -> None:
        """Note what a worker told of itself."""
        if done.memory is not None:
            self.memory = max(done.memory, self.memory or 0)

    def executor(self) -> Executor:
        if self._executor is None:
            self._executor = self._begin()  # kept before it is loaded, so that it is closed if that raises
        if self._loaded is not self._objective:
            self._loaded = NOTHING
            self._executor.load(self._objective)
            self._loaded = self._objective
        return self._executor

    def larger(self, seconds_left: float) -> Executor | None:
        """Another executor to go on with, asked for once a sweep; None to go on as it is."""
        self.may_grow = False
        larger = self._grow(seconds_left) if self._grow else None
        if larger is None:
            return None
        try:
            larger.load(self._objective)
        except BaseException:
            larger.close()
            raise
        self.close()
        self._executor, self._grow, self._loaded = larger, None, self._objective
        return larger

    def close(self) -> None:
        if self._executor is not None:
            self._executor.close()
            self._executor, self._loaded = None, NOTHING
