"""Contestants at the same work, in turns: each once a round, so that what slows the machine slows all of them alike."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

SEED = 0
"""Seed of every contestant's draws."""


class Unavailable(Exception):
    """Raised where something that a contestant needs is missing; the message names it."""


@dataclass(frozen=True)
class Turn:
    """Seconds of a turn, from a contestant that knows better than the clock around it.

    `apart` is what is told beside the seconds and is no part of them, by name, in seconds.
    """

    seconds: float
    apart: Mapping[str, float] = field(default_factory=dict[str, float])


TakeTurn = Callable[[int], Turn | None]
"""Evaluates so many items. Without a Turn of its own, all of the time that it takes counts."""
Opening = Generator[TakeTurn]
"""A contestant's function, made a context manager, yields this once its data are where they are needed."""


@dataclass(frozen=True)
class Contestant:
    """`items` are evaluated in each of its turns; `open` may raise `Unavailable`."""

    name: str
    items: int
    open: Callable[[], AbstractContextManager[TakeTurn]]


@dataclass(frozen=True)
class Work:
    """A job and those who do it: all are compared with the first contestant.

    `unit` is the name of an item, `whole` how many of them a whole job has.
    """

    title: str
    unit: str
    whole: int
    contestants: Sequence[Contestant]


@dataclass(frozen=True)
class Row:
    """Figures of a contestant: times are medians over the rounds, in seconds."""

    name: str
    items: int
    each: float
    """Seconds of an item."""
    speed: float
    """How many times as fast as the first contestant, round by round."""
    start: float
    """Seconds before it could work: opening it and its first turn, less those of a turn."""
    apart: Mapping[str, float]


@dataclass(frozen=True)
class Standings:
    """The outcome of a work; `skipped` says by contestant what was missing."""

    work: Work
    rounds: int
    rows: Sequence[Row]
    skipped: Mapping[str, str]


def needed(module: str) -> Any:
    """A module, or `Unavailable` where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Unavailable(f"{error.name or module} is not installed") from None


def timed(take: TakeTurn, items: int) -> Turn:
    begun = time.perf_counter()
    turn = take(items)
    return turn or Turn(time.perf_counter() - begun)


def compete(work: Work, rounds: int, say: Callable[[str], None]) -> Standings:
    """Open all contestants, give each a turn that does not count, then `rounds` rounds of turns."""
    takes: dict[str, TakeTurn] = {}
    opened: dict[str, float] = {}
    turns: dict[str, list[Turn]] = {}
    skipped: dict[str, str] = {}
    with ExitStack() as stack:
        for contestant in work.contestants:
            say(f"{work.title}: opening {contestant.name}")
            begun = time.perf_counter()
            try:
                take = stack.enter_context(contestant.open())
                take(contestant.items)
            except Unavailable as missing:
                skipped[contestant.name] = str(missing)
            else:
                opened[contestant.name] = time.perf_counter() - begun
                takes[contestant.name], turns[contestant.name] = take, []
        for number in range(rounds):
            for contestant in work.contestants:
                if contestant.name in takes:
                    say(f"{work.title}: round {number + 1} of {rounds}, {contestant.name}")
                    turns[contestant.name].append(timed(takes[contestant.name], contestant.items))
    competed = [contestant for contestant in work.contestants if contestant.name in takes]
    first = [turn.seconds / competed[0].items for turn in turns[competed[0].name]]
    rows = [row(contestant, opened[contestant.name], turns[contestant.name], first) for contestant in competed]
    return Standings(work, rounds, rows, skipped)


def row(contestant: Contestant, opened: float, turns: Sequence[Turn], first: Sequence[float]) -> Row:
    """A contestant's row, of its turns and the first contestant's seconds an item in the same rounds."""
    each = [turn.seconds / contestant.items for turn in turns]
    return Row(
        contestant.name,
        contestant.items,
        median(each),
        median(theirs / mine for theirs, mine in zip(first, each, strict=True)),
        max(0.0, opened - median(turn.seconds for turn in turns)),
        {name: median(turn.apart[name] for turn in turns) for name in turns[0].apart},
    )
