"""Sends a sweep to its MLflow run, from a thread of the driver.

MLflow must never harm a sweep: everything sent can be rebuilt from the journal, so a failure is reported at the end,
and the same command, if the journal is stored, delivers the missing data later.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from optitrip.core.method import Method
from optitrip.core.observer import Curve, InOrder, MetricPoint, Observer, Times, Written
from optitrip.core.part import Part
from optitrip.journal.facts import RecordedRun
from optitrip.tracking.description import Describer
from optitrip.tracking.mlflow_client import BATCH, Run, TrackingClient
from optitrip.tracking.names import keys_of

MLFLOW_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
PAUSE_SECONDS = 1.0


class MlflowObserver(Observer):
    """Sends the metrics of a sweep to a tracking client while the sweep runs."""

    def __init__(
        self,
        client: TrackingClient,
        uri: str,
        experiment: str,
        run: Callable[[], Run],
        curve_of: Callable[[Method], Curve | None],
        describer: Describer,
    ) -> None:
        self.describer = describer
        self.uri, self.experiment, self._run = uri, experiment, run
        """Location of the store; name of the experiment; function that describes the run, which may take seconds."""
        self._client, self._curve_of = client, curve_of
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
        self._curve, self._order = self._curve_of(method), InOrder()

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        del new
        if self._curve is None:
            return
        for part, times in self._order.push(written):
            self._send(self._curve.points(part, times))
            self._end = self._curve.end(part.items.stop, times.at(part.items.stop - 1))

    def retried(self, part: Part, times: Times) -> None:
        if self._curve is None:
            return
        self._send(self._curve.retried(part, times))
        at = times.at(part.items.start)
        self._end = [point for last in self._end for point in self._curve.end(last.step + 1, at)]

    def _send(self, points: Sequence[MetricPoint | None]) -> None:
        for point in points:
            self._queue.put(point)

    def finish(
        self, state: str, metrics: Callable[[], Mapping[str, float]], files: Sequence[Path], note: str
    ) -> RecordedRun | None:
        """Deliver what is left, the `metrics` last; return the run, or None with `error` set if that fails."""
        self._send([*self._end, None])
        self._thread.join()
        if self._run_id is None:  # MLflow failed in the thread; do not wait for it again
            return None
        self.error = None
        try:
            self._client.conclude(state, MLFLOW_STATUS[state], [str(file.absolute()) for file in files], note)
            self._client.log(self._undelivered)
            now = time.time_ns() // 1_000_000
            # At step 0, so that MLflow draws bars; it uses the newest values.
            final = metrics()
            keys = keys_of(final)
            self._client.log([(keys[name], value, 0, now) for name, value in final.items()])
        except Exception as error:  # MLflow raises its own, SQLAlchemy's, requests' and the file system's
            self.error = error
            return None
        return RecordedRun(self.uri, self.experiment, self._run_id)

    def _deliver(self) -> None:
        """Send points about once a second until None ends the queue; after MLflow has failed, only collect them."""
        ended = False
        while not ended:
            try:
                if self._run_id is None and self.error is None:
                    self._run_id = self._client.begin(self._run())
                batch = [self._queue.get()]
                wake = time.monotonic() + PAUSE_SECONDS
                while batch[-1] is not None and len(batch) < BATCH and (left := wake - time.monotonic()) > 0:
                    with suppress(queue.Empty):
                        batch.append(self._queue.get(timeout=left))
                ended = batch[-1] is None
                self._undelivered += [point for point in batch if point is not None]
                if self.error is None:
                    self._client.log(self._undelivered)
                    self._undelivered = []
            except Exception as error:  # `finish` tries once more if there is a run to write to
                self.error = error
