"""Growing from this process to workers: they start when enough work is left, and take over when they are ready."""

from __future__ import annotations

from optitrip.core.executor import Executor
from optitrip.core.notice import info, warning
from optitrip.driver.services import Services
from optitrip.scheduler.state import State


class Growth:
    """Decides when workers are started and when they take over; until then this process evaluates."""

    def __init__(self, services: Services) -> None:
        self._executors, self._observer, self._settings = services.executors, services.observer, services.settings
        self._reported = False

    def check(self, state: State) -> Executor | None:
        """Return the workers that take over now, if there are any; only while there is something to hand out."""
        if not state.waiting or state.draining:
            return None
        self._start_if_worth_it(state)
        try:
            return self._executors.replacement()
        except Exception as error:  # whatever Ray raises: the sweep can do without it
            text = (
                f"workers cannot take over: {error}; continuing in this process (--executor serial avoids the attempt)"
            )
            self._observer.notice(warning("ray-failed", text))
            return None

    def _start_if_worth_it(self, state: State) -> None:
        """Start workers if much time is left, as soon as one slice was long enough to estimate that."""
        pace, left = state.pace, state.seconds_left
        if not self._executors.may_start or pace is None or left is None:
            return
        if state.largest * pace < self._settings.poll_seconds:
            return
        if left >= self._settings.worth_ray_seconds:
            self._executors.start_workers()
        elif not self._reported:
            self._reported = True
            text = f"evaluating in this process: about {left:.0f} s are left, too little to start Ray"
            self._observer.notice(info("executor", f"{text} (--executor ray starts it anyway)"))
