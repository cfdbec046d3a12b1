"""Values and failures as text for people."""

import math
import reprlib
import unicodedata
from collections.abc import Mapping
from textwrap import wrap
from typing import Any

import numpy as np

from optitrip.core.absent import existing
from optitrip.core.arrays import Array
from optitrip.core.failures import Failures
from optitrip.core.method import Items

SHOWN_ENTRIES, SHOWN_VARIABLES = 8, 12
DIGITS = 5
"""Digits of a loss on the live line that count."""
LAST_LINES = 6
"""Most lines at the end of a message that are shown after its first."""
NAME_SHOWN = 60
"""Most characters of a name in a table or a figure."""


def plain(text: str, kept: str = "\n\t") -> str:
    """Return text of the user's as a terminal can show it: control characters, marks that reverse the direction of
    writing and undecodable bytes are escaped, as in Python's literals, except those in `kept`."""
    if text.isprintable():
        return text
    return "".join(letter if is_shown(letter) or letter in kept else repr(letter)[1:-1] for letter in text)


def is_shown(letter: str) -> bool:
    return letter.isprintable() or unicodedata.category(letter) == "Zs"


def one_line(text: str) -> str:
    """Return `plain` text without line ends and tabs."""
    return plain(text, "")


def short_name(name: str) -> str:
    """Return a name of the user's for a table or a figure: on one line, without the middle of a very long one."""
    text = one_line(name)
    return text if len(text) <= NAME_SHOWN else f"{text[: NAME_SHOWN - 20]}...{text[-17:]}"


def narrow_name(name: str, width: int) -> str:
    """Return a `short_name` without its end, if it takes more than so many columns of a terminal."""
    text = short_name(name)
    if columns(text) <= width:
        return text
    while columns(text) > width - 3:
        text = text[:-1]
    return f"{text}..."


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for each wide letter, none for an accent of its own."""
    if text.isascii():
        return len(text)
    wide, accents = (unicodedata.east_asian_width(letter) in "WF" for letter in text), map(unicodedata.combining, text)
    return len(text) + sum(wide) - sum(map(bool, accents))


def padded(text: str, width: int, side: str = "<") -> str:
    """Return text with blanks after it, or before it if `side` is ">", so that it takes so many columns."""
    blanks = " " * (width - columns(text))
    return blanks + text if side == ">" else text + blanks


def show(value: Any) -> str:
    """Return a value as one or two lines of text."""
    if isinstance(value, np.ndarray) and value.ndim:
        array: Array = value
        if array.size > SHOWN_ENTRIES and array.dtype.kind in "fiu":
            return f"array of shape {array.shape}, from {array.min():.4g} to {array.max():.4g}"
        return np.array2string(array, threshold=SHOWN_ENTRIES, edgeitems=2).replace("\n", "")
    return reprlib.repr(value.item() if isinstance(value, np.generic | np.ndarray) else value)


def finite(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Replace NaN and infinity, which JSON lacks, by None."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def variable_rows(values: Mapping[str, Array]) -> list[tuple[str, str]]:
    """Return one row per variable, for the first dozen variables of a point, given as a batch of one."""
    there = existing(values)
    return [(f"  {name}", short(batch[0])) for name, batch in list(there.items())[:SHOWN_VARIABLES]]


def short(value: Any) -> str:
    """Return a value as text, a number with at most eight digits that count."""
    return f"{value:.8g}" if isinstance(value, float | np.floating) else show(value)


def point_line(values: Mapping[str, Array]) -> str:
    """Return the first dozen variables of a point, given as a batch of one, in a line: scalars with six digits."""
    there = existing(values)
    entries = [(name, batch[0]) for name, batch in list(there.items())[:SHOWN_VARIABLES]]
    words = (f"{value:.6g}" if isinstance(value, float | np.floating) else show(value) for _, value in entries)
    more = [f"and {len(there) - SHOWN_VARIABLES} more"] if len(there) > SHOWN_VARIABLES else []
    return ", ".join([*(f"{name} {word}" for (name, _), word in zip(entries, words, strict=True)), *more])


def first_failure(failures: Failures | None, items: Items | None, index: int | None = None, what: str = "") -> str:
    """Return the first failure of a stage as it was raised, with the parameters of the failed point; else "".

    If it is unknown which of an item's points failed, all are shown. If the stage's items are not `items`, `index`
    selects the item to show, and `what` names what failed, e.g. "its report".
    """
    first = failures.first() if failures else None
    if first is None or items is None:
        return ""
    kind, record = first
    item = record.index if index is None else index
    sides = range(items.sides(item)) if record.side is None else [record.side]
    points = (items.point(item, side) for side in sides)
    parameters = (
        "\n".join(f"  {short_name(name)} = {show(values[0])}" for name, values in existing(point).items())
        for point in points
    )
    title = f"{items.title(item, record.side)} ({what + ' ' if what else ''}{kind})"
    return "\n".join(["", f"{title}, with", "\nor\n".join(parameters), record.traceback.rstrip() or record.message])


def first_and_last(message: str) -> list[str]:
    """Return the first line of a message and its last ones, such as the end of what a program has printed; none of them
    is empty."""
    first, *rest = [line.rstrip() for line in message.splitlines() if line.strip()] or [""]
    return [first, *rest[-LAST_LINES:]]


def compact(number: float) -> str:
    """Return a number in a few characters: exact up to 9,999 if it is whole, else with three digits, e.g. 12.3k."""
    if number == int(number) and abs(number) < 10_000:
        return f"{int(number):,}"
    for unit in ("", "k", "M", "G"):
        text = f"{number:.3g}"
        if abs(float(text)) < 1_000:
            return text + unit
        number /= 1_000
    return f"{number:.3g}T"


def figure(number: float, digits: int = DIGITS) -> str:
    """Return a number with so many digits that count, zeros at its end among them, so that its width stays the same."""
    return f"{number:#.{digits}g}".rstrip(".") if number else "0"


def reasons(*stages: Failures) -> list[str]:
    """Return a line for each kind of failure in each stage, with its number, its first item and message."""
    lines: list[str] = []
    for failures in stages:
        for kind, count in failures.counts().items():
            for record in failures.records.get(kind, ())[:1]:
                message = next(iter(record.message.splitlines()), "")
                lines.append(f"{count:,} {kind}, first at {record.index:,}: {one_line(f'{record.type}: {message}')}")
    return lines


def folded(text: str) -> str:
    """Return `one_line` text in lines of at most 79 characters, if words allow it."""
    return "\n".join(wrap(one_line(text), 79, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False))


def word_wrapped(text: str, width: int) -> str:
    """Return text whose lines are folded at words; indented lines, e.g. of a traceback, and long paths stay whole."""
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False, "replace_whitespace": False}
    lines = ([line] if line.startswith(" ") else wrap(line, width, **options) or [""] for line in text.split("\n"))
    return "\n".join(piece for pieces in lines for piece in pieces)
