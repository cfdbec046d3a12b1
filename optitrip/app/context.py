"""The context of one run, shared by its steps."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cached_property

from optitrip.app.options import Options
from optitrip.config.sweep import Sweep
from optitrip.core.notice import Notice, info
from optitrip.core.observer import Observer, Observers
from optitrip.core.progress import Progress
from optitrip.executors.manager import ExecutorManager
from optitrip.loss.objective import Objective
from optitrip.runtime.clock import Stopwatch
from optitrip.tracking.mlflow_client import TrackingClient

LOGGER = logging.getLogger("optitrip")
LEVELS = {"info": logging.INFO, "warning": logging.WARNING}
NOTICES_STORED = 200
"""Maximum number of notices in an outcome; a sweep with many thousand failures may have more."""


class NoticeLog(Observer):
    """Logs every notice to the logger `optitrip`, and stores the first few hundred for the outcome."""

    def __init__(self) -> None:
        self._stored: list[Notice] = []
        self._omitted = 0

    def notice(self, notice: Notice) -> None:
        LOGGER.log(LEVELS[notice.level], "%s", notice.text, extra={"code": notice.code})
        if notice.code == "loss-output":  # the loss's own words, not ours
            return
        if len(self._stored) < NOTICES_STORED:
            self._stored.append(notice)
        else:
            self._omitted += 1

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Stored notices, followed by the number of omitted ones."""
        if not self._omitted:
            return tuple(self._stored)
        rest = info("notices-left-out", f"{self._omitted:,} more notices were only logged (logger 'optitrip')")
        return (*self._stored, rest)


@dataclass(frozen=True)
class Context:
    """A sweep with its loaded objective, its executors and its observers."""

    sweep: Sweep
    objective: Objective
    paths: tuple[str, ...]
    """Folders where workers look for modules first."""
    executors: ExecutorManager
    options: Options
    observer: Observer
    """The caller's observer of journalled parts and of notices."""
    release: bool = False
    """True to release the workers while files are written."""
    phases: Stopwatch = field(default_factory=Stopwatch)
    """Seconds of the command so far, by phase."""
    client: TrackingClient | None = None
    """MLflow client; None to use MLflow in this process."""
    log: NoticeLog = field(default_factory=NoticeLog)

    @cached_property
    def progress(self) -> Progress:
        """Number of finished items, and the best so far."""
        return self.sweep.spec.progress(self.sweep)

    @cached_property
    def observers(self) -> Observers:
        """All observers but the tracker, which is started later."""
        return Observers(self.log, self.progress, self.observer)
