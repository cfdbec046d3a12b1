"""Arrays by name as .npz files."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np

from optitrip.core.absent import existing
from optitrip.core.arrays import Array


def npz_bytes(values: Mapping[str, Array]) -> bytes:
    """Return arrays by name as an .npz that loads without pickle."""
    buffer = io.BytesIO()
    # Not `np.savez`: variables could not have the names of its parameters, and it stores the time of day.
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in values.items():
            with archive.open(zipfile.ZipInfo(f"{spelled(name)}.npy"), "w", force_zip64=True) as member:
                unpickled = array
                if array.dtype == object:  # not `astype`, which looks into lists
                    unpickled = np.array([str(entry) for entry in array.ravel().tolist()]).reshape(array.shape)
                np.lib.format.write_array(member, unpickled, allow_pickle=False)
    return buffer.getvalue()


def spelled(name: str) -> str:
    """Return a name with escapes for the lone surrogates that UTF-8 lacks."""
    return name.encode(errors="backslashreplace").decode()


def point_bytes(values: Mapping[str, Array]) -> bytes:
    """Return a point, given as a batch of one, as an .npz of arrays in the shapes of the variables that exist there."""
    return npz_bytes({name: entry_array(batch) for name, batch in existing(values).items()})


def entry_array(batch: Array) -> Array:
    """Return the one entry of a batch as an array; a list or a dict of a choice is not looked into."""
    if batch.ndim == 1 and isinstance(batch[0], list | tuple | dict):
        return batch.reshape(())
    return np.asarray(batch[0])
