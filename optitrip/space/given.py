"""Points that a person gives, in a sweep file, in a table or from Python, in place of points that are drawn."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from optitrip.core.absent import ABSENT, exists
from optitrip.core.arrays import Array
from optitrip.core.literals import described
from optitrip.errors import InputError
from optitrip.space.variables import Space, Variable

SHOWN = 5
"""Number of names that a message lists."""


@dataclass(frozen=True, eq=False)
class Given:
    """Given points, the first candidates of a search.

    Args:
        values: values of all variables by name, read-only, of shape (points, *shape).
        alone: True if there are no other candidates.
        source: name of the file that they are from; empty without one.
        ignored: columns of that file that are no variables.
    """

    values: Mapping[str, Array]
    alone: bool
    source: str = ""
    ignored: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of points."""
        return len(next(iter(self.values.values())))

    def rows(self, items: range) -> dict[str, Array]:
        """Return the values of some of the points."""
        return {name: column[items.start : items.stop] for name, column in self.values.items()}

    def words(self, drawn: str) -> str:
        """Return how many points there are, and where they are from, for a plan that says what is drawn."""
        ignored = f" (ignored: {listed(self.ignored)})" if self.ignored else ""
        own = f"{self.count:,} candidates, all given{f' in {self.source}' if self.source else ''}{ignored}"
        return own if self.alone else f"{drawn}, the first {self.count:,} given"

    @cached_property
    def digest(self) -> str:
        """Hash of all values and of whether there are other candidates."""
        hashed = hashlib.blake2b(json.dumps([self.alone, self.count]).encode(), digest_size=16)
        for name, column in sorted(self.values.items()):
            entries = described(column.tolist()) if column.dtype.hasobject else None
            hashed.update(json.dumps([name, column.dtype.kind, column.shape, entries], default=str).encode())
            hashed.update(b"" if column.dtype.hasobject else column.tobytes())
        return hashed.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Given) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def given_points(
    space: Space, rows: Sequence[Mapping[str, Any]], *, alone: bool, source: str = "", text: bool = False
) -> Given:
    """Make given points.

    Args:
        space: the space that they belong to.
        rows: values by name of each point; the entries of an array are one value, or have names such as "W[0, 1]".
        alone: True if there are no other candidates.
        source: name of the file that they are from; then names that are no variables are ignored.
        text: True if values are text, as in a CSV file.

    Raises InputError, with the number of the point, for a missing or unknown name, or a value that its variable cannot
    have.
    """
    if not rows:
        raise InputError("holds no point; wanted one row or more" if source else "is empty; wanted one point or more")
    entries = {variable.name: entry_names(variable) for variable in space.variables}
    known = {name for names in entries.values() for name in names} | {*space.names}
    ignored = dict.fromkeys(name for row in rows for name in row if name not in known)
    if ignored and not source:
        raise InputError(f"has {listed(ignored)}, but the space has {listed(space.names)}")
    values: dict[str, Array] = {}
    lacking: dict[str, Array] = {}
    for variable in space.variables:
        parse = parser(variable, text)
        column = [value_of(variable, entries[variable.name], row, n, parse) for n, row in enumerate(rows, 1)]
        lacking[variable.name] = np.array([entry is ABSENT for entry in column], bool)
        values[variable.name] = as_column(variable, column)
    marked = space.marked(values, len(rows))
    for variable in space.conditional:
        check_existence(variable, exists(marked[variable.name]), lacking[variable.name])
    return Given(marked, alone, source, tuple(ignored))


def listed(names: Iterable[str]) -> str:
    """Return the first names for a message."""
    found = list(names)
    return ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")


def entry_names(variable: Variable) -> list[str]:
    """Return the names of a variable's entries in a table, in C order; for a scalar its own."""
    if not variable.shape:
        return [variable.name]
    return [f"{variable.name}[{', '.join(map(str, place))}]" for place in np.ndindex(variable.shape)]


