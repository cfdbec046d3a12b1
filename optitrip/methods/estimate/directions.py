"""Directions, drawn by index: direction n depends on the seed, its kind, the number of entries and n alone, except that
orthogonal ones depend on the group of directions that n belongs to.

    gaussian      independent normal entries
    rademacher    independent signs (J. C. Spall, "Multivariate stochastic approximation using a simultaneous
                  perturbation gradient approximation", IEEE Trans. Autom. Control 37, 1992)
    orthogonal    random orthogonal vectors of length sqrt(d), in groups of at most d (K. Choromanski et al.,
                  "Structured evolution with compact architectures for scalable policy optimization", ICML 2018)
    coordinates   sqrt(d) times a coordinate axis, in an order that is drawn anew for each d of them

All have E[v v'] = I, so the mean of the slopes times the directions estimates the gradient without bias.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.special import gammaln, ndtri
from scipy.stats import beta

from optitrip.core.arrays import Array
from optitrip.samplers.random import open_unit, permutation, stream_key, words

Kind = Literal["orthogonal", "rademacher", "gaussian", "coordinates"]
MIDPOINTS = 1_000
"""Number of points of the integral over a distribution."""
FEW_ENTRIES = 1_000
"""Number of entries above which signs are as normal directions to 0.1 %."""
LARGEST_ORTHOGONAL = 10**7
"""Most entries of all directions together that are made orthogonal by default; the work grows with n^2 d."""


@dataclass(frozen=True)
class Directions:
    """A sequence of directions.

    Args:
        kind: how they are drawn.
        seed: seed of the draws.
        count: number of directions.
        size: number of entries of each.
        draw: number of the draw, where they are drawn anew again and again.
    """

    kind: Kind
    seed: int
    count: int
    size: int
    draw: int = 0

    @property
    def name(self) -> str:
        """Name of their stream."""
        return f"{self.kind} {self.draw}" if self.draw else self.kind

    def vector(self, n: int, entries: range | None = None) -> Array:
        """Return some entries, by default all, of direction n, float64."""
        entries = range(self.size) if entries is None else entries
        if self.kind == "orthogonal":
            group, place = divmod(n, min(self.count, self.size))
            return self._groups(group)[entries.start : entries.stop, place]
        if self.kind == "coordinates":
            found = np.zeros(len(entries))
            if (axis := self.axis(n)) in entries:
                found[axis - entries.start] = self.size**0.5
            return found
        if self.kind == "rademacher":
            return 2.0 * self.bits(n, entries) - 1.0
        return ndtri(open_unit(words(self.key, n * self.size + entries.start, len(entries))))

    def bits(self, n: int, entries: range) -> Array:
        """Return for some entries of direction n whether they are positive: 64 of them to a word, uint8."""
        own = -(-self.size // 64)  # words of one direction
        first, last = entries.start // 64, -(-entries.stop // 64)
        drawn = words(self.key, n * own + first, last - first).astype("<u8").view(np.uint8)
        return np.unpackbits(drawn, bitorder="little")[entries.start - 64 * first :][: len(entries)]

    def axis(self, n: int) -> int:
        """Return the entry that is not 0 in direction n of the kind "coordinates"."""
        group, place = divmod(n, self.size)
        orders: dict[int, Array] = self.__dict__.setdefault("_orders", {})
        if group not in orders:
            orders.clear()
            orders[group] = permutation(self.seed, "direction", f"{self.name} {group}", self.size)
        return int(orders[group][place])

    @property
    def length(self) -> float:
        """Factor that makes the largest typical entry of a direction 1."""
        return self.size**-0.5 if self.kind == "coordinates" else 1.0

    @cached_property
    def key(self) -> int:
        return stream_key(self.seed, "direction", self.name)

    def _groups(self, group: int) -> Array:
        """Return the directions of a group as columns: an orthonormal basis of a random subspace times sqrt(d), made
        unique by positive diagonal entries of R."""
        made: dict[int, Array] = self.__dict__.setdefault("_made", {})
        if group not in made:
            made.clear()
            columns = min(self.count, self.size)
            drawn = words(self.key, group * columns * self.size, columns * self.size)
            q, r = np.linalg.qr(ndtri(open_unit(drawn)).reshape(columns, self.size).T)
            made[group] = q * (np.sign(np.diagonal(r)) * self.size**0.5)
        return made[group]

    def __getstate__(self) -> dict[str, object]:
        return {
            name: value for name, value in self.__dict__.items() if name in ("kind", "seed", "count", "size", "draw")
        }


def expected_cosine(kind: Kind, count: int, size: int) -> float:
    """Return the expected cosine of the angle between the estimate and a gradient that may have any direction.

    Its square is distributed as Beta(n/2, (d - 1)/2) for independent normal directions: the estimate has the component
    |a|^2 along the gradient and |a| chi_(d-1) across, a being the n slopes; and as Beta(n/2, (d - n)/2) for those that
    are orthogonal, coordinates included, which project the gradient onto their span; beside w whole groups of d, the
    cosine is (w + b) / sqrt(w^2 + 2 w b + b) for a square b of this distribution. A sparse gradient has a smaller
    cosine to coordinates. Signs have a fixed length, which makes the part across smaller by d / (d + 2) when n is
    large; between that and n = 1, where they are as normal directions, the power of n fits draws of up to 50 entries to
    1 %.
    """
    if kind in ("orthogonal", "coordinates"):
        whole, rest = divmod(count, size)
        if not rest:
            return 1.0
        if whole:
            squares = beta.ppf((np.arange(MIDPOINTS) + 0.5) / MIDPOINTS, rest / 2, (size - rest) / 2)
            return float(np.mean((whole + squares) / np.sqrt(whole**2 + (2 * whole + 1) * squares)))
    a, b = count / 2, (size - count if kind in ("orthogonal", "coordinates") else size - 1) / 2
    if kind == "rademacher" and size <= FEW_ENTRIES:
        b *= (size + 2 * count**-0.75) / (size + 2)
    if b == 0:
        return 1.0
    return float(np.exp(gammaln(a + 0.5) + gammaln(a + b) - gammaln(a) - gammaln(a + b + 0.5)))


def variance_of(directions: Directions, known: Array) -> float:
    """Return E|estimate - g|^2 / |g|^2 from the directions that have a slope, bool of shape (directions,): k of them in
    a group see k / d of the gradient, so that the group adds k (d - k) to n^2 times the variance."""
    n, d = int(known.sum()), directions.size
    if directions.kind not in ("orthogonal", "coordinates") or known.all():
        return relative_variance(directions.kind, n, d)
    in_group = d if directions.kind == "coordinates" else min(directions.count, d)
    counts = np.bincount(np.arange(len(known)) // in_group, known)
    return float(np.sum(counts * (d - counts)) / n**2)


def relative_variance(kind: Kind, count: int, size: int) -> float:
    """Return E|estimate - g|^2 / |g|^2 for a loss that is linear at the scale of the steps."""
    if kind in ("orthogonal", "coordinates"):
        whole, rest = divmod(count, size)
        # Whole groups are exact; the others see d / n of their part of the gradient.
        return 0.0 if not rest and whole else size / count - 1 if not whole else rest * (size - rest) / count**2
    return (size + 1 if kind == "gaussian" else size - 1) / count
