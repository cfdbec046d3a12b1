"""The protocol of executors, which evaluate slices, and the outcomes of a slice."""

from __future__ import annotations

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
    """The name of its slot."""
    output: str = ""
    """The output of the loss, where it does not reach the terminal by itself."""
    memory: int | None = None
    """The highest resident memory of the worker so far, in bytes, if it is a process of its own."""


@dataclass(frozen=True)
class Failed:
    """A slice that was not: its worker died under it, or was killed because it took longer than it may; it was lost
    before it began; or preparing it raised."""

    ticket: int
    kind: Literal["died", "timed out", "lost", "setup error"]
    message: str


class Executor(Protocol):
    """Evaluates slices of a stage, each under a ticket, and returns what became of them in any order."""

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the slots in which slices can run now; the same tuple until they change, in `wait`."""
        ...

    def load(self, objective: Any) -> None:
        """Bring the objective to the workers; it travels once."""
        ...

    def stage(self, number: int, method: Any) -> None:
        """Bring a method to the workers; it travels once."""
        ...

    def set_time_limit(self, seconds: float | None) -> bool:
        """From now on kill a worker under which a slice takes longer; whether that can be done here."""
        ...

    def submit(self, ticket: int, stage: int, items: range, slot: str) -> None:
        """Queue a slice at a slot; the slices of one slot run in order of submission."""
        ...

    def cancel(self, ticket: int) -> None:
        """Forget a slice; if it runs already its outcome is dropped."""
        ...

    def wait(self, timeout: float) -> list[Done | Failed]:
        """Outcomes since the last call; waits up to `timeout` seconds for the first."""
        ...

    def notices(self) -> list[Notice]:
        """Return notices for the user since the last call."""
        ...

    def close(self) -> None:
        """Let everything go."""
        ...
