"""The [method] table of a gradient."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from optitrip.core.table import StartPoint, Table


class GradientConfig(Table):
    """The numeric gradient at one point: for each coordinate the loss a step further, less the loss, by the step."""

    use: Literal["gradient"]
    at: StartPoint
    sampler: str = "random"
    """The word of the sampler that draws the candidate of `at = { candidate = ... }`."""
    scheme: Literal["forward", "backward", "central"] = "forward"
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    coordinates: Annotated[int, Field(ge=1, le=2**53)] | None = None
    """The number of coordinates, drawn at random without repetition; all by default."""
