"""Reads the step of a gradient: "auto", a number, steps by variable, or steps relative to x."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.point import Point
from optitrip.methods.gradient.selection import Shapes

AUTO, RELATIVE = "auto", "relative"
WANTED = 'wanted "auto", a number other than 0, { relative = 1e-6 }, or a number or an array for every variable'


def check_step(step: object, shapes: Shapes) -> None:
    """Raise ValueError, with what was wanted, unless this is a step for variables of these shapes."""
    given = relative(step, shapes)
    if step == AUTO or is_step(step):
        return
    if given is not None and is_step(given):
        return
    table = step if given is None else given
    if not isinstance(table, Mapping):
        raise ValueError(f"was {step!r}, {WANTED}")
    if missing := [name for name in shapes if name not in table]:
        raise ValueError(f"has no step for {missing[0]}; {WANTED}")
    for name, value in table.items():  # pyright: ignore[reportUnknownVariableType]
        if name not in shapes:
            raise ValueError(f"has a step for {name!r}, which does not vary; wanted one of {', '.join(shapes)}")
        array = as_steps(value)
        if array is None or array.shape not in ((), tuple(shapes[name])):
            raise ValueError(f"was {value!r} for {name}; wanted a number other than 0, or an array of its shape")


def steps_of(step: object, center: Point) -> float | Array | None:
    """Return h for all coordinates, or an array with one for each; None for automatic steps."""
    shapes = {name: center.values[name].shape for name in center.varied}
    if step is None or step == AUTO:
        return None
    if is_step(step):
        return float(step)  # pyright: ignore[reportArgumentType]
    given = relative(step, shapes)
    table: Any = step if given is None else given
    by_name = {name: np.asarray(table if is_step(table) else table[name], np.float64) for name in shapes}
    flat = np.concatenate([np.broadcast_to(by_name[name], shape).ravel() for name, shape in shapes.items()])
    if given is None:
        return flat
    x = np.abs(center.entries(np.arange(center.size)))
    return flat * np.where(x > 0, x, 1.0)  # 1 for an entry that is 0, which has no size


def relative(step: object, shapes: Shapes) -> Any:
    """Return what the steps are relative to x by; None if they are absolute."""
    table: Any = step if isinstance(step, Mapping) and RELATIVE not in shapes else {}
    return table[RELATIVE] if set(table) == {RELATIVE} else None


def is_step(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value) and value != 0


def as_steps(value: object) -> Array | None:
    """Return a number or an array of steps as float64; None if it holds anything but finite numbers other than 0."""
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    known = array.dtype.kind in "if" and np.isfinite(array).all() and (array != 0).all()
    return array.astype(np.float64) if known else None
