"""The best candidate of a search, also of one that was stopped."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest
from pathlib import Path
from typing import Any

from optitrip.core.arrays import Array, without_prefix
from optitrip.core.observer import Printable
from optitrip.core.part import Part
from optitrip.methods.search.method import OF_BEST
from optitrip.output.outcome import Rows, figure_rows
from optitrip.output.text import finite, variable_rows
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

    def rows(self) -> Rows:
        best = (f"{'max' if self.maximize else 'min'} loss", f"{self.loss:.8g} at candidate {self.index:,}")
        return [best, *variable_rows(self.candidates.point(self.index)), *figure_rows(self.named)]


def leaders(parts: Iterable[Part], count: int, candidates: Candidates, *, maximize: bool) -> list[Best]:
    """Return the best few of stored candidates, the best first; each part has the best few of its own."""
    sign = -1 if maximize else 1
    found: dict[int, tuple[float, int, dict[str, Array]]] = {}
    for part in parts:
        best = without_prefix(part.columns, OF_BEST)
        for row, (loss, index) in enumerate(zip(best.pop("loss").tolist(), best.pop("index").tolist(), strict=True)):
            found[index] = sign * loss, index, {name: column[row] for name, column in best.items()}
    chosen = nsmallest(count, found.values(), key=lambda entry: entry[:2])
    return [
        Best(sign * key, index, candidates, maximize, {name: float(value) for name, value in named.items()})
        for key, index, named in chosen
    ]
