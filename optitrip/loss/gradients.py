"""Converts what an analytic gradient returns to an array for each variable."""

import inspect
from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.loss.passing import signature_of
from optitrip.loss.returns import abbreviate, as_array
from optitrip.runtime.interrupts import failure

Shapes = Mapping[str, tuple[int, ...]]


def parameter_order(call: Any, names: Sequence[str]) -> list[str]:
    """Return the variables in the order of a function's parameters, or as they are if it has not just these.

    `jax.grad` and `torch.autograd.grad` return the gradient in this order.
    """
    signature = signature_of(call) if callable(call) else None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    own = [p.name for p in signature.parameters.values() if p.kind in kinds] if signature else []
    listed = [name for name in own if name in names]
    return listed if sorted(listed) == sorted(names) else list(names)


def named(returned: Any, order: Sequence[str]) -> Any:
    """Return a gradient by the variables' names: a dict as it is, a tuple or list of several in their `order`, anything
    else as that by the only variable; without the loss, if that was returned first. Raises TypeError if it cannot be
    told which is which."""
    if isinstance(returned, Mapping):
        return returned  # pyright: ignore[reportUnknownVariableType]
    if is_pair(returned) and is_number(returned[0]) and isinstance(returned[1], Mapping):
        return returned[1]  # pyright: ignore[reportUnknownVariableType]
    if len(order) == 1:
        # A function of both, as `jax.value_and_grad` makes it.
        both = is_pair(returned) and is_number(returned[0]) and not is_number(returned[1])
        return {order[0]: returned[1] if both else returned}
    if isinstance(returned, tuple | list) and len(returned) == len(order):  # pyright: ignore[reportUnknownArgumentType]
        return dict(zip(order, returned, strict=True))  # pyright: ignore[reportUnknownArgumentType]
    raise TypeError(
        f"gradient returned {described(returned)}; wanted a dict with an array for each of {', '.join(order)}, or a "
        "tuple of them in this order"
    )


def gradient_arrays(returned: Any, order: Sequence[str], wanted: Shapes) -> dict[str, Array]:
    """Return the gradient by each of some variables, float64 of their shapes.

    Raises TypeError, with what was returned and what was wanted, if one is missing, has another shape or is not of real
    numbers.
    """
    table = named(returned, order)
    if missing := [name for name in wanted if name not in table]:
        listed = ", ".join(str(name) for name in table) or "nothing"
        raise TypeError(
            f"gradient returned a dict of {listed}, which lacks {', '.join(missing)}; wanted arrays of shapes "
            f"{dict(wanted)}, of zeros where the loss does not depend on one"
        )
    return {name: as_gradient(table[name], name, shape) for name, shape in wanted.items()}


def as_gradient(value: Any, name: str, shape: tuple[int, ...]) -> Array:
    """Return the gradient by one variable, float64 of its shape. Raises TypeError if it is not real or has another."""
    hint = ""
    try:
        array = as_array(value)
    except BaseException as error:  # ragged, or the user's own __array__
        raise TypeError(
            f"gradient by {name} must be an array of shape {shape}, was {described(value)}: {failure(error)}"
        ) from None
    if array.dtype.kind == "O" and array.shape == shape:
        array = numbers_in(array)
    if array.dtype.kind not in "fiu":
        hint = "; a complex one has a method `real`" if array.dtype.kind == "c" else ""
        what = described(value) if array.ndim == 0 else f"of {array.dtype}"
        raise TypeError(f"gradient by {name} must be real numbers of shape {shape}, was {what}{hint}")
    if array.shape != shape:
        if array.shape == shape[::-1]:
            hint = "; is it transposed?"
        elif array.size == int(np.prod(shape)):
            hint = "; reshape it, if its entries are in the right order"
        raise TypeError(f"gradient by {name} must have the shape {shape} of {name}, had {array.shape}{hint}")
    with ours():  # a long double may be too large
        return array.astype(np.float64)


def numbers_in(array: Array) -> Array:
    """Return an array of Python's numbers as float64; unchanged if one is none."""
    try:
        return array.astype(np.float64) if not any(isinstance(entry, str) for entry in array.ravel()) else array
    except BaseException as error:
        failure(error)
        return array


def is_pair(returned: Any) -> bool:
    """Return whether two values were returned."""
    return isinstance(returned, tuple | list) and len(returned) == 2  # pyright: ignore[reportUnknownArgumentType]


def is_number(value: Any) -> bool:
    """Return whether a value is one number, of Python or as an array without axes."""
    return isinstance(value, Number) or getattr(value, "ndim", None) == 0


def described(value: Any) -> str:
    """Describe what was returned in a few words."""
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    return "None" if value is None else abbreviate(value)
