"""Reads the limits that variables must not leave while they are differentiated."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from optitrip.core.point import Limits
from optitrip.methods.gradient.selection import Shapes
from optitrip.space.variables import Space

WANTED = "wanted [low, high], each a number or an array of the variable's shape, low not above high"


def limits_of(space: Space, bounds: Mapping[str, Any] | None) -> Limits | None:
    """Return the limits of the variables: those of their distributions, or those given instead; None without any.

    Raises ValueError, with what was wanted, for bounds of something else, or that are none.
    """
    shapes: Shapes = {variable.name: variable.shape for variable in space.varied}
    # A value may be rounded to beyond a limit by the cast to its dtype; the limit is rounded with it.
    found: dict[str, Any] = {
        variable.name: np.array(variable.distribution.limits).astype(variable.dtype) for variable in space.varied
    }
    for name, pair in (bounds or {}).items():
        if name not in shapes:
            raise ValueError(f"has bounds of {name!r}, which does not vary; wanted one of {', '.join(shapes)}")
        found[name] = pair
    limits = {name: interval(name, pair, shapes[name]) for name, pair in found.items()}
    limited = {name: pair for name, pair in limits.items() if np.isfinite(pair[0]).any() or np.isfinite(pair[1]).any()}
    return limited or None


def interval(name: str, pair: Any, shape: Any) -> tuple[Any, Any]:
    """Return both limits of a variable, float64 of one entry or of its size."""
    problem = f"{name}: was {pair!r}; {WANTED}"
    try:
        low, high = (np.asarray(bound, np.float64) for bound in pair)
    except (TypeError, ValueError):
        raise ValueError(problem) from None
    if any(bound.shape not in ((), tuple(shape)) for bound in (low, high)) or not (low <= high).all():
        raise ValueError(problem)
    return low.ravel(), high.ravel()
