"""Schedules: the rate of each step, as a pure function of its number."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optitrip.core.differences import nearest


@dataclass(frozen=True)
class Schedule:
    """The rates of a descent.

    Args:
        word: name of the schedule.
        first: rate of the first step; of a line search, the largest rate that it tries.
        options: settings of the schedule by name.
    """

    word: str
    first: float
    options: Mapping[str, float] = field(default_factory=dict[str, float])

    def rate(self, t: int, steps: int) -> float:
        """Return the rate of step t of so many, both from 0."""
        return self.first * self.share(t, steps)

    def share(self, t: int, steps: int) -> float:
        """Return the rate of a step divided by the first."""
        match self.word:
            case "step":
                return self.options["factor"] ** (t // self.options["every"])
            case "cosine":  # I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017
                end = self.options["end"]
                return end + (1 - end) * (1 + math.cos(math.pi * t / max(1, steps))) / 2
            case "inverse":
                return 1 / (1 + self.options["decay"] * t)
            case _:
                return 1.0

    @property
    def depends_on_steps(self) -> bool:
        """True if another number of steps changes the rates."""
        return self.word == "cosine"


SCHEDULES: dict[str, Mapping[str, float]] = {
    "constant": {},
    "step": {"every": 100, "factor": 0.1},
    "cosine": {"end": 0.0},
    "inverse": {"decay": 0.01},
    "line_search": {"factor": 0.5, "points": 16},
}
"""Schedules by word, each with its options and their defaults. To add one, add a line, and its share below."""
LINE_SEARCH = "line_search"
"""Word of the schedule whose rates are found by a line search."""
EXAMPLE = "wanted a number above 0, or e.g. { cosine = 0.1 }, { step = 0.1, every = 100 } or { line_search = 1.0 }"


def schedule_of(given: Any) -> Schedule:
    """Read a rate: a number, or a table of a schedule; raise ValueError, with what was wanted, for anything else."""
    if not isinstance(given, Mapping):
        return Schedule("constant", positive(given, given))
    table: dict[str, Any] = dict(given)  # pyright: ignore[reportUnknownArgumentType]
    words = [key for key in table if key in SCHEDULES]
    if len(words) != 1:
        raise ValueError(f"was {given!r}; {EXAMPLE}")
    (word,) = words
    first, known = positive(table.pop(word), given), SCHEDULES[word]
    for key, value in table.items():
        if key not in known:
            raise ValueError(f"has no {key!r} in the schedule {word}; {nearest(key, list(known))}")
        allowed = 0 <= value < math.inf if is_number(value) else False
        if not allowed or (not value and key in ("every", "points", "factor")):
            raise ValueError(f"has {key} = {value!r}; wanted a number above 0")
    if word == LINE_SEARCH and not 0 < table.get("factor", 0.5) < 1:
        raise ValueError(f"has factor = {table['factor']!r}; wanted a number between 0 and 1")
    return Schedule(word, first, {**known, **table})


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def positive(value: Any, given: Any) -> float:
    """Return a rate; raise ValueError, with what was given, unless it is a finite number above 0."""
    if not is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"was {given!r}; {EXAMPLE}")
    return float(value)
