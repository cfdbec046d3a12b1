"""The tables of a sweep file that are not a method's; what they mean together is checked in `spec`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from optitrip.core.table import Name, Reference, Table


class ObjectiveTable(Table):
    """Which loss: `loss` names a function or a class, `make` a factory; `arguments` go to it."""

    loss: Reference | None = None
    make: Reference | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    block: Annotated[int, Field(ge=1, le=2**20)] | None = None
    maximize: bool = False
    """Larger is better; losses keep the objective's own sign wherever they are shown."""
    plain: bool = False
    """The plain call only, one item at a time, whatever else the objective offers."""
    deterministic: bool = True
    """Off where the loss, by intention, gives another number each time: nothing is held against itself then."""

    @property
    def reference(self) -> str:
        return self.loss or self.make or ""


class RunTable(Table):
    """Where the work is done; no part of the answer."""

    executor: Literal["auto", "serial", "ray"] = "auto"
    workers: Annotated[int, Field(ge=1)] | None = None
    wait_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 600.0
    """How long workers are waited for when there are none, before the sweep stops and can be resumed."""
    resources: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(default_factory=dict)


class StopTable(Table):
    """When to end before all items are evaluated."""

    max_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Of the whole command; what is finished by then is kept, and the same command goes on."""
    target_loss: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """A search is over at the first candidate whose loss is this good."""
    no_improvement: Annotated[int, Field(ge=1, le=2**53)] | None = None
    """A search is over once so many candidates in a row were no better than the best before them."""
    drain_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10.0
    """Asked to stop, slices that were begun get so long to end."""


class FailuresTable(Table):
    """What failures mean for the exit status."""

    retries: Annotated[int, Field(ge=0, le=100)] = 0
    """So many times an item that failed is tried again."""
    timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """An item may take so long; a worker that takes longer is killed. In this process nothing can be."""
    allow: Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, le=1)] = 0
    """So many, a whole number, or such a share of the items may fail in a sweep that still ends with status 0."""

    def allows(self, failed: int, items: int) -> bool:
        return failed <= (self.allow if isinstance(self.allow, int) else self.allow * items)


class TrackingTable(Table):
    """Where the sweep is remembered."""

    use: Literal["mlflow", "none"] = "mlflow"
    experiment: Annotated[str, Field(min_length=1)] = "optitrip"


class File(Table):
    """A whole sweep file, before its space and its method are understood."""

    name: Name | None = None
    seed: int = 0
    objective: ObjectiveTable
    space: dict[str, Any]
    method: dict[str, Any]
    run: RunTable = RunTable()
    stop: StopTable = StopTable()
    failures: FailuresTable = FailuresTable()
    tracking: TrackingTable = TrackingTable()
