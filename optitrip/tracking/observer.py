"""Sends a sweep to its MLflow run, from a thread of the driver.

MLflow must never harm a sweep: everything sent can be rebuilt from the journal, so what fails is tried again, and a
failure at the end is only reported.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from optitrip.core.method import Method
from optitrip.core.observer import Curve, InOrder, MetricPoint, Observer, Times, Written
from optitrip.core.part import Part
from optitrip.output.outcome import Outcome
from optitrip.runtime.interrupts import failure
from optitrip.tracking.run import Ending, Run, TrackingClient

PAUSE_SECONDS, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between requests while a sweep runs; after failures they are doubled, up to the longest pause."""
PATIENCE_SECONDS = 60.0
"""Seconds that the end of a sweep waits for MLflow at most."""


class MlflowObserver(Observer):
    """Sends the chart of a sweep to a tracking client while the sweep runs, and the rest at its end."""

    def __init__(
        self,
        client: TrackingClient,
        run: Callable[[], Run],
        curve_of: Callable[[Method], Curve | None],
        describe: Callable[[Outcome], str],
    ) -> None:
        self.client, self.run, self.describe = client, run, describe
        """The client; a function that describes the run, which may take seconds; one that describes its end."""
        self.points: list[MetricPoint] = []
        """The whole chart so far."""
        self.run_id: str | None = None
        self.error: BaseException | None = None
        """Exception that MLflow last raised, unless it has been well since."""
        self._curve_of = curve_of
        self._curve: Curve | None = None
        self._order = InOrder()
        self._queue: queue.SimpleQueue[tuple[Run, Ending] | None] = queue.SimpleQueue()
        self._sent, self._pause, self._due = 0, PAUSE_SECONDS, 0.0
        self._failed_at, self._ended_at = float("-inf"), float("inf")
        self._refused: list[str] | None = None
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def stage(self, method: Method) -> None:
        self._curve, self._order = self._curve_of(method), InOrder()

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        del new
        if self._curve is None:
            return
        for part, times in self._order.push(written):
            if points := self._curve.points(part, times):
                self.points += points
                self._queue.put(None)

    def retried(self, part: Part, times: Times) -> None:
        del times
        if self._curve is not None:
            self._curve.retried(part)

    def finish(self, run: Run, ending: Ending) -> list[str] | None:
        """Deliver what is left; return what MLflow refused, or None with `error` set if that fails.

        The metrics of the ending begin with `points`."""
        self._ended_at = time.monotonic()
        self._queue.put((run, ending))
        self._thread.join(PATIENCE_SECONDS)
        if self._thread.is_alive():
            self.error = TimeoutError(f"not done after {PATIENCE_SECONDS:.0f} s")
            return None
        return self._refused

    def _work(self) -> None:
        """Begin the run, send new points about once a second, and at last the end."""
        while True:
            if (self.run_id is None or self._sent < len(self.points)) and time.monotonic() >= self._due:
                self._attempt(self._catch_up)
            waits = self.run_id is None or self._sent < len(self.points)
            try:
                last = self._queue.get(timeout=max(0.0, self._due - time.monotonic()) if waits else None)
            except queue.Empty:
                continue
            if last is None:
                continue
            if self._failed_at < self._ended_at:  # else MLflow has failed since the sweep ended: do not wait again
                self._attempt(partial(self._conclude, *last))
            return

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:  # MLflow raises its own, SQLAlchemy's, requests' and the file system's
            self.error, self._failed_at = failure(error), time.monotonic()
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        else:
            self.error, self._pause = None, PAUSE_SECONDS
        self._due = time.monotonic() + self._pause

    def _catch_up(self) -> None:
        if self.run_id is None:
            self.run_id = self.client.begin(self.run())
        points = self.points[self._sent :]
        if points:
            # Plain tuples: MLflow's process need not import the class of points.
            self.client.log([(point.key, point.value, point.step, point.time) for point in points])
            self._sent += len(points)

    def _conclude(self, run: Run, ending: Ending) -> None:
        if self.run_id is None or run.renewed:
            self.run_id, self._sent = self.client.begin(run), 0
        self._refused = self.client.conclude(replace(ending, metrics=ending.metrics[self._sent :]))
