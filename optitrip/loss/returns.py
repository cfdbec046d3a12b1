"""Converts what a loss returns to numbers."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, ours

DOUBLE = 2.0**-52
"""Relative precision (eps) of float64."""
PRECISIONS = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""Relative precision of coarser types, by the names that NumPy, PyTorch and JAX share."""


class NotANumber(TypeError):
    """The objective returned something that is not a loss."""


def split_loss(returned: Any) -> tuple[Any, dict[str, Any]]:
    """Split a returned value into the loss and the other numbers by name. Raises NotANumber for a dict without a loss,
    or with an invalid name."""
    if not isinstance(returned, Mapping):
        return returned, {}
    extras: dict[Any, Any] = dict(returned)  # pyright: ignore[reportUnknownArgumentType]
    if "loss" not in extras:
        raise NotANumber(
            f"a dict must hold 'loss' beside other numbers, held {', '.join(map(repr, extras)) or 'nothing'}"
        )
    for name in extras:
        if not isinstance(name, str) or name == "index":  # a column that optitrip adds
            raise NotANumber(f"a number beside the loss cannot be called {name!r}")
    return extras.pop("loss"), extras


def readable(value: Any) -> Any:
    """Return a value that NumPy reads rightly: a tensor in memory, without its graph and with a type that NumPy knows;
    a masked array with NaN where it is masked."""
    if isinstance(value, np.ma.MaskedArray):
        masked: Any = value
        return np.ma.filled(masked.astype(np.float64), np.nan) if np.ma.is_masked(masked) else masked
    # Found on the type: a mock answers to any name.
    if not callable(getattr(type(value), "detach", None)):
        return value
    tensor = value.detach()
    tensor = tensor.float() if dtype_of(tensor) == "bfloat16" else tensor
    return tensor.numpy(force=True) if hasattr(tensor, "numpy") else tensor


def dtype_of(value: Any) -> str:
    """Return the name of a value's type of numbers, the same for NumPy, PyTorch and JAX; empty if it has none."""
    return str(getattr(value, "dtype", "")).removeprefix("torch.")


def as_array(value: Any) -> Array:
    """Return a value as an array, as `readable` makes it; raises what NumPy raises."""
    try:
        return np.asarray(readable(value))
    except Exception:
        if not isinstance(value, list | tuple):
            raise
        return np.stack([as_array(entry) for entry in value])  # pyright: ignore[reportUnknownVariableType]


def as_number(value: Any, what: str = "a loss") -> float:
    """Convert any real scalar to a float, 0-d arrays of NumPy and torch included. Raises NotANumber for booleans,
    strings, complex numbers, arrays with axes, None and the like."""
    scalar = readable(value)
    scalar = scalar[()] if isinstance(scalar, np.ndarray) and scalar.ndim == 0 else scalar  # pyright: ignore[reportUnknownVariableType]
    unwanted = isinstance(scalar, bool | np.bool_ | str | bytes | complex | np.complexfloating | np.timedelta64)
    unwanted = unwanted or dtype_of(scalar) == "bool"
    real = hasattr(scalar, "__float__") or hasattr(scalar, "__index__")
    if unwanted or not real or getattr(scalar, "ndim", 0) != 0:
        kind = dtype_of(scalar) and f", {dtype_of(scalar)}"
        raise NotANumber(f"{what} must be one real number, was {abbreviate(value)}{kind}")
    try:
        return float(scalar)
    except (TypeError, ValueError, OverflowError) as error:
        raise NotANumber(f"{what} must be one real number, was {abbreviate(value)}: {error}") from None


def as_batch(returned: Any, block: int, what: str = "losses") -> Array:
    """Convert the losses of a block to float64 of shape (block,). Raises NotANumber for another shape, or entries that
    are not real numbers."""
    try:
        array = as_array(returned)
    except Exception as error:  # ragged lists, or the user's own __array__
        raise NotANumber(f"{what} must be an array, was {abbreviate(returned)}: {error}") from None
    if array.shape != (block,) or array.dtype.kind not in "fiu":
        raise NotANumber(
            f"{what} must be {block} real numbers for {block} candidates, shape ({block},); "
            f"was {array.dtype} of shape {array.shape}"
        )
    with nullcontext() if array.itemsize <= 8 else ours():  # a long double may be too large; entering takes 1 us
        return array.astype(np.float64)


def abbreviate(value: Any) -> str:
    """Describe a value for messages by its type and its shape or text."""
    shape = getattr(value, "shape", None)
    kind = type(value).__name__
    return f"{kind} of shape {tuple(shape)}" if shape is not None else f"{kind} {str(value)[:80]!r}"


def eps_of(loss: Any) -> float:
    """Return the relative precision of a loss's type, that of float64 if it is not a coarser one."""
    return PRECISIONS.get(dtype_of(loss), DOUBLE)