def value_of(
    variable: Variable, names: Sequence[str], row: Mapping[str, Any], number: int, parse: Callable[[Any], Any]
) -> Any:
    """Return the value of a variable at one point, of an array its entries in a list; ABSENT without one.

    Raises InputError if it has none and must have one.
    """
    name = variable.name
    if name in row:
        found = np.asarray(row[name], object).ravel().tolist() if variable.shape else [row[name]]
        if len(found) not in (0, variable.size):
            shape = f"{variable.size} of shape {list(variable.shape)}"
            raise InputError(f"point {number}: {name} has {len(found)} entries, wanted {shape}")
    else:
        found = [row[entry] for entry in names if entry in row]
    found = [entry for entry in found if not (entry is None or (isinstance(entry, str) and entry == ""))]
    if not found and variable.distribution.fixed:
        return None
    if not found and variable.when:
        return ABSENT
    if len(found) < variable.size:
        lacking = next((entry for entry in names if row.get(entry) in (None, "")), name)
        columns = f"; it has {listed(row)}" if lacking not in row else ""
        raise InputError(f"point {number} has no {lacking}, which the space has{columns}; a point has all variables")
    try:
        parsed = [parse(entry) for entry in found]
    except ValueError as error:
        raise InputError(f"point {number}: {name} is {error}") from None
    return parsed if variable.shape else parsed[0]


def parser(variable: Variable, text: bool) -> Callable[[Any], Any]:
    """Return the function that turns one entry into a value of a variable, or raises ValueError with what was wanted.

    Args:
        variable: the variable.
        text: True if entries are text, as in a CSV file.
    """
    distribution = variable.distribution
    options = distribution.options
    low, high = distribution.limits
    whole = not options and trial(variable).dtype.kind in "iu"

    def option(entry: Any) -> Any:
        for known in options:
            if str(known) == entry if text else (known == entry and isinstance(known, str) == isinstance(entry, str)):
                return known
        raise ValueError(f"{entry!r}, wanted one of {listed(map(repr, options))}")

    def number(entry: Any) -> Any:
        kind = "a whole number" if whole else "a number"
        try:
            value = float(entry) if text or is_number(entry) else math.nan
            value = int(entry) if whole and value == int(value) else value
        except (ValueError, OverflowError):
            value = math.nan
        if not math.isfinite(value) or (whole and value != int(value)):
            raise ValueError(f"{entry!r}, wanted {kind}")
        if not low <= value <= high:
            raise ValueError(f"{entry!r}, outside of its range from {low:g} to {high:g}")
        return value

    return option if options else number


def is_number(entry: Any) -> bool:
    return isinstance(entry, int | float | np.integer | np.floating) and not isinstance(entry, bool)


def trial(variable: Variable) -> Array:
    """Return the value of a variable in the middle of its distribution, as a batch of one."""
    return variable.values(np.full((1, variable.size), 0.5))


def as_column(variable: Variable, column: Sequence[Any]) -> Array:
    """Return the values of a variable at all points, read-only, of shape (points, *shape); any value where it is
    absent."""
    middle = trial(variable)
    if variable.distribution.fixed:
        return np.broadcast_to(middle, (len(column), *middle.shape[1:]))
    there = next((entry for entry in column if entry is not ABSENT), None)
    if there is None:
        return np.broadcast_to(middle, (len(column), *middle.shape[1:]))
    filled = [there if entry is ABSENT else entry for entry in column]
    if middle.dtype.hasobject:
        entries = [entry for one in filled for entry in (one if variable.shape else [one])]
        found = np.empty(len(entries), object)
        for place, entry in enumerate(entries):  # NumPy would look into lists
            found[place] = entry
    else:
        found = np.array(filled) if middle.dtype.kind in "US" else np.array(filled, middle.dtype)
    found = found.reshape(len(column), *variable.shape)
    found.flags.writeable = False
    return found


def check_existence(variable: Variable, there: Array, lacking: Array) -> None:
    """Raise InputError for a point that lacks a variable that exists there, or has one that does not."""
    when = variable.when.text if variable.when else ""
    if (wrong := there & lacking).any():
        raise InputError(f"point {1 + int(np.argmax(wrong))} has no {variable.name}, which it needs, since {when}")
    if (wrong := ~there & ~lacking).any():
        raise InputError(f"point {1 + int(np.argmax(wrong))} has {variable.name}, which exists only where {when}")
