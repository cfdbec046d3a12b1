"""The files of a result: written aside, then renamed, so that a reader never sees half of one."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.methods.search import SearchResult
from optitrip.part import Array

BEST, LOSSES, PICTURE, RESULT, SWEEP_FILE = "best.npz", "losses.parquet", "losses.png", "result.json", "sweep.toml"


def replace(path: Path, data: bytes) -> None:
    """Write a whole file, durably.

    Raises:
        OSError: if it cannot be written; the old file, if there is one, is as it was.
    """
    aside = path.with_name(path.name + ".part")
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def best_bytes(values: Mapping[str, Array]) -> bytes:
    """The winner as an .npz that loads without pickle: an array by name, of the shape of the variable."""
    arrays = {name: np.asarray(batch[0]) for name, batch in values.items()}
    plain = {name: a.astype(str) if a.dtype == object else a for name, a in arrays.items()}
    buffer = io.BytesIO()
    # Not `np.savez`: it has parameters of its own, which no variable could be called, and it writes the time of day.
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in plain.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return buffer.getvalue()


def losses_bytes(result: SearchResult) -> bytes:
    """The kept losses as Parquet, columns `index` (int64) and `loss` (float64, NaN where the candidate failed)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table({"index": result.index, "loss": result.loss}), buffer)  # pyright: ignore[reportUnknownMemberType]
    return buffer.getvalue()


def json_bytes(table: Mapping[str, Any]) -> bytes:
    return (json.dumps(table, indent=2) + "\n").encode()


def items_told(folder: Path) -> int | None:
    """How many candidates the result file in a folder covers; None without a readable one."""
    try:
        return json.loads((folder / RESULT).read_bytes())["items"]
    except (OSError, ValueError, KeyError):
        return None
