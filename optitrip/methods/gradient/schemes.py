"""Finite-difference schemes: at which multiples of the step h the loss is evaluated, and their order of accuracy.

    forward      (f(x + h) - f(x)) / h                                            error   h f'' / 2
    backward     (f(x) - f(x - h)) / h                                            error   h f'' / 2
    central      (f(x + h) - f(x - h)) / 2h                                       error   h^2 f''' / 6
    four_point   (8 f(x + h) - 8 f(x - h) - f(x + 2h) + f(x - 2h)) / 12h          error   h^4 f''''' / 30
    richardson   central differences of h, h/2 and h/4, extrapolated twice        error ~ h^6

(J. Nocedal, S. J. Wright, "Numerical Optimization", 2nd ed., section 8.1; L. F. Richardson, "The deferred approach to
the limit", Phil. Trans. R. Soc. A 226, 1927.) All of them are the derivative at x of the polynomial through f(x) and
the losses beside it, so one formula serves for points at any distance.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scheme:
    """Where the losses of a difference are taken."""

    name: str
    offsets: tuple[float, ...]
    """Multiples of h at which the difference itself takes losses."""
    order: int
    """Order of accuracy: the truncation error is proportional to h^order."""
    halves: tuple[float, ...] = ()
    """Further multiples, at half the step, that show the truncation error; none if the offsets show it already."""

    def nodes(self, *, errors: bool) -> tuple[float, ...]:
        """Return the multiples of h at which losses are taken, with or without error estimates."""
        return self.offsets + self.halves if errors else self.offsets


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("forward", (1,), 1, (0.5,)),
        Scheme("backward", (-1,), 1, (-0.5,)),
        Scheme("central", (1, -1), 2, (0.5, -0.5)),
        Scheme("four_point", (1, -1, 2, -2), 4),
        Scheme("richardson", (1, -1, 0.5, -0.5, 0.25, -0.25), 6),
    )
}
