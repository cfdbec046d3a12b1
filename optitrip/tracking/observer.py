"""One MLflow run a sweep, told by the driver only, from a thread of its own.

MLflow must never hurt a sweep: all that is sent can be made again from the journal, so a failure here is remembered and
told, and the same command delivers later what was missed.
"""

from __future__ import annotations

import os
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from optitrip.core.method import Method
from optitrip.core.observer import InOrder, Observer, Times, Written
from optitrip.core.part import Part
from optitrip.core.progress import Curve, MetricPoint
from optitrip.tracking.mlflow_client import BATCH, Run, TrackingClient

PAUSE_SECONDS = 1.0


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or MLflow's own default file in the working directory; a file's URI is made absolute."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    scheme, _, file = uri.partition("sqlite:///")
    return f"sqlite:///{Path.cwd() / file}" if file and not scheme else uri


def metric_name(name: str) -> str:
    """A name as MLflow takes it: letters, digits and some signs, and as a path nothing that could be shortened."""
    parts = re.sub(r"[^\w.\- :/]", "_", name)[:250].split("/")
    return "/".join(part if part.strip(".") else f"_{part.replace('.', '_')}" for part in parts)


class MlflowObserver(Observer):
    """Watches a sweep and tells a recorder of it."""

    def __init__(self, client: TrackingClient, run: Run, curve_of: Callable[[Method], Curve | None]) -> None:
        self.run = run
        self._curve_of = curve_of
        self._recorder = client
        self._curve: Curve | None = None
        self._order = InOrder()
        self._queue: queue.SimpleQueue[MetricPoint | None] = queue.SimpleQueue()
        self._undelivered: list[MetricPoint] = []
        self._end: list[MetricPoint] = []
        self._run_id: str | None = None
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._deliver, name="mlflow", daemon=True)
        self._thread.start()

    def stage(self, method: Method) -> None:
        self._curve = self._curve_of(method)
        self._order = InOrder()

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        del new
        if self._curve is None:
            return
        for part, times in self._order.push(written):
            for point in self._curve.points(part, times):
                self._queue.put(point)
            self._end = self._curve.end(part.items.stop, times.at(part.items.stop - 1))

    def retried(self, part: Part, times: Times) -> None:
        if self._curve is None:
            return
        for point in self._curve.retried(part, times):
            self._queue.put(point)
        at = times.at(part.items.start)
        self._end = [point for last in self._end for point in self._curve.end(last.step + 1, at)]

    def finish(
        self, state: str, status: str, figures: Callable[[], Mapping[str, float]], files: Sequence[Path], note: str
    ) -> dict[str, str] | None:
        """Deliver what is left, the files and the end figures.

        Args:
            state: finished, stopped or failed, for the tag.
            status: MLflow's word for it.
            figures: makes the end figures once all else is delivered; logged at step 0, so that the page draws bars.
                The newest one counts.
            files: to be kept as artifacts.
            note: Markdown, shown at the top of the run's page.

        Returns:
            Where the run is, or None if MLflow could not be told everything; then `error` says why.
        """
        for point in self._end:
            self._queue.put(point)
        self._queue.put(None)
        self._thread.join()
        if self._run_id is None:  # nobody answered the thread, so nobody is asked to wait for a second time
            return None
        self.error = None
        try:
            self._recorder.conclude(state, status, [str(file.absolute()) for file in files], note)
            self._recorder.log(self._undelivered)
            now = time.time_ns() // 1_000_000
            self._recorder.log([(metric_name(key), value, 0, now) for key, value in figures().items()])
        except Exception as error:  # MLflow raises its own, SQLAlchemy's, requests' and the file system's
            self.error = error
            return None
        return {"tracking_uri": self.run.uri, "experiment": self.run.experiment, "run_id": self._run_id}

    def _deliver(self) -> None:
        """The thread: send points about once a second until told to end, or until MLflow fails."""
        ended = False
        while not ended:
            try:
                if self._run_id is None and self.error is None:
                    self._run_id = self._recorder.begin(self.run)
                batch = [self._queue.get()]
                wake = time.monotonic() + PAUSE_SECONDS
                while batch[-1] is not None and len(batch) < BATCH and (left := wake - time.monotonic()) > 0:
                    try:
                        batch.append(self._queue.get(timeout=left))
                    except queue.Empty:
                        break
                ended = batch[-1] is None
                self._undelivered += [point for point in batch if point is not None]
                if self.error is None:
                    self._recorder.log(self._undelivered)
                    self._undelivered = []
            except Exception as error:  # remembered; `finish` tries once more if there was a run to write to
                self.error = error
