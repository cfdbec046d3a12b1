"""Moves of all entries at once, within the limits of their variables."""

from typing import NamedTuple

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.point import Limits, Point


class Own(NamedTuple):
    """The entries of one variable."""

    places: slice
    """Their places among all entries."""
    dtype: np.dtype[np.floating]
    limits: tuple[Array, Array] | None
    """Smallest and largest value of each."""


class Movable:
    """Some entries of x, ready to be moved along many directions.

    Args:
        center: x.
        entries: range of flat coordinates.
        limits: variables that must not leave an interval.
    """

    def __init__(self, center: Point, entries: range, limits: Limits | None) -> None:
        coordinates = np.arange(entries.start, entries.stop)
        self.x = center.entries(coordinates)
        """Entries of x, float64."""
        self._variables: list[Own] = []
        for name, own, places in center.split(coordinates):
            if len(own):
                every = slice(int(own[0]), int(own[-1]) + 1)
                bounds = (limits or {}).get(name)
                each = [np.broadcast_to(bound, center.values[name].size)[places] for bound in bounds or ()]
                self._variables.append(Own(every, center.values[name].dtype, (each[0], each[1]) if each else None))

    @ours()
    def moved(self, moves: Array) -> Array:
        """Return the entries after their moves, as rounded to the dtype of their variable; float64.

        Where the move or its opposite would leave the limits, both are taken around the nearest point with room for
        them, so that they stay as long: the estimate is unbiased, at a point that is off by a step.
        """
        found = self.x + moves
        for own, dtype, limits in self._variables:
            if limits is not None:
                (low, high), x = limits, self.x[own]
                size = np.minimum(np.abs(moves[own]), (high - low) / 2)
                middle = np.clip(x, low + size, high - size)
                ends = np.clip(middle + np.sign(moves[own]) * size, low, high)
                found[own] = np.where((x >= low) & (x <= high), ends, found[own])
            if dtype != np.float64:
                found[own] = found[own].astype(dtype)
        return found


def scaled(vector: Array, scale: Array | None) -> Array:
    """Return a direction whose entries are multiplied by their scale, if there is one."""
    return vector if scale is None else scale * vector
