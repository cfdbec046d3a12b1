"""The interface of a sampler, and what it is told of the space that it draws for."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from optitrip.core.arrays import Array


@dataclass(frozen=True)
class Design(Mapping[str, int]):
    """The number of coordinates of each variable to draw, by name, and what only some samplers look at.

    Many samplers need no more than the mapping, so that a plain dict will do for them.
    """

    sizes: Mapping[str, int]
    """Number of coordinates of each variable that is drawn, in the order of the sweep file."""
    levels: Mapping[str, int]
    """Number of values of each variable of the space, if they are those of equal intervals of u; 0 otherwise."""
    candidates: int | None = None
    """Number of candidates that are drawn together; None if a candidate is drawn for itself."""

    def __getitem__(self, name: str) -> int:
        return self.sizes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    def only(self, names: Iterable[str]) -> "Design":
        """Return the design of some of the variables."""
        return replace(self, sizes={name: self.sizes[name] for name in names})


class Sampler(Protocol):
    """Points of (0, 1)^d by index. A sampler is frozen and pure; all but `unit` has defaults."""

    name: ClassVar[str]
    """Name in sweep files."""
    separate: ClassVar[bool] = False
    """True if the points of a variable are the same whatever other variables there are."""

    def check(self, design: Design) -> None:
        """Raise ValueError, with advice, if the sampler does not suit a design."""

    def most(self, design: Design) -> int | None:
        """Return the number of different points, if the sampler has no more; None by default."""
        return None

    def identity(self, design: Design) -> str:
        """Describe what decides the points beside the seed, the space and the sampler, for the identity of a sweep;
        empty by default."""
        return ""

    def unit(self, seed: int, design: Design, items: range) -> dict[str, Array]:
        """Draw the points of a range of items for the sweep's seed; returns for each name of the design a float64 array
        of shape (len(items), design[name]) in the open interval (0, 1)."""
        ...
