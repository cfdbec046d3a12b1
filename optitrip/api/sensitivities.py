"""The part of a session that finds out which variables matter."""

from collections.abc import Mapping
from typing import Any, Unpack

from optitrip.api.inputs import by_name, with_constants
from optitrip.api.options import CALL_OPTIONS, RunOptions, takes_options
from optitrip.api.runner import Runner
from optitrip.methods.sensitivity.answer import SensitivityAnswer


class Sensitivities(Runner):
    """The sensitivities of a `Session`."""

    @takes_options(CALL_OPTIONS)
    def sensitivity(
        self,
        loss: Any,
        space: Mapping[str, Any],
        *,
        rows: int,
        seed: int = 0,
        sampler: str = "random",
        plain: bool = False,
        as_dict: bool = False,
        constants: Mapping[str, Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
        repeats: int = 1,
        deterministic: bool | float = True,
        **options: Unpack[RunOptions],
    ) -> SensitivityAnswer:
        """Return the Sobol' indices of all variables: which share of the variance of the loss each explains, alone and
        in all, with standard errors.

        Args:
            loss, space: as for `search`; an array counts as one variable.
            rows: number of rows of Saltelli's design; each takes as many evaluations as there are variables, and two.
            seed: as for `search`.
            sampler: as for `search`; it draws two points at a time.
            plain, as_dict, constants, arguments, repeats, deterministic: as for `search`.
            options: as for `search`.

        Raises:
            optitrip.NoAnswer: if fewer than two rows have no failure, or the loss does not vary.
            optitrip.OptitripError, optitrip.Interrupted: as for `search`.
        """
        method = {"use": "sensitivity", "rows": rows, "sampler": sampler}
        bound, held = by_name("arguments", arguments), by_name("constants", constants)
        objective: dict[str, Any] = {"plain": plain, "as_dict": as_dict, "arguments": bound}
        objective |= {"repeats": repeats, "deterministic": deterministic}
        tables = {"seed": seed, "objective": objective, "method": method}
        return self._python_sweep(loss, {**tables, "space": with_constants(space, held, bound)}, options)
