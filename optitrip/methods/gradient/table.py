"""A numeric gradient as a table with a row for each coordinate."""

import numpy as np

from optitrip.core.arrays import Array, Coded, Column
from optitrip.core.point import Point
from optitrip.methods.gradient.method import LEFT_OUT, GradientResult


def gradient_columns(center: Point, result: GradientResult, best: int | None = None) -> dict[str, Column]:
    """Return coordinate, name, value, step, bound and flag of all requested coordinates, or of the `best` with the
    largest magnitudes. A flag of 0 is a difference without reservation; the others are explained by
    `GradientAnswer.flags`."""

    def flat(by_variable: dict[str, Array]) -> Array:
        return np.concatenate([by_variable[name].ravel() for name in center.varied])

    flags, values = flat({**result.flags}), result.flat
    rows = np.flatnonzero(flags & LEFT_OUT == 0)
    if best is not None:
        rows = rows[np.isfinite(values[rows])]
        rows = rows[np.argsort(-np.abs(values[rows]), kind="stable")][:best]
    bounds = flat({**result.bounds}) if result.bounds else np.full(len(flags), np.nan)
    names = [center.title(int(row)) for row in rows]
    return {
        "coordinate": rows,
        "name": Coded(np.arange(len(rows), dtype=np.int32), names or [""]),
        "value": values[rows],
        "step": flat({**result.steps})[rows],
        "bound": bounds[rows],
        "flag": flags[rows],
    }
