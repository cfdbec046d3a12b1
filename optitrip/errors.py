"""What ends a command early, by exit status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optitrip.part import Failures


class InputError(Exception):
    """Wrong usage or a wrong sweep file (exit status 2): what was given, what was wanted, what to do."""


class NoAnswer(Exception):
    """A sweep that cannot have an answer (exit status 1), e.g. because nothing it evaluated is finite."""

    def __init__(self, message: str, failures: Failures | None = None, points: Any = None) -> None:
        super().__init__(message)
        self.failures, self.points = failures, points


class Stopped(Exception):
    """A sweep that was stopped and can be resumed (exit status 75, or 128 + the signal's number)."""

    def __init__(self, message: str, status: int = 75) -> None:
        super().__init__(message)
        self.status = status


class ShardDone(Exception):
    """One share of a sweep's items is evaluated; what is to follow needs the others."""

    def __init__(self, items: range) -> None:
        super().__init__(items)
        self.items = items


class Invalid(ValueError):
    """A wrong value inside a sweep file, with the path of its key."""

    def __init__(self, path: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


KNOWN_LISTED = 20


def nearest(given: str, known: list[str]) -> str:
    """The end of an error message about an unknown word: the nearest known one, then all of them."""
    from difflib import get_close_matches

    close = get_close_matches(given, known, n=1, cutoff=0.6)
    listed = ", ".join(known[:KNOWN_LISTED]) or "none"
    listed += f" and {len(known) - KNOWN_LISTED} more" if len(known) > KNOWN_LISTED else ""
    return f"did you mean {close[0]}? (known: {listed})" if close else f"known: {listed}"
