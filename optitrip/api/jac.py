"""The function `jac`: the numeric gradient, or Jacobian, as a function of x for the optimizers of SciPy."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from optitrip.api.functions import gradient
from optitrip.api.repeated import Jacobian, repeated


def jac(
    loss: Any,
    x0: Any,
    *,
    args: Any = (),
    scheme: str | None = None,
    step: Any = "auto",
    noise: float | None = None,
    bounds: Any = None,
    plain: bool = False,
    constants: Mapping[str, Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Jacobian:
    """Return the numeric derivative of a loss as a function, e.g. `minimize(loss, x0, jac=optitrip.jac(loss, x0))`.

    Noise, steps and errors are measured once, at x0. Each call of the function takes one round of differences in this
    process, without checks, journal or report, and another one of shorter steps along those coordinates whose losses
    show that the steps are too long there.

    It serves `minimize`, `least_squares`, `root` and constraints as it is. `curve_fit` calls `jac(xdata, *parameters)`:
    make `J = optitrip.jac(lambda p: f(xdata, *p), p0)`, and give it `jac=lambda _, *p: J(p)`.

    Args:
        loss: function of one array; it returns a number, or an array of residuals for `least_squares`.
        x0: point at which noise, steps and errors are measured.
        args: further arguments of the loss, after x, as SciPy has them; those that a call of the function is given,
            `J(x, *args)`, take their place.
        scheme: as for `gradient`.
        step: as for `gradient`.
        noise: as for `gradient`.
        bounds: as for `gradient`; the function keeps within them, too.
        plain: True to ignore batched and structured evaluation.
        constants: as for `gradient`.
        arguments: as for `gradient`.

    Raises:
        optitrip.OptitripError: as for `gradient`.
    """
    found: Any = repeated(
        partial(gradient, executor="serial"),
        loss,
        x0,
        args=args,
        scheme=scheme,
        step=step,
        noise=noise,
        bounds=bounds,
        plain=plain,
        constants=constants,
        arguments=arguments,
    )
    return found
