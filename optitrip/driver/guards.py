"""Guards: they see what happens to a stage, warn, and may end it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from optitrip.core.executor import Done
from optitrip.core.failures import Failures
from optitrip.core.method import Method
from optitrip.core.notice import info, warning
from optitrip.core.observer import Observer
from optitrip.driver.settings import Settings
from optitrip.errors import NoAnswer, Stopped
from optitrip.runtime.clock import Clock
from optitrip.scheduler.events import Drain
from optitrip.scheduler.state import State

LINES_SHOWN = 200
"""Lines shown of what a loss prints on workers; it may print for every candidate."""
SLOW_BLOCK_SECONDS, BLOCKS_TIMED = 2.0, 5


class FailFast:
    """Ends a stage whose first items, without which there is no answer, all failed. Sees its parts in any order."""

    def __init__(self, method: Method) -> None:
        self._first = range(method.required_prefix if method.items > method.required_prefix else 0)
        self._method = method
        self._failed = 0
        self._failures = Failures()

    def see(self, items: range, failures: Failures) -> None:
        """Count a part.

        Raises:
            NoAnswer: once every one of the first items is known to have failed.
        """
        if not self._first or items.start >= self._first.stop:
            return
        within = range(items.start, min(items.stop, self._first.stop))
        if not failures.cover(within):
            self._first = range(0)
            return
        self._failed += len(within)
        if items.start == 0:
            self._failures = failures
        if self._failed == len(self._first):
            every = f"the first {self._failed} items all failed" if self._failed > 1 else "the first item failed"
            raise NoAnswer(every, self._failures, self._method)


class NoWorkers:
    """Ends a stage that has had no workers for too long."""

    def __init__(self, observer: Observer, settings: Settings, clock: Clock) -> None:
        self._observer, self._settings, self._clock = observer, settings, clock
        self._since, self._reported = clock.monotonic(), False

    def look(self, slots: Sequence[str]) -> None:
        """Go on if there are workers, or may be soon.

        Raises:
            Stopped: if there have been none for too long.
        """
        if slots:
            self._since, self._reported = self._clock.monotonic(), False
            return
        seconds, limit = self._clock.monotonic() - self._since, self._settings.wait_seconds
        if seconds > limit:
            raise Stopped(f"no workers for {limit:g} s")
        if seconds > self._settings.patience_seconds and not self._reported:
            self._reported = True
            self._observer.notice(warning("no-workers", f"waiting for workers: there are none; for up to {limit:g} s"))


class Cancellation:
    """Ends a stage if someone asks to stop, once the slices that were begun are back or the time for that is over."""

    def __init__(self, raise_if_stopped: Callable[[], None], settings: Settings, clock: Clock) -> None:
        self._raise_if_stopped, self._settings, self._clock = raise_if_stopped, settings, clock
        self._stopping: Stopped | None = None
        self._until = 0.0

    def look(self, state: State) -> list[Drain]:
        """Ask, and return the event for the plan when someone wants to stop.

        Raises:
            Stopped: once nothing is in flight any more, or after `drain_seconds`.
        """
        events: list[Drain] = []
        if self._stopping is None:
            try:
                self._raise_if_stopped()
            except Stopped as error:
                self._stopping = error
                self._until = self._clock.monotonic() + self._settings.drain_seconds
                events.append(Drain())
        if self._stopping and (self._clock.monotonic() >= self._until or not any(state.in_flight())):
            raise self._stopping
        return events


class LossOutput:
    """Passes on what the loss prints on workers, up to a number of lines."""

    def __init__(self, observer: Observer) -> None:
        self._observer, self._lines_left = observer, LINES_SHOWN

    def see(self, outcome: Done) -> None:
        """Pass on what was printed during a slice."""
        lines = outcome.output.rstrip().splitlines() if outcome.output else []
        if not lines or not self._lines_left:
            return
        self._observer.notice(info("loss-output", "\n".join(lines[: self._lines_left])))
        self._lines_left = max(0, self._lines_left - len(lines))
        if not self._lines_left:
            text = f"(the loss prints more than {LINES_SHOWN} lines; the rest is not shown)"
            self._observer.notice(info("loss-output", text))


class SlowBlocks:
    """Reports once if even the fastest of the first blocks takes long."""

    def __init__(self, observer: Observer, block: int) -> None:
        self._observer, self._block = observer, block
        self._seconds: list[float] = []

    def see(self, outcome: Done) -> None:
        """Time a slice, if it is one of the first."""
        if self._block == 1 or not outcome.seconds or len(self._seconds) == BLOCKS_TIMED:
            return
        self._seconds.append(outcome.seconds / -(-len(outcome.part.items) // self._block))
        fastest = min(self._seconds)
        if len(self._seconds) == BLOCKS_TIMED and fastest > SLOW_BLOCK_SECONDS:
            text = (
                f"a block of {self._block} candidates takes {fastest:.1f} s; a smaller [objective] block would spread "
                "better over workers"
            )
            self._observer.notice(info("slow-block", text))
