"""The [method] table of a sensitivity, its stages and its descriptor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from optitrip.core.arrays import Column
from optitrip.core.method import Route
from optitrip.core.point import Point
from optitrip.core.table import Table
from optitrip.errors import InputError, Invalid, NoAnswer
from optitrip.loss.objective import Capabilities
from optitrip.methods.checks import MOST_COMPARED, Agreement, check_agreement
from optitrip.methods.importance import Sample
from optitrip.methods.sensitivity.answer import SensitivityAnswer
from optitrip.methods.sensitivity.design import Saltelli
from optitrip.methods.sensitivity.indices import FEWEST
from optitrip.methods.sensitivity.method import Sensitivity, SensitivityResult
from optitrip.methods.sensitivity.table import best_points, stored_points
from optitrip.methods.shared import no_answer
from optitrip.methods.spec import MethodSpec, StoredParts
from optitrip.samplers import SAMPLERS
from optitrip.space.variables import Space

if TYPE_CHECKING:
    from optitrip.config.sweep import StopTable, Sweep

ALGORITHM = 1
"""Version of the method, part of its identity; incremented when a change to it changes any answer."""
MOST_POINTS = 2**28
"""Most points of a design, whose losses take 2 GiB."""


class SensitivityConfig(Table):
    """Sobol' indices, first-order and total: how much of the variance of the loss comes from each variable."""

    use: Literal["sensitivity"]
    rows: Annotated[int, Field(ge=FEWEST, le=2**53)]
    """Number of rows of the design, each of as many points as there are variables, and two."""
    sampler: str = "random"
    """Sampler that draws A and B, in twice as many coordinates as a search."""


def sensitivity_route(method: Sensitivity, capabilities: Capabilities, *, agree: bool = True) -> Route:
    """Yield the stages of a sensitivity; return the answer. Raises NoAnswer if fewer than two rows are complete or the
    loss does not vary, or if `agree` is set and batches and plain calls give different losses."""
    unchecked = ""
    if capabilities.losses and agree:
        agreed = yield from check_agreement(Agreement(method.points, min(MOST_COMPARED, method.items)))
        unchecked = agreed.unchecked
    result: SensitivityResult = yield method
    rows = result.indices.rows
    if rows < FEWEST:
        raise no_answer(f"{rows:,} of {rows + result.left_out:,} rows are complete", result.failures, method)
    if np.isnan(result.indices.first).any():
        raise NoAnswer(f"the loss is {result.indices.mean:g} at every point, so that no variable explains any variance")
    return SensitivityAnswer(
        design=method.points,
        result=result,
        noise="seeded" if capabilities.noisy else "" if agree else "unseeded",
        unchecked=unchecked,
        how_to_read=capabilities.how_to_read,
    )


class SensitivitySpec(MethodSpec[SensitivityConfig]):
    word, unit, config = "sensitivity", "design points", SensitivityConfig
    no_answer: ClassVar[Mapping[str, Any]] = {"sensitivity": None}
    example = """[method]                   # or how much of the loss's variance comes from each variable
use = "sensitivity"
rows = 1_000               # of as many evaluations as there are variables, and two
"""

    def check(self, config: SensitivityConfig, space: Space, stop: StopTable) -> None:
        if not space.sizes:
            raise Invalid(("space",), "holds constants only, so there is nothing to compare; vary a parameter")
        if space.conditional:
            problem = "is for searches: shares of the variance are told of variables that always exist; remove this key"
            raise Invalid(("space", space.conditional[0].name, "when"), problem)
        if (points := self.items(config, space)) > MOST_POINTS:
            most = MOST_POINTS // self.width(space)
            raise Invalid(("method", "rows"), f"was {config.rows:,}, which is {points:,} points; at most {most:,} fit")
        if config.sampler in SAMPLERS:
            sampler, pairs = SAMPLERS[config.sampler], Saltelli(space, 0, config.sampler, together=config.rows).pairs
            if pairs.most is not None:
                raise Invalid(("method", "sampler"), f"was {config.sampler!r}, whose first points are no sample of all")
            try:
                sampler.check(pairs.space.design(config.rows))
            except ValueError as error:
                why = "a sensitivity draws two points at a time, A and B"
                raise Invalid(("method", "sampler"), f"{error} ({why})") from None

    def width(self, space: Space) -> int:
        """Return the number of points in a row."""
        return Saltelli(space, 0).width

    def items(self, config: SensitivityConfig, space: Space) -> int:
        return config.rows * self.width(space)

    def identity(self, config: SensitivityConfig, start: Point | None) -> dict[str, Any]:
        return {**config.model_dump(exclude={"rows"}), "algorithm": ALGORITHM}

    def together(self, config: SensitivityConfig) -> int:
        return config.rows

    def common_seed(self, config: SensitivityConfig) -> bool:
        return True  # losses of a row are compared, so that noise cancels

    def method(self, sweep: Sweep, capabilities: Capabilities) -> Sensitivity:
        return Sensitivity(Saltelli.of(sweep.candidates), sweep.items)

    def route(self, sweep: Sweep, capabilities: Capabilities) -> Route:
        return sensitivity_route(self.method(sweep, capabilities), capabilities, agree=sweep.objective.compared)

    def stored_table(self, sweep: Sweep, stored: StoredParts, best: int | None) -> dict[str, Column]:
        method = self.method(sweep, Capabilities())
        columns = stored_points(method.points, stored(method))
        return columns if best is None else best_points(columns, best, maximize=sweep.objective.maximize)

    def sample(self, sweep: Sweep, stored: StoredParts) -> Sample | None:
        raise InputError(f"{sweep.label} is a sensitivity, whose answer tells which variables matter: `optitrip sweep`")

    def describe(self, sweep: Sweep) -> str:
        config: SensitivityConfig = sweep.method
        width = self.width(sweep.space)
        rows = f"{config.rows:,} rows of {width:,} for {width - 2:,} variables"
        return f"sensitivity: {sweep.items:,} {self.unit}, {rows}, {config.sampler} sampler, seed {sweep.seed}"

    def summary(self, result: Mapping[str, Any]) -> str:
        (name, first), *_ = result["sensitivity"]["variables"].items()
        return f"{name} matters most, total {first['total']:.3g}"


SPEC = SensitivitySpec()
