"""Samplers: for any range of items, points of the open unit cube. One file each; to add one, add a line here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol

from optitrip.core.arrays import Array


class Sampler(Protocol):
    """Points of (0, 1)^d by index. A sampler is frozen and pure."""

    @property
    def name(self) -> str:
        """Its word in sweep files."""
        ...

    def check(self, sizes: Mapping[str, int], items: int) -> None:
        """Go on if the sampler is any good for points of so many coordinates, by name, and for so many items.

        Raises:
            ValueError: saying what was given, what is wanted and what to do.
        """
        ...

    def unit(self, seed: int, sizes: Mapping[str, int], items: range) -> dict[str, Array]:
        """Draw the points of `items`.

        Args:
            seed: of the sweep.
            sizes: the number of coordinates of each variable, by name.
            items: consecutive indices.

        Returns:
            For each name a float64 array of shape (len(items), sizes[name]) in the open interval (0, 1).
        """
        ...


def made(place: str) -> Sampler:
    """Import the class of a sampler and make one."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)()


PLACES: dict[str, str] = {
    "random": "optitrip.samplers.random:Random",
    "halton": "optitrip.samplers.halton:Halton",
}
"""Where the class of each sampler is, by the word of sweep files."""
SAMPLERS: dict[str, Sampler] = {word: made(place) for word, place in PLACES.items()}
