"""Reads the points that a sweep gives in place of candidates that are drawn."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optitrip.errors import InputError
from optitrip.methods.spec import GivenTable
from optitrip.output.tables import parquet_columns
from optitrip.space.given import Given, given_points
from optitrip.space.variables import Space
from optitrip.store.start_points import locate_file


def read_given(table: GivenTable, space: Space, folder: Path) -> Given:
    """Return the points of a table of a sweep file, of which a file lies in `folder` or in the working directory.

    Raises InputError, with the number of the point, if they are missing or do not fit the space.
    """
    if not isinstance(table.points, str):
        return given_points(space, table.points, alone=table.alone)
    path = locate_file(table.points, folder)
    rows, text = read_rows(path)
    try:
        return given_points(space, rows, alone=table.alone, source=table.points, text=text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def read_rows(path: Path) -> tuple[Sequence[Mapping[str, Any]], bool]:
    """Return the rows of a table, and whether their values are text. Raises InputError if it cannot be read."""
    try:
        if path.suffix == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file, strict=True)
                rows = list(reader)
            for number, row in enumerate(rows, 1):
                if None in row or None in row.values():
                    raise InputError(f"{path}: point {number} has not as many entries as there are columns")
            return rows, True
        if path.suffix == ".parquet":
            columns = parquet_columns(path.read_bytes())
            return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)], False
    except FileNotFoundError:
        raise InputError(f"{path.absolute()}: no such file; wanted a table with a column for each variable") from None
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table: {error}") from None
    raise InputError(f"{path}: wanted a .csv or a .parquet file")
