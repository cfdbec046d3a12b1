"""The main stages of a trip: those of the methods of its legs."""

from dataclasses import dataclass

from optitrip.methods.wrapped import Wrapped


@dataclass(frozen=True)
class LegStage(Wrapped):
    """A main stage of a leg.

    Args:
        inner: the stage of the leg's method.
        number: number of the leg, from 0.
        name: name of the leg.
    """

    number: int
    name: str
    kind = "trip"

    main = True

    @property
    def retried(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.inner.retried

    @property
    def joins(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.inner.joins

    @property
    def before(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.number

    def title(self, item: int, side: int | None = 0) -> str:
        return f"{self.name}: {self.inner.title(item, side)}"
