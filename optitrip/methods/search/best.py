"""The best candidate of a search, also of one that was stopped."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optitrip.core.observer import Printable
from optitrip.output.outcome import Rows, figure_rows
from optitrip.output.text import finite, point_line, variable_rows
from optitrip.space.variables import Candidates, arguments

BEST = "best.npz"
"""Name of the file with the best candidate."""


@dataclass(frozen=True, eq=False)
class Best(Printable):
    """The best candidate, or the best so far if the search was stopped."""

    loss: float
    index: int
    candidates: Candidates
    maximize: bool = False
    named: Mapping[str, float] = field(default_factory=dict[str, float])
    """Other numbers that the loss returned for it, by name."""

    @property
    def x(self) -> dict[str, Any]:
        """Best parameters by name, as passed to the loss: floats, ints, strings, read-only arrays."""
        return arguments(self.candidates.point(self.index), 0)

    def fields(self, folder: Path | None) -> dict[str, Any]:
        best = {"loss": self.loss, "index": self.index, "file": str(folder / BEST) if folder else None}
        return {"best": {**best, "named": finite(self.named)} if self.named else best}

    def parameters(self) -> str:
        return point_line(self.candidates.point(self.index))

    def rows(self) -> Rows:
        best = (f"{'max' if self.maximize else 'min'} loss", f"{self.loss:.8g} at candidate {self.index:,}")
        return [best, *variable_rows(self.candidates.point(self.index)), *figure_rows(self.named)]
