"""The contents of result files: arrays, tables, and pictures as PNG."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.output.text import short_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure


P = ParamSpec("P")


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
    """Return a point, given as a batch of one, as an .npz of arrays in the shapes of the variables."""
    return npz_bytes({name: entry_array(batch) for name, batch in values.items()})


def entry_array(batch: Array) -> Array:
    """Return the one entry of a batch as an array; a list or a dict of a choice is not looked into."""
    if batch.ndim == 1 and isinstance(batch[0], list | tuple | dict):
        return batch.reshape(())
    return np.asarray(batch[0])


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


def plain_style(draw: Callable[P, bytes]) -> Callable[P, bytes]:
    """Have a function draw in matplotlib's own style, whatever the user has chosen for other pictures."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> bytes:
        import matplotlib

        with ours(), matplotlib.rc_context():
            matplotlib.rcdefaults()
            return draw(*args, **kwargs)

    return drawn


@plain_style
def images_png(images: Mapping[str, Array], title: str) -> bytes:
    """Draw images by title in a row: grey ones on one scale centred on zero, coloured ones each on its own scale."""
    figure = new_figure(1.4 * len(images), 2.2)
    grey = [image for image in images.values() if image.ndim == 2]
    scale: dict[str, Any] = even_scale(np.concatenate([image.ravel() for image in grey])) if grey else {}
    for number, (name, image) in enumerate(images.items(), 1):
        axes = figure.add_subplot(1, len(images), number)
        axes.imshow(image if image.ndim == 2 else rescaled(image), cmap="RdBu_r", interpolation="nearest", **scale)
        axes.set_title(short_name(name), fontsize=9)
        axes.set_axis_off()
    figure.suptitle(title, fontsize=10)
    return png(figure)


def even_scale(values: Array) -> dict[str, Any]:
    """Return a colour range centred on zero, as arguments of `imshow`."""
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    return {"vmin": -largest, "vmax": largest}


def rescaled(image: Array) -> Array:
    """Rescale colours from the smallest entry, 0, to the largest, 1; missing entries become white."""
    finite = image[np.isfinite(image)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return np.nan_to_num((image - low) / ((high - low) or 1.0), nan=1.0)


def new_figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure  # not pyplot: no global figures, no display

    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def png(figure: Figure) -> bytes:
    """Draw a figure. Names of the user's in it are no formulas, and letters that the font lacks become boxes."""
    from matplotlib import rc_context
    from matplotlib.text import Text

    buffer = io.BytesIO()
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # pyright: ignore[reportAttributeAccessIssue]
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
