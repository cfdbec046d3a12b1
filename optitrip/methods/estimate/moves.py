"""Moves of all entries at once, within the limits of their variables."""

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.point import Limits, Point


@ours()
def moved(center: Point, entries: range, moves: Array, limits: Limits | None) -> Array:
    """Return some entries of x after their moves, as rounded to the dtype of their variable; float64.

    Where the move or its opposite would leave the limits, both are taken around the nearest point with room for them,
    so that they stay as long: the estimate is unbiased, at a point that is off by a step.
    """
    coordinates = np.arange(entries.start, entries.stop)
    found = center.entries(coordinates) + moves
    for name, own, places in center.split(coordinates):
        dtype = center.values[name].dtype
        if limits and name in limits:
            x = center.values[name].ravel()[places].astype(np.float64)
            low, high = (np.broadcast_to(bound, center.values[name].size)[places] for bound in limits[name])
            size = np.minimum(np.abs(moves[own]), (high - low) / 2)
            middle = np.clip(x, low + size, high - size)
            ends = np.clip(middle + np.sign(moves[own]) * size, low, high)
            found[own] = np.where((x >= low) & (x <= high), ends, found[own])
        if dtype != np.float64:
            found[own] = found[own].astype(dtype)
    return found
