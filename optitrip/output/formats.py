"""The contents of result files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from optitrip.core.arrays import Array


def npz_bytes(values: Mapping[str, Array]) -> bytes:
    """Return arrays by name as an .npz that loads without pickle."""
    buffer = io.BytesIO()
    # Not `np.savez`: it has parameters of its own, which no variable could be called, and it writes the time of day.
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in values.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                unpickled = array.astype(str) if array.dtype == object else array
                np.lib.format.write_array(member, unpickled, allow_pickle=False)
    return buffer.getvalue()


def point_bytes(values: Mapping[str, Array]) -> bytes:
    """Return a point, given as a batch of one, as an .npz of arrays in the shapes of the variables."""
    return npz_bytes({name: np.asarray(batch[0]) for name, batch in values.items()})


def parquet_bytes(columns: Mapping[str, Array]) -> bytes:
    """Return columns of equal length as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def column(values: Array) -> Any:
        if values.dtype.kind not in "iuf":
            return pa.array(values)
        # Not `pa.array`: to see whether it is given pandas' arrays, it imports pandas, which takes half a second.
        data = pa.py_buffer(np.ascontiguousarray(values))
        return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, data])

    buffer = io.BytesIO()
    pq.write_table(pa.table({name: column(values) for name, values in columns.items()}), buffer)
    return buffer.getvalue()
