"""Tables as Parquet files. The only file that imports pyarrow."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.output.formats import spelled


def parquet_bytes(columns: Mapping[str, Array]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def column(values: Array) -> Any:
        if values.dtype.kind not in "iuf":
            return pa.array(values)
        # Not `pa.array`: it imports pandas to check for its arrays, which takes half a second.
        data = pa.py_buffer(np.ascontiguousarray(values))
        return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, data])

    buffer = io.BytesIO()
    pq.write_table(pa.table(list(map(column, columns.values())), list(map(spelled, columns))), buffer)
    return buffer.getvalue()
