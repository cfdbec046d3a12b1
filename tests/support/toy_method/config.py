"""The [method] table of a count."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from optitrip.core.table import Table


class CountConfig(Table):
    """How many draws have a loss below a number."""

    use: Literal["count"]
    draws: Annotated[int, Field(ge=1)]
    below: float
