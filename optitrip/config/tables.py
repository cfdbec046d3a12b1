"""The tables of a sweep file, except for [method], which each method defines; `read` checks them together."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from optitrip.core.table import Name, Reference, Table

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ObjectiveTable(Table):
    """The loss: `loss` names a function or class, `make` a factory; `arguments` are passed to it."""

    loss: Reference | None = None
    make: Reference | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    block: Annotated[int, Field(ge=1, le=2**20)] | None = None
    maximize: bool = False
    """True if larger is better; losses keep the objective's sign wherever they are shown."""
    plain: bool = False
    """True to ignore batched and structured evaluation and call the loss once per item."""
    deterministic: bool = True
    """False if the loss is random on purpose: repeated evaluations of an item are not compared."""

    @property
    def reference(self) -> str:
        return self.loss or self.make or ""


class RunTable(Table):
    """Where items are evaluated; no part of the answer."""

    executor: Literal["auto", "serial", "ray"] = "auto"
    workers: Annotated[int, Field(ge=1)] | None = None
    wait_seconds: NonNegative = 600.0
    """Seconds to wait for workers when there are none, before the sweep stops and can be resumed."""
    resources: dict[str, NonNegative] = Field(default_factory=dict)


class StopTable(Table):
    """When to end before all items are evaluated."""

    max_seconds: Positive | None = None
    """Maximum seconds of the whole command; the results so far are stored, and the same command resumes."""
    target_loss: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Loss at which a search ends: at the first candidate that is this good."""
    no_improvement: Annotated[int, Field(ge=1, le=2**53)] | None = None
    """Number of candidates in a row without a new best after which a search ends."""
    drain_seconds: NonNegative = 10.0
    """Seconds that running slices may take to finish after a request to stop."""


class FailuresTable(Table):
    """How failed items are handled, and how many still give exit status 0."""

    retries: Annotated[int, Field(ge=0, le=100)] = 0
    """Number of times a failed item is retried."""
    timeout_seconds: Positive | None = None
    """Maximum seconds per item, after which its worker is killed; not enforced in this process."""
    allow: Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, le=1)] = 0
    """Number of items (a whole number), or fraction of them, that may fail for exit status 0."""

    def allows(self, failed: int, items: int) -> bool:
        return failed <= (self.allow if isinstance(self.allow, int) else self.allow * items)


class TrackingTable(Table):
    """Where the sweep is recorded."""

    use: Literal["mlflow", "none"] = "mlflow"
    experiment: Annotated[str, Field(min_length=1)] = "optitrip"


class File(Table):
    """A sweep file before its space and its method are parsed."""

    name: Name | None = None
    seed: int = 0
    objective: ObjectiveTable
    space: dict[str, Any]
    method: dict[str, Any]
    run: RunTable = RunTable()
    stop: StopTable = StopTable()
    failures: FailuresTable = FailuresTable()
    tracking: TrackingTable = TrackingTable()
