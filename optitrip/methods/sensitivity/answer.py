"""The answer of a sensitivity: which variables the loss depends on, alone and in all."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from optitrip.core.arrays import Array, Coded, Column
from optitrip.methods.sensitivity.design import Saltelli
from optitrip.methods.sensitivity.indices import Indices
from optitrip.methods.sensitivity.method import SensitivityResult
from optitrip.methods.sensitivity.picture import MOST_BARS, indices_png
from optitrip.methods.sensitivity.table import point_table
from optitrip.output.outcome import Answer, Draw, File, Rows, Table
from optitrip.output.tables import csv_bytes, data_frame, failures_csv, parquet_bytes
from optitrip.output.text import finite, first_failure, folded, narrow_name, reasons, short_name

TABLE, POINTS, PICTURE, FAILURES = "sensitivity.csv", "design.parquet", "sensitivity.png", "failures.csv"
"""Names of the result files."""
MOST_ENTRIES = 2**26
"""Most numbers in `design.parquet`, half a gigabyte; a larger one is left out."""
IN_TABLE, IN_METRICS, NAME_COLUMNS = 40, 100, 36
"""Most variables in the printed table and among metrics, and most columns of the terminal for a name."""

Noise = Literal["", "seeded", "unseeded"]
NOISE: dict[Noise, str] = {
    "seeded": "the loss is random, and all points have the same seed: another one may give other indices",
    "unseeded": "the loss is random, and its noise counts as if it came from every variable: totals are too large",
}
"""Effects of noise on indices, in words."""


class SobolIndex(NamedTuple):
    """Sobol' indices of one variable, with their standard errors."""

    first: float
    """Share of the variance of the loss that the variable explains alone."""
    first_error: float
    total: float
    """Share in which it has a part, alone or together with others."""
    total_error: float


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SensitivityAnswer(Answer):
    """Sobol' indices of all variables."""

    design: Saltelli
    result: SensitivityResult
    noise: Noise = ""
    """Kind of a random loss: seeded, with the same seed at all points, or not; empty if it is not random."""

    @property
    def variables(self) -> dict[str, SobolIndex]:
        """Indices by variable, the largest total one first."""
        found = self.result.indices
        rows = zip(self.design.factors, found.first, found.first_error, found.total, found.total_error, strict=True)
        named = {name: SobolIndex(*map(float, numbers)) for name, *numbers in rows}
        return dict(sorted(named.items(), key=lambda item: -item[1].total))

    @property
    def indices(self) -> Indices:
        """Indices as arrays, in the order of the names, with mean and deviation of the loss."""
        return self.result.indices

    def columns(self) -> dict[str, Column]:
        """Return the columns of sensitivity.csv: a row for each variable, the largest total index first."""
        found = self.variables
        numbers: Array = np.array([[*index] for index in found.values()]).reshape(-1, len(SobolIndex._fields))
        names = Coded(np.arange(len(found), dtype=np.int32), list(found))
        return {"variable": names, **dict(zip(SobolIndex._fields, numbers.T, strict=True))}

    def frame(self) -> Any:
        """Return the indices as a pandas DataFrame."""
        return data_frame(self.columns())

    @property
    def items(self) -> int:
        return len(self.result.losses)

    @property
    def failures(self) -> dict[str, int]:
        return self.result.failures.counts()

    def fields(self, folder: Path | None) -> dict[str, Any]:
        found = self.indices
        variables = {name: finite(index._asdict()) for name, index in self.variables.items()}
        moments = finite({"mean": found.mean, "deviation": found.deviation})
        counts = {"rows": found.rows, "left_out": self.result.left_out}
        file = str(folder / TABLE) if folder else None
        return {"sensitivity": {**counts, **moments, "variables": variables, "file": file}}

    def verdict(self) -> str:
        (name, index), *_ = self.variables.items()
        return f"{short_name(name)} matters most: in all {index.total:.2f} of the variance, alone {index.first:.2f}"

    def parameters(self) -> str:
        shown = list(self.variables.items())[:IN_TABLE]
        return "in all " + ", ".join(f"{name} {index.total:.3f}" for name, index in shown)

    def how_sure(self) -> list[str]:
        found = self.indices
        largest = float(max(found.first_error.max(), found.total_error.max()))
        lines = [f"the largest standard error is {largest:.2g}; four times the rows halve it"]
        if self.design.sampler != "random":
            usually = f"with the sampler {self.design.sampler} they are usually smaller"
            lines.append(f"errors are those of independent rows; {usually}")
        if self.noise:
            lines.append(NOISE[self.noise])
        return lines

    def rows(self) -> Rows:
        found, together = self.indices, self.together()
        rows = [
            ("rows", f"{found.rows:,} of {self.design.width:,} points: A, B, and A with each variable from B"),
            ("loss", f"mean {found.mean:.6g}, standard deviation {found.deviation:.6g}"),
            ("alone", f"the variables explain {found.first.sum():.3f} of the variance one by one{together}"),
        ]
        if left_out := self.result.left_out:
            rows.append(("left out", f"{left_out:,} rows, in which a point failed"))
        if (more := len(self.design.factors) - IN_TABLE) > 0:
            rows.append(("not shown", f"{more:,} variables with smaller indices; {TABLE} has them"))
        return rows + [("how sure", line) for line in self.how_sure()]

    def together(self) -> str:
        """Return what is left to interactions, in words; empty if it is within the errors."""
        found = self.indices
        rest, error = 1 - float(found.first.sum()), float(np.sqrt(np.square(found.first_error).sum()))
        return f"; {rest:.3f} only together" if rest > 2 * error else ""

    def table(self) -> Table:
        shown = list(self.variables.items())[:IN_TABLE]
        rows = [[narrow_name(name, NAME_COLUMNS), *(f"{number:.4f}" for number in index)] for name, index in shown]
        return ["variable", "first", "error", "total", "error"], rows

    def metrics(self) -> dict[str, float]:
        shown = list(self.variables.items())[:IN_METRICS]
        return {f"{kind}/{name}": getattr(index, kind) for kind in SobolIndex._fields for name, index in shown}

    def files(self, name: str) -> Iterator[File]:
        yield TABLE, lambda: csv_bytes(self.columns())
        if self.items * (5 + len(self.design.factors)) <= MOST_ENTRIES:
            yield POINTS, lambda: parquet_bytes(self.points())
        if self.result.failures.count:
            yield FAILURES, lambda: failures_csv({"sensitivity": self.result.failures})
        yield PICTURE, lambda: self.picture(f"{name}: Sobol' indices from {self.indices.rows:,} rows")

    def points(self) -> dict[str, Column]:
        """Return the columns of design.parquet: a row for each evaluated point."""
        result = self.result
        return point_table(self.design, np.arange(self.items), {"loss": result.losses, **result.named}, result.failures)

    def picture(self, title: str = "Sobol' indices") -> bytes:
        """Draw the largest indices with their 95 % intervals, as a PNG."""
        found = list(self.variables.items())[:MOST_BARS]
        first, first_error, total, total_error = np.array([index for _, index in found]).T
        return indices_png([name for name, _ in found], (first, first_error), (total, total_error), title)

    def pictures(self) -> list[Draw]:
        return [self.picture]

    def message(self) -> str:
        return first_failure(self.result.failures, self.design)

    def reasons(self) -> list[str]:
        return reasons(self.result.failures)

    def __repr__(self) -> str:
        shown = list(self.variables.items())[:IN_TABLE]
        each = ", ".join(f"{name}: {i.first:.3f} alone, {i.total:.3f} in all" for name, i in shown)
        left_out = f", {self.result.left_out:,} left out" if self.result.left_out else ""
        return folded(f"SensitivityAnswer({each}; {self.indices.rows:,} rows{left_out})")
