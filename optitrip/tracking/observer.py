"""Sends a sweep to its MLflow run, from a thread of the driver.

MLflow must never harm a sweep: everything sent can be rebuilt from the journal, so what fails is tried again, and a
failure at the end is only reported.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

from optitrip.core.method import Method
from optitrip.core.observer import Curve, InOrder, MetricPoint, Observer, Times, Written
from optitrip.core.part import Part
from optitrip.output.outcome import Outcome
from optitrip.runtime.interrupts import failure
from optitrip.tracking.description import Failed
from optitrip.tracking.run import NOTE, Ending, Run, TrackingClient

PAUSE_SECONDS, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between requests while a sweep runs; after failures they are doubled, up to the longest pause."""
PATIENCE_SECONDS = 60.0
"""Seconds that the end of a sweep waits for MLflow at most."""
AWAY_SECONDS = 10.0
"""Seconds for which MLflow fails after which the user is told so while the sweep runs."""
DESCRIBE_SECONDS, DESCRIBE_SHARE = 30.0, 0.05
"""Age of a description, in seconds and as a part of the time that the sweep took so far, after which it is written
anew: some 150 times in a week."""


def seconds_until_next(age: float) -> float:
    """Return how long the description of a sweep of this age in seconds is good enough."""
    return max(DESCRIBE_SECONDS, DESCRIBE_SHARE * age)


class MlflowObserver(Observer):
    """Sends chart and description of a sweep to a tracking client while the sweep runs, and the rest at its end."""

    def __init__(
        self,
        client: TrackingClient,
        run: Callable[[], Run],
        curve_of: Callable[[Method], Curve | None],
        so_far: Callable[[Failed], str],
        describe: Callable[[Outcome], str],
        alone: Callable[[], AbstractContextManager[None]],
        away: Callable[[BaseException | None], None] = lambda _: None,
    ) -> None:
        """Begin the run in a thread.

        Args:
            client: writes to MLflow.
            run: describes the run, which may take seconds.
            curve_of: makes the chart of a stage.
            so_far: describes how far the sweep is, given the failures so far.
            describe: describes how it ended.
            alone: keeps other commands from making a run of this sweep meanwhile; raises an exception if it cannot.
            away: tells the user, in the driver's thread, what MLflow has raised for long, and None once it is well.
        """
        self.client, self.run, self.describe = client, run, describe
        self.points: list[MetricPoint] = []
        """The whole chart so far."""
        self.run_id: str | None = None
        self.error: BaseException | None = None
        """Exception that MLflow last raised, unless it has been well since."""
        self._curve_of, self._so_far, self._alone, self._away = curve_of, so_far, alone, away
        self._well_at, self._told_away = time.monotonic(), False
        self._curve: Curve | None = None
        self._main, self._failed, self._note = False, Failed(), ""
        self._began = self._described = time.monotonic()
        self._order = InOrder()
        self._queue: queue.SimpleQueue[tuple[Run, Ending] | None] = queue.SimpleQueue()
        self._sent, self._pause, self._due = 0, PAUSE_SECONDS, 0.0
        self._failed_at, self._ended_at = float("-inf"), float("inf")
        self._refused: list[str] | None = None
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def stage(self, method: Method) -> None:
        self._curve, self._order, self._main = self._curve_of(method), InOrder(), method.main

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        del new
        self._tell_if_away()
        if self._curve is not None:
            for part, times in self._order.push(written):
                if points := self._curve.points(part, times):
                    self.points += points
                    self._queue.put(None)
        if not self._main:
            return
        for part, _ in written:
            self._failed.see(part.failures)
        now = time.monotonic()
        if now - self._described > seconds_until_next(now - self._began):
            self._described = now
            try:
                self._note = self._so_far(self._failed)
            except BaseException as error:  # the loss may have broken what it needs; the last description stays
                failure(error)
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
        if self._refused is not None:
            self._tell_if_away()
        return self._refused

    def _tell_if_away(self) -> None:
        error = self.error
        if error is not None and not self._told_away and time.monotonic() - self._well_at > AWAY_SECONDS:
            self._told_away = True
            self._away(error)
        elif error is None and self._told_away and self.run_id is not None:
            self._told_away = False
            self._away(None)

    def _work(self) -> None:
        """Begin the run, send what is new about once a second, and at last the end."""
        while True:
            if self._behind() and time.monotonic() >= self._due:
                self._attempt(self._catch_up)
            try:
                last = self._queue.get(timeout=max(0.0, self._due - time.monotonic()) if self._behind() else None)
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
            self.error, self._pause, self._well_at = None, PAUSE_SECONDS, time.monotonic()
        self._due = time.monotonic() + self._pause

    def _behind(self) -> int:
        """Return how much MLflow lacks."""
        return (self.run_id is None) + len(self.points) - self._sent + (self._note != "")

    def _begin(self, run: Run) -> None:
        with self._alone():
            self.run_id, self._sent = self.client.begin(run), 0

    def _catch_up(self) -> None:
        if self.run_id is None:
            self._begin(self.run())
        points, note = self.points[self._sent :], self._note
        if points or note:
            # Plain tuples: MLflow's process need not import the class of points.
            metrics = [(point.key, point.value, point.step, point.time) for point in points]
            self.client.log(metrics, {NOTE: note} if note else {})
            self._sent += len(points)
            self._note = "" if self._note == note else self._note

    def _conclude(self, run: Run, ending: Ending) -> None:
        if self.run_id is None or run.renewed:
            self._begin(run)
        self._refused = self.client.conclude(replace(ending, metrics=ending.metrics[self._sent :]))
