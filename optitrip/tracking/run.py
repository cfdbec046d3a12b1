"""The description of an MLflow run, and the interface of clients that write it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

NOTE = "mlflow.note.content"
"""Tag with the description, in Markdown."""
Metric = tuple[str, float, int, int]
"""A key, a value, a step, and a time in milliseconds since 1970."""


@dataclass(frozen=True)
class Run:
    """Description of an MLflow run, by which it is created or found again."""

    uri: str
    experiment: str
    name: str
    journal: str
    """Name of the journal, by which the run is found again."""
    start: int
    """Start of the first command, in milliseconds since 1970."""
    params: Mapping[str, str]
    """Parameters by key; they never change."""
    tags: Mapping[str, str]
    renewed: bool = False
    """True to delete a run that is found, and create another."""


@dataclass(frozen=True)
class Ending:
    """The end of a command, and what its run lacks."""

    status: str
    """MLflow's word for the state."""
    end: int
    """Time of the answer, in milliseconds since 1970."""
    tags: Mapping[str, str]
    metrics: Sequence[Metric]
    files: Sequence[str]
    """Absolute paths of the artifacts."""
    children: Sequence[Mapping[str, Any]] | None = None
    """Item, name, params and metrics of each child run, the best first; None if children were never asked for."""


class TrackingClient(Protocol):
    """Writes to MLflow. Every method raises whatever MLflow raises."""

    def begin(self, run: Run) -> str:
        """Create the run, or find it if the sweep was started before; return its id."""
        ...

    def log(self, metrics: Sequence[Metric], tags: Mapping[str, str]) -> None:
        """Log metrics, each once however often it is sent, and replace tags."""
        ...

    def conclude(self, ending: Ending) -> list[str]:
        """Log the rest and end the run; return what MLflow has refused, with its reasons."""
        ...

    def kill(self, run: Run, end: int) -> None:
        """Mark the run of a killed command, if there is one that seems to be running."""
        ...
