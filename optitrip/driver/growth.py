"""Growing from this process to workers: they start when the rest is worth it, and take over when they are ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optitrip.core.executor import Executor
from optitrip.core.notice import info, warning
from optitrip.core.observer import Observer
from optitrip.driver.settings import Settings
from optitrip.scheduler.state import State

if TYPE_CHECKING:
    from optitrip.executors.manager import ExecutorManager


class Growth:
    """Decides when workers are started and when they take over; meanwhile this process goes on evaluating."""

    def __init__(self, executors: ExecutorManager, observer: Observer, settings: Settings) -> None:
        self._executors, self._observer, self._settings = executors, observer, settings
        self._reported = False

    def look(self, state: State) -> Executor | None:
        """Return the workers that take over now, if there are any; only while there is something to hand out."""
        if not state.waiting or state.draining:
            return None
        self._start_if_worth_it(state)
        try:
            return self._executors.replacement()
        except Exception as error:  # whatever Ray raises: the sweep can do without
            self._observer.notice(warning("ray-failed", f"going on in this process: {error}"))
            return None

    def _start_if_worth_it(self, state: State) -> None:
        """Start workers once a slice took long enough to tell that the rest is worth it."""
        pace, left = state.pace, state.seconds_left
        if not self._executors.may_start or pace is None or left is None:
            return
        if state.largest * pace < self._settings.poll_seconds:
            return
        if left >= self._settings.worth_ray_seconds:
            self._executors.start_workers()
        elif not self._reported:
            self._reported = True
            text = f"evaluating in this process: about {left:.0f} s are left, less than Ray is worth"
            self._observer.notice(info("executor", text))
