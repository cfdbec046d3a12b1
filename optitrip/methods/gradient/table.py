"""A numeric gradient as a table with a row for each coordinate."""

from collections.abc import Mapping

import numpy as np

from optitrip.core.arrays import Array, Coded, Column
from optitrip.core.method import Method, Route
from optitrip.core.part import Part
from optitrip.core.point import Point
from optitrip.errors import NoAnswer
from optitrip.methods.gradient.flags import LEFT_OUT
from optitrip.methods.gradient.method import Gradient, Refinement
from optitrip.methods.gradient.result import GradientResult
from optitrip.methods.spec import StoredParts


def gradient_columns(center: Point, result: GradientResult, best: int | None = None) -> dict[str, Column]:
    """Return coordinate, name, value, step, error and flag of all requested coordinates, or of the `best` with the
    largest magnitudes. A flag of 0 is a difference without reservation; the others are explained by
    `GradientAnswer.flags`."""

    def flat(by_variable: Mapping[str, Array]) -> Array:
        return np.concatenate([by_variable[name].ravel() for name in center.varied])

    flags, values = flat(result.flags), result.flat
    rows = np.flatnonzero(flags & LEFT_OUT == 0)
    if best is not None:
        rows = rows[np.isfinite(values[rows])]
        rows = rows[np.argsort(-np.abs(values[rows]), kind="stable")][:best]
    errors = flat(result.error) if result.error else np.full(len(flags), np.nan)
    names = [center.title(int(row)) for row in rows]
    return {
        "coordinate": rows,
        "name": Coded(np.arange(len(rows), dtype=np.int32), names or [""]),
        "value": values[rows],
        "step": flat(result.steps)[rows],
        "error": errors[rows],
        "flag": flags[rows],
    }


def is_of(method: Method, part: Part) -> bool:
    """Return whether a part holds differences as the method takes them, of losses or structured ones."""
    return isinstance(method, Gradient) and len(part.items) > 1 and bool({*method.measured} & part.columns.keys())


def stored_result(route: Route, stored: StoredParts) -> GradientResult | None:
    """Return the result that follows from the stored stages of a route, along the coordinates before the first gap.

    It is None if there is none, or they are those of another route.
    """
    result, found = None, None
    try:
        while True:
            method = route.send(result)
            main = method.main
            # The order of coordinates may be known by the loss alone.
            parts = stored(method, method.kind) if main else stored(method)
            part = parts[0] if parts and not parts[0].items.start else None
            if part is None or (main and not is_of(method, part)):
                return found
            if len(part.items) < method.items and not main:
                return found
            result = method.result(part)
            if isinstance(method, Gradient):
                found = method.merged(found, result) if found and isinstance(method, Refinement) else result
            if len(part.items) < method.items:
                return found
    except NoAnswer:
        return found
    except StopIteration as end:
        return end.value.result
