"""The base class of all tables in a sweep file, which pydantic validates, and types and tables that several share."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

Reference = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$", description="module:name")]
GradientReference = Annotated[
    str, Field(pattern=r"^(autograd|[A-Za-z_][\w.]*:[A-Za-z_][\w.]*)$", description='module:name", or "autograd')
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


def one_of(wanted: str) -> WrapValidator:
    """Return a validator that tells one mistake, not one for each of several types."""

    def parsed(value: Any, parse: ValidatorFunctionWrapHandler) -> Any:
        try:
            return parse(value)
        except ValidationError:
            raise PydanticCustomError("one_of", wanted) from None  # pyright: ignore[reportArgumentType]

    return WrapValidator(parsed)


Deterministic = Annotated[
    bool | Annotated[float, Field(gt=0, lt=1)],
    one_of("true, false, or the relative difference that noise may make, e.g. 1e-9"),
]
"""Whether a loss gives the same number each time: true, false, or a relative difference."""


class Table(BaseModel):
    """A table of a sweep file. Unknown keys are errors, and types are not converted: TOML has types of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class StartPoint(Table):
    """The table `at`: names a point in exactly one of these ways."""

    candidate: Annotated[int, Field(ge=0, le=2**53)] | None = None
    best_of: Annotated[str, Field(min_length=1)] | None = None
    file: Annotated[str, Field(min_length=1)] | None = None
    values: Any = None
    fill: Annotated[float, Field(allow_inf_nan=False)] | None = None
    leg: Annotated[str, Field(min_length=1)] | None = None
    """Name of an earlier leg of the trip, whose answer is the point."""

    @property
    def ways(self) -> list[str]:
        """Keys that the file sets."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]
