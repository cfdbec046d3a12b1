"""The exceptions of optitrip. Those that reach the user carry the outcome of a sweep that had started, to report it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optitrip.core.failures import Failures
    from optitrip.output.outcome import Outcome


class OptitripError(Exception):
    """Base of all errors that optitrip raises on purpose."""

    outcome: Outcome | None = None
    """Outcome of the sweep so far: best result, failures, notices; None if the sweep had not started."""


class InputError(OptitripError):
    """Wrong input: an argument, a sweep file, or the loss that the file names; messages about files have file:line.

    `key` is the path of the wrong key, for code that adds the line; empty if the message is complete.
    """

    def __init__(self, message: str, key: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.key = key


class StateError(OptitripError):
    """Stored state that cannot be used: locked, damaged, from another sweep, or from a loss that has changed since."""


class NoAnswer(OptitripError):
    """A sweep that cannot have an answer, e.g. because no loss was finite."""

    def __init__(self, message: str, failures: Failures | None = None, points: Any = None) -> None:
        super().__init__(message)
        self.failures, self.points = failures, points


class Stopped(OptitripError):
    """A sweep that was stopped and can be resumed if it has a state directory, or another command that may succeed if
    it is repeated; `signal` is the one that stopped it."""

    def __init__(self, message: str, signal: int | None = None) -> None:
        super().__init__(message)
        self.signal = signal


class Interrupted(KeyboardInterrupt):
    """A sweep that was stopped by Ctrl-C, e.g. in a notebook."""

    def __init__(self, message: str, outcome: Outcome) -> None:
        super().__init__(message)
        self.outcome = outcome


class ShardDone(Exception):
    """Raised internally when one shard's items have been evaluated; the next stages need the other shards."""

    def __init__(self, items: range) -> None:
        super().__init__(items)
        self.items = items


class Invalid(ValueError):
    """A wrong value in a sweep file, and the path of its key; reported to the user as an InputError."""

    def __init__(self, path: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.path, self.message = path, message
