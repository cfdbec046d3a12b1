"""The [method] table of a search."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from optitrip.core.table import Table


class SearchConfig(Table):
    """Draw candidates, compute the loss, keep the best."""

    use: Literal["search"]
    sampler: str = "random"
    candidates: Annotated[int, Field(ge=1, le=2**53)]
    best: Annotated[int, Field(ge=1, le=10_000)] = 10
    screen: Annotated[str, Field(min_length=1)] | None = None
    """The word of the surrogate by which every candidate is screened; the best ones are verified by the objective."""
    device: Literal["cpu", "cuda"] | None = None
    """The device on which the surrogate is evaluated."""
