"""Defines the options of a run, and the context that its steps share."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from optitrip.config.sweep import Sweep
from optitrip.core.notice import Notice, info, warning
from optitrip.core.observer import Observer, Observers, Progress
from optitrip.driver.settings import DEFAULT, Settings
from optitrip.errors import Stopped
from optitrip.executors.manager import ExecutorManager
from optitrip.loss.objective import Objective
from optitrip.output.outcome import Outcome
from optitrip.runtime.clock import Stopwatch
from optitrip.runtime.files import working_folder
from optitrip.runtime.interrupts import raise_if_interrupted
from optitrip.runtime.overrun import Overrun
from optitrip.runtime.own_state import OwnState
from optitrip.store import STATE_ROOT
from optitrip.store.shards import Shard
from optitrip.store.state_dir import finished_items
from optitrip.tracking.location import tracking_uri
from optitrip.tracking.run import TrackingClient

LOGGER = logging.getLogger("optitrip")
LEVELS = {"info": logging.INFO, "warning": logging.WARNING}
NOTICES_STORED = 200
"""Maximum number of notices in an outcome; a sweep with many failures may have thousands."""


class NoticeLog(Observer):
    """Logs every notice to the logger `optitrip`, except in commands, which show them; stores the first ones, except
    the loss's prints, for the outcome."""

    def __init__(self, *, logging: bool = True) -> None:
        self._stored: list[Notice] = []
        self._omitted, self._logging = 0, logging

    def notice(self, notice: Notice) -> None:
        if self._logging:
            with suppress(Exception):  # the user's own handlers and filters may raise anything
                LOGGER.log(LEVELS[notice.level], "%s", notice.text, extra={"code": notice.code})
        if notice.code == "loss-output":
            return
        if len(self._stored) < NOTICES_STORED:
            self._stored.append(notice)
        else:
            self._omitted += 1

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Stored notices, followed by the number of omitted ones."""
        text = f"{self._omitted:,} more notices were only logged (logger 'optitrip')"
        return (*self._stored, *([info("notices-left-out", text)] if self._omitted else []))


@dataclass(frozen=True)
class Options:
    """How one sweep is run, as opposed to what it computes."""

    state_dir: Path | None = STATE_ROOT
    """Folder of state directories, as a person reads it; None to store nothing."""
    address: str | None = None
    """Address of a Ray cluster to join."""
    fresh: bool = False
    """True to move stored results aside and start over."""
    accept_changes: bool = False
    """True to resume although code, data or libraries have changed."""
    retry_failed: bool = False
    """True to retry failed items once."""
    shard: Shard | None = None
    """Share of the items to evaluate, merged with the others later; only the merged sweep is tracked in MLflow."""
    trust: bool = False
    """True to use a state directory that others could have planted or changed."""
    mirror: str | None = None
    """URI of a folder or bucket to which the journal is copied every minute and at the end."""
    restore: str | None = None
    """URI of such a copy, from which the sweep begins."""
    mlflow_process: bool = False
    """True to write to MLflow from a subprocess, so that a command does not wait for MLflow's import."""
    settings: Settings = DEFAULT
    """Settings of the driver; durations in the sweep file replace some of them."""
    requested: Callable[[], Stopped | None] = lambda: None
    """Function that returns the request to stop, if there was one; called in any thread."""
    interrupt: Callable[[Stopped], None] | None = None
    """Function that raises such a request in the main thread; None if this process is not optitrip's to end."""
    end: Callable[[], None] = lambda: None
    """Function that ends the process."""
    put_back: Callable[[], Sequence[str]] = lambda: ()
    """Function called when the user's code has run; puts back the signal handlers of a command, and returns the names
    of those signals."""
    answered: Callable[[Outcome, str], None] = lambda _outcome, _left: None
    """Function called with the outcome once the answer, or that there is none, is known, and with what is left to do:
    figures and MLflow take seconds."""
    own_state: OwnState = field(default_factory=OwnState)
    """Settings of the process before any user code ran."""
    checks: bool = False
    """True to compare the objective's own gradient, and to refuse a sweep where that is impossible."""
    folder: Path = field(default_factory=working_folder)
    """Working directory before any user code ran, which may change it; the state directory and MLflow's store are
    there, and workers start in it."""
    tracking_uri: str = field(default_factory=tracking_uri)

    @property
    def root(self) -> Path | None:
        """Absolute path of `state_dir`."""
        return None if self.state_dir is None else self.folder / self.state_dir

    def has_result(self, sweep: Sweep) -> bool:
        """Return whether a stored result covers all items; then there is usually nothing to evaluate."""
        if self.fresh or self.retry_failed or self.root is None:
            return False
        return finished_items(self.root / sweep.label) == sweep.items


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
    """The caller's observer of journaled parts and of notices."""
    release: bool = False
    """True to release the workers while files are written."""
    phases: Stopwatch = field(default_factory=Stopwatch)
    """Seconds of the command so far, by phase."""
    client: TrackingClient | None = None
    """MLflow client; None to use MLflow in this process."""
    log: NoticeLog = field(default_factory=NoticeLog)

    def raise_if_stopped(self) -> None:
        """Raise `Stopped` if a stop was requested or [stop] max_seconds has passed; raise an interruption again."""
        self.put_back()
        raise_if_interrupted()  # a loss may have caught it
        if (request := self.requested()) is not None:
            raise request

    def requested(self) -> Stopped | None:
        """Return the request to stop, or that [stop] max_seconds has passed, if one of them is true."""
        limit = self.sweep.stop.max_seconds
        if (request := self.options.requested()) is not None:
            return request
        if limit is not None and self.phases.total > limit:
            return Stopped(f"stopped after {limit:g} s, the limit in [stop] max_seconds")
        return None

    @cached_property
    def overrun(self) -> Overrun | None:
        """Means to end a loss in this process that goes on after a request to stop."""
        options, seconds = self.options, self.sweep.stop.drain_seconds
        return Overrun(self.requested, seconds, options.interrupt, options.end) if options.interrupt else None

    def put_back(self) -> None:
        """Put back what the command needs of its process, after user code."""
        if replaced := self.options.put_back():
            text = f"the loss replaced the handlers of {', '.join(replaced)}, by which a command stops in good order; "
            self.observers.notice(warning("signal-handlers", f"{text}optitrip has put its own back"))

    @cached_property
    def progress(self) -> Progress:
        """Number of finished items, and the best so far."""
        return self.sweep.spec.progress(self.sweep)

    @cached_property
    def observers(self) -> Observers:
        """All observers except the tracker, which starts later."""
        return Observers(self.log, self.progress, self.observer)
