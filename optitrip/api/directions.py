"""The part of a session that takes slopes along directions: directional derivatives, and estimates of a gradient."""

import reprlib
from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np

from optitrip.api.inputs import exact, tables_at
from optitrip.api.options import CALL_OPTIONS, RunOptions, takes_options
from optitrip.api.runner import Runner
from optitrip.core.arrays import Array
from optitrip.errors import InputError
from optitrip.methods.directional.answer import DirectionalAnswer
from optitrip.methods.estimate.answer import EstimateAnswer


class AlongDirections(Runner):
    """The estimates and directional derivatives of a `Session`."""

    @takes_options(CALL_OPTIONS)
    def estimate(
        self,
        loss: Any,
        x: Any,
        *,
        directions: int = 100,
        kind: str | None = None,
        step: Any = "auto",
        noise: float | None = None,
        errors: bool = True,
        bounds: Any = None,
        seed: int = 0,
        plain: bool = False,
        as_dict: bool = False,
        constants: Mapping[str, Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
        **options: Unpack[RunOptions],
    ) -> EstimateAnswer:
        """Estimate the gradient of a loss at x from its slopes along random directions, two evaluations each.

        It is the mean of the slopes times the directions, as of simultaneous perturbations (SPSA), antithetic evolution
        strategies and MeZO, and as unbiased. A training loop gives each of its steps another `seed`.

        Args:
            loss: as for `search`.
            x: as for `gradient`.
            directions: number of directions.
            kind: "orthogonal" directions in groups of at most as many as x has entries; "rademacher" for random signs;
                "gaussian" for normal numbers; or "coordinates", drawn without repetition. By default orthogonal, or
                signs if all directions together have over 10^7 entries.
            step: "auto" for a step from the noise of the loss and the sizes of x, with directions that are scaled by
                entry where those differ by more than a factor of 1000; h, by which an entry moves; numbers or arrays by
                variable; or {"relative": 1e-6} for steps relative to x. Different steps scale the directions.
            noise: standard deviation of the loss, if known: it is not measured then.
            errors: False to save the evaluations that only serve the error: along up to 12 more directions, and with a
                given step those of the noise.
            bounds: as for `gradient`.
            seed: seed of the directions.
            plain: as for `gradient`.
            as_dict, constants, arguments, options: as for `search`.

        Raises:
            optitrip.NoAnswer: if no direction has a slope.
            optitrip.OptitripError, optitrip.Interrupted: as for `search`.
        """
        method = {"use": "estimate", "directions": directions, "kind": kind, "step": step, "bounds": bounds}
        method |= {"noise": noise, "errors": errors}
        flags = {"plain": plain, "as_dict": as_dict}
        tables, point = tables_at(loss, x, method, flags, constants, arguments, seed=seed)
        return self._python_sweep(loss, tables, options, point)

    @takes_options(CALL_OPTIONS)
    def directional(
        self,
        loss: Any,
        x: Any,
        *,
        along: Any,
        scheme: str | None = None,
        step: float | str = "auto",
        noise: float | None = None,
        bounds: Any = None,
        seed: int = 0,
        plain: bool = False,
        as_dict: bool = False,
        constants: Mapping[str, Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
        **options: Unpack[RunOptions],
    ) -> DirectionalAnswer:
        """Compute the directional derivatives of a loss at x along unit vectors, with errors and flags.

        Args:
            loss: as for `search`.
            x: as for `gradient`.
            along: number of random orthogonal directions; or a direction, or a list of them, each an array of the shape
                of x, or a dict by variable in which those that do not move may be missing. Each is scaled to length 1.
            scheme: "forward", "backward", "central", "four_point" (default) or "richardson".
            step: "auto" for steps from the measured noise of the loss; or the distance h, negative to go back.
            noise: standard deviation of the loss, if known: it is not measured then.
            bounds: as for `gradient`.
            seed: seed of random directions.
            plain: as for `gradient`.
            as_dict, constants, arguments, options: as for `search`.

        Raises:
            optitrip.NoAnswer: if there is no loss at x, or no direction has a difference.
            optitrip.OptitripError, optitrip.Interrupted: as for `search`.
        """
        method = {"use": "directional", "scheme": scheme, "step": step, "noise": noise, "bounds": bounds}
        flags = {"plain": plain, "as_dict": as_dict}
        tables, point = tables_at(loss, x, method, flags, constants, arguments, seed=seed)
        tables["method"]["along"] = by_variable(along, point)
        return self._python_sweep(loss, tables, options, point)


def by_variable(along: Any, point: Mapping[str, Array]) -> Any:
    """Return directions as a sweep file has them, a number or a list of dicts; raise InputError for an array of another
    shape than that of the only variable."""
    along = exact(along) if np.ndim(along) == 0 and not isinstance(along, Mapping) else along
    if isinstance(along, Mapping) or (isinstance(along, int) and not isinstance(along, bool)):
        return along  # pyright: ignore[reportUnknownVariableType]
    if isinstance(along, list | tuple) and any(isinstance(one, Mapping) for one in along):  # pyright: ignore[reportUnknownVariableType]
        return list(along)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    (name, x), *others = point.items()
    try:
        given = np.asarray(along, np.float64)
    except (TypeError, ValueError):
        given = np.empty((0, *x.shape))
    one = given.shape == x.shape
    if others or not len(np.atleast_1d(given)) or not (one or given.shape[1:] == x.shape):
        wanted = "dicts by variable" if others else f"arrays of shape {x.shape}, that of x, or dicts by variable"
        raise InputError(f"along: was {reprlib.repr(along)}, wanted a number of directions, or one or several {wanted}")
    return [{name: vector} for vector in (given[np.newaxis] if one else given)]
