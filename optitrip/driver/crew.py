"""The executor of one sweep after another: begun when the first slice comes, perhaps exchanged for a larger one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optitrip.executors import Executor


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
        self.may_grow = grow is not None
        self.next_ticket = 0
        """Counts on from sweep to sweep: an executor may still hold slices of one that was given up."""

    def employ(self, objective: Any) -> None:
        """From now on evaluate this objective, another one or the one that is loaded already."""
        changed, self._objective = objective is not self._objective, objective
        if changed and self._executor is not None:
            executor, self._executor = self._executor, None
            self._executor = self._loaded(executor)
        self.may_grow = self._grow is not None

    def executor(self) -> Executor:
        if self._executor is None:
            self._executor = self._loaded(self._begin())
        return self._executor

    def larger(self, seconds_left: float) -> Executor | None:
        """Another executor to go on with, asked for once a sweep; None to go on as it is."""
        self.may_grow = False
        grown = self._grow(seconds_left) if self._grow else None
        if grown is None:
            return None
        larger = self._loaded(grown)
        self.close()
        self._executor, self._grow = larger, None
        return larger

    def _loaded(self, executor: Executor) -> Executor:
        """The executor with the objective in it; it is let go if that cannot go there."""
        try:
            executor.load(self._objective)
        except BaseException:
            executor.close()
            raise
        return executor

    def close(self) -> None:
        if self._executor is not None:
            self._executor.close()
            self._executor = None
