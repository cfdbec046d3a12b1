"""Reads the points that a sweep gives in place of candidates that are drawn."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from optitrip.errors import InputError
from optitrip.methods.spec import GivenTable
from optitrip.output.tables import parquet_columns
from optitrip.space.given import Given, given_points, listed
from optitrip.space.variables import Space
from optitrip.store.start_points import locate_file

SEPARATORS = {";": "semicolons", "\t": "tabs", " ": "blanks"}
"""Signs that separate columns in tables of other programs, with their names."""


def read_given(table: GivenTable, space: Space, folder: Path) -> Given:
    """Return the points of a table of a sweep file, of which a file lies in `folder` or in the working directory.

    Raises InputError, with the number of the point, if they are missing or do not fit the space.
    """
    if not isinstance(table.points, str):
        return given_points(space, table.points, alone=table.alone)
    path = locate_file(table.points, folder)
    rows, text = read_rows(path, space.names)
    try:
        return given_points(space, rows, alone=table.alone, source=table.points, text=text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def read_rows(path: Path, known: Sequence[str]) -> tuple[Sequence[Mapping[str, Any]], bool]:
    """Return the rows of a table, and whether their values are text; `known` are names of variables. Raises InputError
    if it cannot be read."""
    try:
        if path.suffix == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                return csv_rows(path, csv.reader(file, strict=True, skipinitialspace=True), known), True
        if path.suffix == ".parquet":
            columns = parquet_columns(path.read_bytes())
            return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)], False
    except FileNotFoundError:
        raise InputError(f"{path.absolute()}: no such file; wanted a table with a column for each variable") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not in UTF-8; save it with this encoding") from None
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table: {error}") from None
    raise InputError(f"{path}: wanted a .csv or a .parquet file")


def csv_rows(path: Path, lines: Iterable[list[str]], known: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV table by the names in its first line; empty lines are left out. Raises InputError if a
    name is there twice, a row has more or fewer entries than the first line, or something else separates them."""
    lines = [line for line in lines if line]
    names = [name.strip() for name in lines[0]] if lines else []
    alone = names[0] if len(names) == 1 and names[0] not in known else ""
    if separator := next((word for sign, word in SEPARATORS.items() if sign in alone), None):
        raise InputError(f"{path}: has {separator} between columns; wanted commas, and decimal points in numbers")
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise InputError(f"{path}: has more than one column {listed(twice)}; wanted one for each variable")
    for number, line in enumerate(lines[1:], 1):
        if len(line) != len(names):
            wanted = f"wanted {len(names):,}, as the first line has"
            raise InputError(f"{path}: point {number} has {len(line):,} entries; {wanted}")
    return [dict(zip(names, map(str.strip, line), strict=True)) for line in lines[1:]]
