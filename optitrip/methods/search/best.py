"""The best candidate of a search, also of one that was stopped."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, without_prefix
from optitrip.core.names import joined_names
from optitrip.core.observer import Printable
from optitrip.core.part import Part
from optitrip.methods.search.method import OF_BEST
from optitrip.output.outcome import Rows, figure_rows
from optitrip.output.text import finite, point_line, variable_rows
from optitrip.space.candidates import Candidates
from optitrip.space.variables import Variable, arguments

BEST = "best.npz"
"""Name of the file with the best candidate."""
SCREENED = "screened"
"""Name of the losses by a surrogate."""


@dataclass(frozen=True, eq=False)
class Best(Printable):
    """The best candidate, or the best so far if the search was stopped."""

    loss: float
    index: int
    candidates: Candidates
    maximize: bool = False
    named: Mapping[str, float] = field(default_factory=dict[str, float])
    """Other numbers that the loss returned for it, by name."""
    measure: str = "loss"
    """Name of what is smallest, or largest: the loss, or `SCREENED`."""

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
        what = "loss" if self.measure == "loss" else f"{self.measure} loss"
        best = (f"{'max' if self.maximize else 'min'} {what}", f"{self.loss:.8g} at candidate {self.index:,}")
        return [best, *variable_rows(self.candidates.point(self.index)), *figure_rows(self.named)]

    def metrics(self) -> dict[str, float]:
        found = {self.measure: self.loss, "best/index": float(self.index)}
        numbers = {f"best/{name}": float(value) for name, value in self._scalars(numeric=True).items()}
        return joined_names(found, numbers, self.named)

    def labels(self) -> dict[str, str]:
        return {f"best/{name}": str(value) for name, value in self._scalars(numeric=False).items()}

    def _scalars(self, *, numeric: bool) -> dict[str, Any]:
        """Return the values of scalar variables that are numbers, or of the others, by name."""
        point = self.candidates.point(self.index)
        wanted = [v for v in self.candidates.space.varied if not v.shape and is_numeric(v) == numeric]
        return arguments({v.name: point[v.name] for v in wanted}, 0)


def is_numeric(variable: Variable) -> bool:
    """Return whether all values of a variable are finite numbers, so that every best candidate has one."""
    values: list[Any] = variable.values(variable.distribution.extremes()[:, np.newaxis]).tolist()
    try:
        return all(type(value) in (int, float) and math.isfinite(value) for value in values)
    except OverflowError:  # an integer of more than 300 digits
        return False


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
