"""The tables of a sweep file, as pydantic reads them; what they mean together is checked in `spec`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Reference = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$", description="module:name")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Table(BaseModel):
    """A table of a sweep file: every key is known, every type is as written (TOML has types of its own)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ObjectiveTable(Table):
    """Which loss: `loss` names a function or a class, `make` a factory; `arguments` go to it."""

    loss: Reference | None = None
    make: Reference | None = None
    arguments: dict[str, Any] = {}
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


class SearchTable(Table):
    """Draw candidates, compute the loss, keep the best."""

    use: Literal["search"]
    sampler: Literal["random"] = "random"
    candidates: Annotated[int, Field(ge=1, le=2**53)]
    best: Annotated[int, Field(ge=1, le=10_000)] = 10
    screen: Annotated[str, Field(min_length=1)] | None = None
    """Every candidate by a cheaper stand-in that the objective offers under this word, the best ones by itself."""
    device: Literal["cpu", "cuda"] | None = None
    """Where the stand-in is evaluated."""

    @property
    def screen_said(self) -> str | None:
        """Both in words."""
        return f"{self.screen} on {self.device}" if self.screen and self.device else self.screen


class AtTable(Table):
    """A point: exactly one of these."""

    candidate: Annotated[int, Field(ge=0, le=2**53)] | None = None
    best_of: Annotated[str, Field(min_length=1)] | None = None
    file: Annotated[str, Field(min_length=1)] | None = None
    values: Any = None
    fill: Annotated[float, Field(allow_inf_nan=False)] | None = None

    @property
    def given(self) -> list[str]:
        """Which of them the file has."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]


class GradientTable(Table):
    """The numeric gradient at one point: for each coordinate the loss a step further, less the loss, by the step."""

    use: Literal["gradient"]
    at: AtTable
    scheme: Literal["forward", "backward", "central"] = "forward"
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    coordinates: Annotated[int, Field(ge=1, le=2**53)] | None = None
    """Only this many, drawn at random without repetition; by default all."""


MethodTable = Annotated[SearchTable | GradientTable, Field(discriminator="use")]


class RunTable(Table):
    """Where the work is done; no part of the answer."""

    executor: Literal["auto", "serial", "ray"] = "auto"
    workers: Annotated[int, Field(ge=1)] | None = None
    wait_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 600.0
    """How long workers are waited for when there are none, before the sweep stops and can be resumed."""
    resources: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}


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
    """A whole sweep file, before its space is understood."""

    name: Name | None = None
    seed: int = 0
    objective: ObjectiveTable
    space: dict[str, Any]
    method: MethodTable
    run: RunTable = RunTable()
    stop: StopTable = StopTable()
    failures: FailuresTable = FailuresTable()
    tracking: TrackingTable = TrackingTable()
