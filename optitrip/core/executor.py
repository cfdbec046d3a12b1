"""The protocol of executors, which evaluate slices, and the outcomes of a slice."""

# Protocol methods have only docstrings.
# pyright: reportReturnType=false

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from optitrip.core.notice import Notice
from optitrip.core.part import Part


@dataclass(frozen=True)
class Done:
    """A slice that was evaluated."""

    ticket: int
    part: Part
    seconds: float
    worker: str
    """Name of its slot."""
    output: str = ""
    """Text that the loss printed, if it does not reach the terminal by itself."""
    memory: int | None = None
    """Peak resident memory of the worker so far, in bytes; None if it shares the driver's process."""
    changes: tuple[str, ...] = ()
    """Names of what the loss has changed in its process, as far as the worker's first slice shows."""


@dataclass(frozen=True)
class Failed:
    """A slice that was not evaluated: its worker died, or was killed at the time limit; the slice was lost, before it
    started or with its node; or preparing its stage raised."""

    ticket: int
    kind: Literal["died", "timed out", "lost", "setup error"]
    message: str


class Executor(Protocol):
    """Evaluates slices of a stage, each under a ticket, and returns their outcomes in any order."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the slots in which slices can run now; the same tuple object until they change, in `wait`."""

    @property
    def nodes(self) -> Mapping[str, str]:
        """Names of the machines of a cluster that the slots are on; empty if all are on this one."""

    def reuse(self) -> bool:
        """Make ready for another sweep; return False if this executor has lost what it needs, and must be closed."""

    def load(self, objective: Any) -> None:
        """Send the objective to the workers; called once per objective."""

    def stage(self, number: int, method: Any) -> None:
        """Send the method of the slices that follow to the workers."""

    def set_time_limit(self, seconds: float | None) -> bool:
        """Kill any worker whose slice takes longer from now on; return False if this executor cannot."""

    def submit(self, ticket: int, stage: int, items: range, slot: str) -> None:
        """Queue a slice at a slot; the slices of one slot run in order of submission."""

    def cancel(self, ticket: int) -> None:
        """Withdraw a slice; if it is running already, its outcome is dropped."""

    def wait(self, timeout: float) -> list[Done | Failed]:
        """Return the outcomes since the last call; wait up to `timeout` seconds for the first."""

    def notices(self) -> list[Notice]:
        """Return the notices for the user since the last call."""

    def close(self) -> None:
        """Release all workers."""
