"""The answer of a sweep and the outcome of a command, from which the table, `--json` and MLflow are filled."""

import base64
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from optitrip.core.arrays import Array
from optitrip.core.notice import Notice, warning
from optitrip.core.observer import Printable
from optitrip.output.curves import Curve
from optitrip.output.text import finite

Rows = list[tuple[str, str]]
Table = tuple[list[str], list[list[str]]]
"""Column headings, and the rows below them."""
Draw = Callable[[], bytes]
"""A function that returns the contents of a file, e.g. a picture."""
File = tuple[str, Draw]


class BestItem(NamedTuple):
    """One of the best items, for a child run in MLflow."""

    item: int
    name: str
    values: Mapping[str, Any]
    """Its scalar parameters by name."""
    metrics: Mapping[str, float]
    """The loss and other numbers that it returned, by name."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Answer(Printable, ABC):
    """Base class of answers, one per method. The optional properties and methods are empty unless overridden."""

    images: Mapping[str, Array] = field(default_factory=dict[str, Array])
    """Images of `image_source` by title, if the objective can draw them."""
    unchecked: str = ""
    """Description of a check that showed nothing; empty if all checks were conclusive."""
    how_to_read: str = ""
    """Words of the objective for a reader of its figures; empty if it offers none."""
    evaluations: int = 0
    """Number of evaluations of the loss in this call, checks included: one for each point, also in batches. Neither
    stored results nor repeated slices of dead or slow workers count. (A counter in the loss may count on workers.)"""

    @property
    def contradiction(self) -> str | None:
        """Description of what the objective claims and the answer contradicts; empty if it agrees, None if the
        objective claims nothing."""
        return None

    @property
    @abstractmethod
    def items(self) -> int:
        """Number of items that the answer covers."""

    @property
    @abstractmethod
    def failures(self) -> Mapping[str, int]:
        """Number of failures by kind."""

    @abstractmethod
    def files(self, name: str) -> Iterator[File]:
        """Yield the result files for a sweep of this name; pictures come last because drawing may fail."""

    @property
    def curve(self) -> Curve | None:
        """Losses on the way, to be drawn beside those of others, if there was a way."""
        return None

    @property
    def report(self) -> Mapping[str, float]:
        """Other numbers reported by the objective, by name."""
        return {}

    @property
    def image_source(self) -> Mapping[str, Any]:
        """Values by variable that the objective may turn into images."""
        return {}

    def with_images(self, draw: Callable[[Mapping[str, Any]], Mapping[str, Array]]) -> Self:
        """Return the answer with its pictures, which the objective draws from values by variable."""
        return replace(self, images=draw(self.image_source))

    def best_items(self, count: int) -> list[BestItem]:
        """Return the best items, at most `count`, the best first."""
        del count
        return []

    def table(self) -> Table | None:
        """Return a table to print below the answer."""
        return None

    def checked_table(self) -> Table | None:
        """Return a table of what the objective claims and what was found."""
        return None

    def message(self) -> str:
        """Return a message for the user, e.g. the first failure as the loss raised it; empty if there is none."""
        return ""

    def reasons(self) -> list[str]:
        """Return a line for each kind of failure, with its number and the first message."""
        return []

    def notices(self) -> list[Notice]:
        """Return warnings about the answer itself."""
        return [warning("not-checked", self.unchecked)] if self.unchecked else []

    def pictures(self) -> list[Draw]:
        """Return functions that draw the pictures of a notebook."""
        return []

    def _repr_html_(self) -> str:
        """Return the text with pictures below it, for notebooks; a picture that cannot be drawn is left out."""
        text = "\n".join([repr(self), *self.reasons()])
        blocks = [f'<pre style="white-space: pre-wrap">{escape(text)}</pre>']
        for draw in self.pictures():
            with suppress(Exception):
                blocks.append(f'<img src="data:image/png;base64,{base64.b64encode(draw()).decode()}">')
        return "\n".join(blocks)


OURS = {"", "seconds", "memory", "rate", "files", "MLflow"}
"""Labels of the summary's own rows; such a name of the user's is shown in quotes."""


def figure_rows(figures: Mapping[str, float]) -> Rows:
    """Return a row of the summary table for each number; accuracies are percentages."""
    rows: Rows = []
    for name, value in figures.items():
        percent = name.endswith("accuracy") and 0 <= value <= 1
        label = repr(name) if name.strip() in OURS else name.replace("_", " ")
        rows.append((label, f"{100 * value:.2f} %" if percent else f"{value:.6g}"))
    return rows


Status = Literal["finished", "stopped", "failed", "shard"]
"""Status of a sweep: finished; stopped and resumable; ended without an answer; or one of its shards finished."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """A sweep's answer, and the time and memory it took."""

    name: str
    identity: str
    status: Status
    unit: str
    """Plural name of the items, e.g. candidates."""
    items: int
    """Number of items that the answer covers."""
    evaluated: int
    """Number of items that this command evaluated; the others were in the journal."""
    phases: Mapping[str, float]
    """Seconds by phase."""
    items_per_second: float | None
    state_dir: str | None
    total_seconds: float = 0.0
    """Seconds that all commands of this sweep took, each until its answer."""
    ended: int = 0
    """Time of the answer, in milliseconds since 1970."""
    answer: Answer | None = None
    best: Printable | None = None
    """Best result so far of a stopped sweep."""
    no_answer: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Fields for `--json` in place of an answer."""
    failures: Mapping[str, int] = field(default_factory=dict[str, int])
    memory: Mapping[str, int | None] = field(default_factory=dict[str, "int | None"])
    """Peaks of resident memory, in bytes: `driver_bytes`, and `worker_bytes` of the largest worker."""
    mlflow: Mapping[str, str] | None = None
    message: str | None = None
    """How to resume, or the first failure, for the user."""
    failures_allowed: bool = True
    """True if no more items failed than `[failures] allow` permits."""
    notices: tuple[Notice, ...] = ()
    """Warnings and messages of the run."""

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @property
    def seconds(self) -> float:
        return sum(self.phases.values())

    def to_json(self) -> dict[str, Any]:
        found = self.answer or self.best
        folder = Path(self.state_dir) if self.answer and self.state_dir else None
        return {
            "name": self.name,
            "identity": self.identity,
            "status": self.status,
            "items": self.items,
            "evaluated": self.evaluated,
            "failed": self.failed,
            "failures": self.failures,
            "seconds": round(self.seconds, 3),
            "total_seconds": round(self.total_seconds, 3),
            "phases": {phase: round(seconds, 3) for phase, seconds in self.phases.items()},
            "memory": self.memory,
            "items_per_second": None if self.items_per_second is None else round(self.items_per_second, 1),
            **(found.fields(folder) if found else self.no_answer),
            "report": finite(self.answer.report) if self.answer else {},
            "state_dir": self.state_dir,
            "mlflow": self.mlflow,
            "notices": [vars(notice) for notice in self.notices],
        }
