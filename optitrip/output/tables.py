"""Tables as Parquet, CSV and data frames. The only file that imports pyarrow and pandas."""

import csv
import io
import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, Coded, Column
from optitrip.core.failures import Failures
from optitrip.output.formats import spelled
from optitrip.output.text import columns, one_line, padded, short_name

CSV_ROWS = 2**16
"""Number of rows that are turned into text at a time."""
MOST_RANGES = 1_000
"""Most rows of one kind in a table of failures."""


def parquet_bytes(columns: Mapping[str, Column]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Not `pa.array`: it imports pandas to check for its arrays, which takes half a second.
    def array(type: Any, length: int, *data: Any) -> Any:
        return pa.Array.from_buffers(type, length, [None, *map(pa.py_buffer, data)])

    def numbers(values: Array) -> Any:
        if values.dtype == bool:
            return array(pa.bool_(), len(values), np.packbits(values, bitorder="little"))
        return array(pa.from_numpy_dtype(values.dtype), len(values), np.ascontiguousarray(values))

    def texts(words: Sequence[str]) -> Any:
        encoded = [spelled(word).encode() for word in words]
        return array(pa.string(), len(words), np.cumsum([0, *map(len, encoded)], dtype=np.int32), b"".join(encoded))

    def column(values: Column) -> Any:
        if not isinstance(values, Coded):
            return numbers(values)
        words = texts(values.words) if isinstance(values.words[0], str) else numbers(np.array(values.words))
        return pa.DictionaryArray.from_arrays(numbers(values.codes), words)

    buffer = io.BytesIO()
    table = pa.table(list(map(column, columns.values())), list(map(spelled, columns)))
    # A dictionary of drawn numbers, which hardly repeat, would only take time.
    coded = [spelled(name) for name, values in columns.items() if isinstance(values, Coded)]
    pq.write_table(table, buffer, use_dictionary=coded)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()


def parquet_columns(data: bytes) -> dict[str, list[Any]]:
    """Return the columns of a Parquet file as lists of Python values; raises ValueError for other bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table: Any = pq.read_table(pa.BufferReader(data))
    return {name: table.column(name).to_pylist() for name in table.column_names}


def csv_text(columns: Mapping[str, Column]) -> Iterator[str]:
    """Yield a table as CSV in pieces; numbers are written so that they are read back exactly."""
    yield csv_rows([list(columns)])
    length = min((len(rows_of(column, slice(None))) for column in columns.values()), default=0)
    for start in range(0, length, CSV_ROWS):
        rows = slice(start, start + CSV_ROWS)
        yield csv_rows(zip(*(rows_of(column, rows) for column in columns.values()), strict=True))


def rows_of(column: Column, rows: slice) -> list[Any]:
    return (Coded(column.codes[rows], column.words) if isinstance(column, Coded) else column[rows]).tolist()


def csv_rows(rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def csv_bytes(columns: Mapping[str, Column]) -> bytes:
    return "".join(csv_text(columns)).encode(errors="backslashreplace")


def text_lines(table: Mapping[str, Column], width: int | None = None) -> Iterator[str]:
    """Yield a table as lines of aligned text, with numbers of up to eight digits. Columns beyond a width go on below,
    beside the first one again."""
    cells = [[short_name(name), *map(cell, column.tolist())] for name, column in table.items()]
    first, *others = ([padded(text, max(map(columns, column)), ">") for text in column] for column in cells)
    block = [first]
    for column in others:
        if width and len(block) > 1 and sum(2 + columns(one[0]) for one in (*block, column)) - 2 > width:
            yield from (*map("  ".join, zip(*block, strict=True)), "")
            block = [first]
        block.append(column)
    yield from map("  ".join, zip(*block, strict=True))


def cell(value: Any) -> str:
    if isinstance(value, float) and math.isnan(value):  # as where a conditional variable does not exist
        return "-"
    return f"{value:.8g}" if isinstance(value, float) else one_line(str(value))


def data_frame(columns: Mapping[str, Column]) -> Any:
    """Return columns as a pandas DataFrame; raises ImportError if pandas is not installed."""
    import pandas as pd

    return pd.DataFrame(
        {
            name: pd.Categorical.from_codes(column.codes, pd.Index(column.words))
            if isinstance(column, Coded)
            else column
            for name, column in columns.items()
        }
    )


def merged_columns(*groups: Mapping[str, Column]) -> dict[str, Column]:
    """Join groups of columns. A name that is taken gets underscores at its end until it is free."""
    columns: dict[str, Column] = {}
    for group in groups:
        for name, column in group.items():
            while name in columns:
                name += "_"
            columns[name] = column
    return columns


def status(failures: Failures, index: Any) -> Coded:
    """Return "ok" or the kind of failure for each of some items, given in ascending order."""
    codes = np.zeros(len(index), np.int32)
    for code, runs in enumerate(failures.runs.values(), 1):
        edges = np.searchsorted(index, np.array(runs, np.int64).ravel()).reshape(-1, 2)
        change = np.zeros(len(index) + 1, np.int32)
        np.add.at(change, edges[:, 0], code)
        np.add.at(change, edges[:, 1], -code)
        codes += np.cumsum(change[:-1], dtype=np.int32)
    return Coded(codes, ["ok", *failures.runs])


def failures_csv(stages: Mapping[str, Failures]) -> bytes:
    """Return the failed items of stages as CSV: a row for each that has a message, and one for each range of others."""
    rows: list[Sequence[Any]] = [("stage", "kind", "first", "last", "count", "type", "message")]
    for stage, failures in stages.items():
        for kind, runs in failures.runs.items():
            records = {record.index: record for record in failures.records.get(kind, ())}
            pieces = list(split_runs(runs, sorted(records)))
            for lo, hi in pieces[:MOST_RANGES]:
                found = records.get(lo)
                told = (found.type, found.message) if found else ("", "")
                rows.append((stage, kind, lo, hi - 1, hi - lo, *told))
            if rest := pieces[MOST_RANGES:]:
                count = sum(hi - lo for lo, hi in rest)
                rows.append((stage, kind, rest[0][0], rest[-1][1] - 1, count, "", f"in {len(rest):,} ranges between"))
    return csv_rows(rows).encode(errors="backslashreplace")


def split_runs(runs: Iterable[tuple[int, int]], alone: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield ascending runs [lo, hi), with each of some of their indices, ascending, in a run of its own."""
    for lo, hi in runs:
        for index in alone[bisect_left(alone, lo) : bisect_left(alone, hi)]:
            if lo < index:
                yield lo, index
            yield index, index + 1
            lo = index + 1
        if lo < hi:
            yield lo, hi
