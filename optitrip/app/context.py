"""The context of one run, shared by its steps."""

from __future__ import annotations

from dataclasses import dataclass, field

from optitrip.app.notice_log import NoticeLog
from optitrip.app.options import Options
from optitrip.config.sweep import Sweep
from optitrip.core.observer import Observer, Observers
from optitrip.core.progress import Progress
from optitrip.executors.manager import ExecutorManager
from optitrip.loss.objective import Objective
from optitrip.runtime.stopwatch import Stopwatch
from optitrip.tracking.mlflow_client import TrackingClient


@dataclass(frozen=True)
class Context:
    """A sweep whose objective is loaded, where it is evaluated, and who is told."""

    sweep: Sweep
    objective: Objective
    paths: tuple[str, ...]
    """The folders where workers look for modules first."""
    executors: ExecutorManager
    options: Options
    observer: Observer
    """The caller's observer: told of all that the journal holds, and of notices."""
    release: bool = False
    """Whether to let the workers go while files are written."""
    phases: Stopwatch = field(default_factory=Stopwatch)
    """The seconds of the command so far."""
    client: TrackingClient | None = None
    """The writer of the MLflow run; None for one in this process."""
    log: NoticeLog = field(default_factory=NoticeLog)
    progress: Progress = field(init=False)
    observers: Observers = field(init=False)
    """All observers but the tracker, which has to be begun first."""

    def __post_init__(self) -> None:
        progress = self.sweep.spec.progress(self.sweep)
        object.__setattr__(self, "progress", progress)
        object.__setattr__(self, "observers", Observers(self.log, progress, self.observer))
