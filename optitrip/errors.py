"""The exceptions of optitrip. Each carries the sweep's outcome, if it had started: best so far, failures, notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optitrip.core.failures import Failures
    from optitrip.output.outcome import Outcome


class OptitripError(Exception):
    """Base of all errors that optitrip raises on purpose."""

    outcome: Outcome | None = None
    """Outcome of the sweep up to then; None if it had not started."""


class InputError(OptitripError):
    """Wrong input: an argument, a sweep file, the loss that it names.

    The message says what it was, what was wanted and what to do, with file:line for sweep files.
    """


class StateError(OptitripError):
    """Stored state that cannot be used: locked, damaged, of another sweep, or of a loss that has changed since."""


class NoAnswer(OptitripError):
    """A sweep that cannot have an answer, e.g. because nothing it evaluated is finite."""

    def __init__(self, message: str, failures: Failures | None = None, points: Any = None) -> None:
        super().__init__(message)
        self.failures, self.points = failures, points


class Stopped(OptitripError):
    """A sweep that was stopped and can be resumed if it has a state directory; `signal` is the one that stopped it."""

    def __init__(self, message: str, signal: int | None = None) -> None:
        super().__init__(message)
        self.signal = signal


class Interrupted(KeyboardInterrupt):
    """A sweep that was stopped by Ctrl-C, e.g. in a notebook."""

    def __init__(self, message: str, outcome: Outcome) -> None:
        super().__init__(message)
        self.outcome = outcome


class ShardDone(Exception):
    """Raised when one shard's items are evaluated; the next stages need the other shards."""

    def __init__(self, items: range) -> None:
        super().__init__(items)
        self.items = items


class Invalid(ValueError):
    """A wrong value inside a sweep file, with the path of its key."""

    def __init__(self, path: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.path, self.message = path, message
