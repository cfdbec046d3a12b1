"""The answer of a descent."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.notice import Notice, warning
from optitrip.core.observer import Printable
from optitrip.core.point import Point
from optitrip.methods.descent.picture import descent_png
from optitrip.methods.descent.trajectory import HISTORY, Trajectory
from optitrip.methods.gradient.noise import Noise
from optitrip.methods.points import flat_of, only
from optitrip.methods.shared import ReportResult
from optitrip.output.curves import Curve
from optitrip.output.formats import point_bytes
from optitrip.output.outcome import Answer, Draw, File, Rows, Table, figure_rows
from optitrip.output.text import finite, first_failure, folded, point_line, reasons, variable_rows
from optitrip.space.variables import arguments

POINT, STEPS, PICTURE = "descent.npz", "descent.csv", "descent.png"
"""Names of the result files."""
TABLE_ROWS = 8
"""Number of steps in the table."""


@dataclass(frozen=True, eq=False)
class DescentSoFar(Printable):
    """The best point of a descent that was stopped, or of a finished one."""

    best: Point
    loss: float
    step: int
    """Number of steps before the best point."""
    losses: Array = field(default_factory=lambda: np.zeros(0))
    """Losses at the beginning of all steps, float64; NaN for those that an earlier command took."""

    @property
    def x(self) -> dict[str, Any]:
        """Best parameters by name, as passed to the loss."""
        return arguments(only(self.best).point(0), 0)

    def fields(self, folder: Path | None) -> dict[str, Any]:
        return {"descent": {"loss": self.loss, "step": self.step, "file": str(folder / POINT) if folder else None}}

    def parameters(self) -> str:
        return point_line(only(self.best).point(0))

    def rows(self) -> Rows:
        return [("best loss", f"{self.loss:.8g} after {self.step:,} steps"), *variable_rows(only(self.best).point(0))]

    def metrics(self) -> dict[str, float]:
        return {"loss": self.loss, "descent/step": float(self.step)}


@dataclass(frozen=True, eq=False, repr=False)
class DescentAnswer(Answer):
    """The best point on the path of a descent."""

    best: Point
    path: Trajectory
    rule: str
    sign: int
    ended: str
    """Reason why the descent ended before its last step; empty if it did not."""
    last: float
    """Loss after the last step; NaN if the descent ended early."""
    report_result: ReportResult = field(default_factory=ReportResult)
    """Report on the best point; empty if the objective offers none."""
    noise: Noise = field(default_factory=Noise)
    """Noise of the loss at the first point."""
    mini_batch: int = 0
    """Number of rows of data in the loss of a step; 0 for all. The best loss is always that of all."""

    @property
    def found(self) -> DescentSoFar:
        """Best point with its loss."""
        return DescentSoFar(self.best, self.loss, self.path.best_step)

    @property
    def x(self) -> dict[str, Any]:
        """Parameters of the best point, by name."""
        return self.found.x

    @property
    def loss(self) -> float:
        """Loss at x."""
        return self.path.best_loss

    @property
    def steps(self) -> int:
        """Number of steps that were taken."""
        return self.path.steps

    @property
    def first(self) -> float:
        """Loss at the first point."""
        return float(self.losses[0])

    @property
    def losses(self) -> Array:
        """Losses before each step and, unless it ended early, after the last, float64."""
        known = self.path.history["losses"]
        return known if np.isnan(self.last) else np.append(known, self.last)

    @property
    def history(self) -> dict[str, Array]:
        """Arrays by name, float64 with one entry per step: `losses` and `norms` of the gradient at its beginning, its
        `rates`, and the number of `evaluations` until then."""
        return dict(self.path.history)

    @property
    def items(self) -> int:
        return self.steps

    @property
    def failures(self) -> Mapping[str, int]:
        counts = dict(self.path.failures)
        return counts | ({"report": self.report_result.failures.count} if self.report_result.failures.count else {})

    @property
    def report(self) -> Mapping[str, float]:
        return self.report_result.figures

    @property
    def curve(self) -> Curve:
        spent, losses = self.path.history["evaluations"], self.losses
        return Curve(spent if len(spent) == len(losses) else np.append(spent, self.path.evaluations), losses)

    @property
    def image_source(self) -> Mapping[str, Any]:
        return self.x

    @property
    def _figures(self) -> dict[str, float]:
        norms = self.path.history["norms"]
        norm = float(norms[min(self.path.best_step, len(norms) - 1)]) if len(norms) else np.nan
        return {"loss": self.loss, "first_loss": self.first, "last_loss": float(self.losses[-1]), "norm": norm}

    def fields(self, folder: Path | None) -> dict[str, Any]:
        places = {"file": str(folder / POINT) if folder else None, "ended": self.ended}
        return {"descent": {**finite(self._figures), "step": self.path.best_step, "steps": self.steps, **places}}

    def verdict(self) -> str:
        return f"loss {self.loss:.8g} after {self.path.best_step:,} steps of {self.rule}, {self.first:.8g} at first"

    def parameters(self) -> str:
        return self.found.parameters()

    def how_sure(self) -> list[str]:
        figures = self._figures
        where = "there" if self.path.best_step < self.steps else "a step before"
        norm = [f"the norm of the gradient is {figures['norm']:.3g} {where}"] if np.isfinite(figures["norm"]) else []
        return [*([self.ended] if self.ended else []), *norm]

    def rows(self) -> Rows:
        rows = [
            ("best loss", f"{self.loss:.8g} after {self.path.best_step:,} of {self.steps:,} steps of {self.rule}"),
            ("first loss", f"{self.first:.8g}; the last is {self.losses[-1]:.8g}"),
            *variable_rows(only(self.best).point(0)),
            ("evaluations", f"{self.path.evaluations:,} of the loss in all steps"),
        ]
        if self.mini_batch:
            rows.append(
                ("mini-batches", f"of {self.mini_batch:,} rows; the losses of the steps are those of their rows")
            )
        if self.ended:
            rows.append(("ended", self.ended))
        return rows + figure_rows(self.report)

    def table(self) -> Table | None:
        rows = np.unique(np.linspace(0, self.steps - 1, TABLE_ROWS).astype(int)) if self.steps else np.zeros(0, int)
        history = self.path.history
        cells = [
            [
                f"{row:,}",
                f"{history['losses'][row]:.8g}",
                f"{history['norms'][row]:.4g}",
                f"{history['rates'][row]:.4g}",
                f"{history['evaluations'][row]:,.0f}",
            ]
            for row in rows.tolist()
        ]
        return (["step", "loss", "norm", "rate", "evaluations"], cells) if cells else None

    def metrics(self) -> dict[str, float]:
        figures = {f"descent/{name}": value for name, value in self._figures.items() if name != "loss"}
        return {"loss": self.loss, **{name: value for name, value in figures.items() if np.isfinite(value)}}

    def files(self, name: str) -> Iterator[File]:
        yield POINT, lambda: point_bytes(only(self.best).point(0))
        yield STEPS, self._csv
        yield PICTURE, lambda: self.picture(f"{name}: {self.rule}, {self.steps:,} steps")

    def _csv(self) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["step", "loss", "norm", "rate", "evaluations"])
        for step, row in enumerate(zip(*(self.path.history[name].tolist() for name in HISTORY), strict=True)):
            writer.writerow([step, *map(repr, row[:3]), f"{row[3]:.0f}"])
        if np.isfinite(self.last):
            writer.writerow([self.steps, repr(self.last), "", "", self.path.evaluations])
        return text.getvalue().encode()

    def picture(self, title: str = "") -> bytes:
        """Draw loss and norm of the gradient, step by step, as a PNG."""
        return descent_png(self.path, self.last, title, maximize=self.sign < 0)

    def pictures(self) -> list[Draw]:
        return [self.picture]

    def notices(self) -> list[Notice]:
        found = super().notices()
        if self.ended.startswith("diverged"):
            found.append(warning("diverged", f"{self.ended}. The best point before is kept; try a smaller rate"))
        elif self.steps and not self.path.best_step and np.isfinite(self.last):
            text = f"no step lowered the loss, from {self.first:.6g} to {self.last:.6g} at last; try a smaller rate"
            found.append(warning("diverged", text))
        return found

    def message(self) -> str:
        return first_failure(self.report_result.failures, only(self.best), 0, "its report")

    def reasons(self) -> list[str]:
        return reasons(self.report_result.failures)

    def __repr__(self) -> str:
        ended = f", {self.ended}" if self.ended else ""
        return folded(
            f"DescentAnswer(loss={self.loss:.8g} after {self.path.best_step:,} of {self.steps:,} steps of {self.rule}"
            f"{ended}, x={point_line(only(self.best).point(0))})"
        )


def interrupted(found: DescentSoFar, rule: str, *, maximize: bool) -> DescentAnswer:
    """Return the answer of a descent that was stopped; only its losses are known."""
    nothing = np.full(len(found.losses), np.nan)
    history = {"losses": found.losses, "norms": nothing, "rates": nothing, "evaluations": nothing}
    x = flat_of(found.best)
    path = Trajectory(x, {}, x, found.loss, found.step, history=history)
    return DescentAnswer(found.best, path, rule, -1 if maximize else 1, "interrupted", np.nan)
