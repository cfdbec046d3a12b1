"""The answer of a gradient, and its progress."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.method import Method
from optitrip.core.observer import Progress
from optitrip.core.part import Part
from optitrip.methods.gradient.method import FAILED, LEFT_OUT, UNCHANGED, WITHOUT_STEP, Gradient, GradientResult
from optitrip.methods.shared import ReportResult
from optitrip.output.formats import even_scale, images_png, new_figure, npz_bytes, png, point_bytes
from optitrip.output.outcome import Answer, Draw, File, Rows, Table, figure_rows
from optitrip.output.text import finite, first_failure, variable_rows
from optitrip.space.variables import arguments

GRADIENT, PICTURE, POINT = "gradient.npz", "gradient.png", "point.npz"
"""Names of the result files."""
TABLE_ROWS, LARGEST = 8, 5
"""Numbers of coordinates in the table, and in the list of the largest."""


@dataclass(frozen=True, eq=False, repr=False)
class GradientAnswer(Answer):
    """The numeric gradient at one point."""

    result: GradientResult
    method: Gradient
    report_result: ReportResult
    """Report on x; empty if the objective offers none."""
    analytic_result: ReportResult
    """Analytic gradient of the objective; empty if it offers none."""

    @property
    def x(self) -> dict[str, Any]:
        """Parameters of the point, by name."""
        return arguments(self.method.points.point(0), 0)

    @property
    def loss(self) -> float:
        """Loss at x."""
        return self.result.loss

    @property
    def gradient(self) -> Mapping[str, Array]:
        """Gradient by variable, in its shape, float64; NaN where `flags` explains why."""
        return self.result.gradient

    @property
    def steps(self) -> Mapping[str, Array]:
        """Steps actually taken, float64."""
        return self.result.steps

    @property
    def flags(self) -> Mapping[str, Array]:
        """Bit flags, uint8: 1 the losses are bitwise equal, 2 no finite quotient, 4 no step, 8 not requested."""
        return self.result.flags

    @property
    def norm(self) -> float:
        """Euclidean norm of the gradient without missing coordinates."""
        flat = self.result.flat
        return norm(flat[np.isfinite(flat)])

    @property
    def max_abs(self) -> float:
        """Largest magnitude of an entry of the gradient."""
        return float(np.nanmax(np.abs(self.result.flat)))

    @property
    def analytic(self) -> dict[str, Array] | None:
        """Analytic gradient at x, if the objective offers one for every variable."""
        names = self.method.center.varied
        found = self.analytic_result.values
        return {name: found[name] for name in names} if all(name in found for name in names) else None

    @property
    def difference(self) -> float | None:
        """||a - b|| / (||a|| + ||b||) of the numeric and the analytic gradient, if the objective offers the latter."""
        if self.analytic is None:
            return None
        numeric = self.result.flat
        analytic = np.concatenate([part.ravel() for part in self.analytic.values()])
        known = np.isfinite(numeric)  # a non-finite analytic entry is a disagreement, and makes this NaN
        size = norm(numeric[known]) + norm(analytic[known])
        return norm(numeric[known] - analytic[known]) / size if size else 0.0

    @property
    def items(self) -> int:
        """Number of coordinates requested."""
        return self.result.items - 1

    @property
    def failures(self) -> dict[str, int]:
        counts = self.result.failures.counts()
        if (beyond := self.flagged - self.result.failures.count) > 0:
            counts["infinite quotient"] = beyond
        for name, result in {"report": self.report_result, "analytic": self.analytic_result}.items():
            if result.failures.count:
                counts[name] = result.failures.count
        return counts

    @property
    def flagged(self) -> int:
        """Number of requested coordinates that are missing."""
        return self.result.flagged(FAILED) + self.result.flagged(WITHOUT_STEP)

    @property
    def report(self) -> dict[str, float]:
        """Figures that the objective reports at x, and the other numbers that its loss returned there."""
        return {**self.result.named, **self.report_result.figures}

    def fields(self, folder: Path | None) -> dict[str, Any]:
        figures = {"loss": self.loss, "norm": self.norm, "max_abs": self.max_abs}
        figures |= {} if self.difference is None else {"from_analytic": self.difference}
        counts = {"flagged": self.flagged, "unchanged": self.result.flagged(UNCHANGED)}
        file = str(folder / GRADIENT) if folder else None
        return {"gradient": {**finite(figures), "file": file, **counts}}

    def rows(self) -> Rows:
        result, stencils = self.result, self.method.stencils
        scheme = "central" if len(stencils) == 2 else "forward" if stencils[0].side > 0 else "backward"
        kinks = sum(int(counts.sum()) for counts in result.kinks.values())
        unchanged, left_out = result.flagged(UNCHANGED), result.flagged(LEFT_OUT)
        rows = [
            ("loss at x", f"{self.loss:.12g}"),
            *variable_rows(self.method.points.point(0)),
            ("gradient", f"norm {self.norm:.8g}, largest magnitude {self.max_abs:.8g}, {scheme} differences"),
            ("largest", ", ".join(f"{title} {value:.6g}" for title, value in self.largest())),
        ]
        if self.flagged:
            rows.append(("missing", f"{self.flagged:,} coordinates; their flags in {GRADIENT} explain why"))
        if unchanged:
            why = "do not change the loss at all: the derivative is 0, or the step too small"
            rows.append(("no change", f"{unchanged:,} coordinates {why}"))
        if kinks:
            rows.append(("kinks", f"{kinks:,} crossed by steps; a difference across a kink is not a derivative"))
        if left_out:
            rows.append(("left out", f"{left_out:,} coordinates were not requested"))
        if self.difference is not None:
            rows.append(
                ("analytic", f"relative difference {self.difference:.3g}: norm of the difference / sum of the norms")
            )
        return rows + figure_rows(self.report)

    def largest(self) -> list[tuple[str, float]]:
        """Return the titles and values of the largest entries by magnitude."""
        flat = self.result.flat
        known = np.flatnonzero(np.isfinite(flat))
        order = known[np.argsort(-np.abs(flat[known]), kind="stable")][:LARGEST]
        return [(self.method.center.title(int(coordinate)), float(flat[coordinate])) for coordinate in order]

    @property
    def image_source(self) -> Mapping[str, Any]:
        return {**self.x, **self.gradient}

    def table(self) -> Table | None:
        """Return a table of W | W + h | loss(W + h) | dW for the first coordinates."""
        center, result = self.method.center, self.result
        asked = np.flatnonzero(~np.concatenate([(flags & LEFT_OUT).ravel() > 0 for flags in result.flags.values()]))
        first = asked[:TABLE_ROWS]
        x = center.entries(first)
        name = center.varied[0] if len(center.varied) == 1 else "x"
        columns = [[center.title(int(coordinate)) for coordinate in first], [f"{value:.6g}" for value in x]]
        columns.append(distinct(self.method.points.entries(first), x))
        heads = ["", name, f"{name} {self.method.points.sign} h"]
        for stencil in self.method.stencils:
            heads.append(f"loss({name} {stencil.sign} h)")
            losses = np.concatenate([part.ravel() for part in result.losses[stencil.side].values()])[first]
            columns.append([f"{loss:.11g}" for loss in losses])
        columns.append([f"{value:.6g}" for value in result.flat[first]])
        return [*heads, f"d{name}"], [list(row) for row in zip(*columns, strict=True)]

    def metrics(self) -> dict[str, float]:
        figures = {"loss": self.loss, "gradient/norm": self.norm, "gradient/max_abs": self.max_abs}
        figures["gradient/flagged"] = float(self.flagged)
        return figures | ({} if self.difference is None else {"gradient/from_analytic": self.difference})

    def files(self, name: str) -> Iterator[File]:
        result = self.result
        arrays: dict[str, Array] = {}
        for variable, values in result.gradient.items():
            arrays[variable] = values
            arrays[f"{variable}.steps"] = result.steps[variable]
            arrays[f"{variable}.flags"] = result.flags[variable]
        arrays |= {f"{variable}.kinks": kinks for variable, kinks in result.kinks.items()}
        yield GRADIENT, lambda: npz_bytes(arrays)
        yield POINT, lambda: point_bytes(self.method.points.point(0))
        yield PICTURE, lambda: gradient_png(result.gradient, self.images, f"{name}: numeric gradient")

    def message(self) -> str:
        return (
            first_failure(self.result.failures, self.method)
            or first_failure(self.report_result.failures, self.method, 0, "its report")
            or first_failure(self.analytic_result.failures, self.method, 0, "its analytic gradient")
        )

    def picture(self) -> bytes:
        """Draw the gradient as a row of images or as heat maps, as a PNG."""
        return gradient_png(self.gradient, self.images, "numeric gradient")

    def pictures(self) -> list[Draw]:
        return [self.picture]

    def __repr__(self) -> str:
        largest = ", ".join(f"{title} {value:.6g}" for title, value in self.largest())
        tail = f", {self.flagged:,} flagged" if self.flagged else ""
        tail += "" if self.difference is None else f", from_analytic={self.difference:.3g}"
        return f"GradientAnswer(loss={self.loss:.8g}, norm={self.norm:.8g}, largest: {largest}{tail})"


class GradientProgress(Progress):
    """Counts coordinates, and shows the latest loss."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self._column, self._latest = "", float("nan")

    def stage(self, method: Method) -> None:
        super().stage(method)
        self._column = method.loss_column if isinstance(method, Gradient) else ""

    def count(self, items: range) -> int:
        return len(items) - (items.start == 0)  # x itself is not a coordinate

    def see(self, part: Part) -> None:
        losses = part.columns[self._column]
        finite = losses[np.isfinite(losses)]
        self._latest = float(finite[-1]) if len(finite) else self._latest

    def words(self) -> str:
        return f"Coordinate {self.done:,} of {self.total:,} | Loss {self._latest:.10g}"


def norm(values: Array) -> float:
    """Return the Euclidean norm without overflow of the squares; NaN if a value is not finite."""
    largest = float(np.max(np.abs(values), initial=0.0))
    if not np.isfinite(largest):
        return math.nan
    return largest * float(np.linalg.norm(values / largest)) if largest else 0.0


def distinct(values: Array, others: Array) -> list[str]:
    """Format values with three digits more than it takes to tell each from its counterpart in `others`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(others / (values - others))
    digits = np.ceil(np.log10(np.where(np.isfinite(ratio), ratio, 1.0).clip(1))).astype(int) + 3
    return [f"{value:.{min(max(count, 6), 17)}g}" for value, count in zip(values, digits, strict=True)]


MOST_BARS, MOST_VARIABLES = 200, 12


def gradient_png(gradient: Mapping[str, Array], images: Mapping[str, Array], title: str) -> bytes:
    """Draw a row of images if there are any; else heat maps of arrays with two axes or more, where missing entries stay
    white, and bars for the rest."""
    if images:
        return images_png(images, title)
    shown = dict(list(gradient.items())[:MOST_VARIABLES])
    scalars = {name: float(values) for name, values in shown.items() if not values.ndim}
    panels: list[tuple[str, Any]] = [(name, values) for name, values in shown.items() if values.ndim]
    panels += [("scalars", scalars)] if scalars else []
    figure = new_figure(8, 1 + 2.5 * len(panels))
    for number, (name, values) in enumerate(panels, 1):
        axes = figure.add_subplot(len(panels), 1, number)
        if isinstance(values, dict):
            axes.bar(list(scalars), list(scalars.values()), color="C0")
            axes.axhline(0, color="0.7", linewidth=0.8)
            axes.set_ylabel("df")
        elif values.ndim == 1 and values.size <= MOST_BARS:
            axes.bar(np.arange(values.size), values, color="C0")
            axes.axhline(0, color="0.7", linewidth=0.8)
            axes.set(xlabel=f"entry of {name}", ylabel=f"d{name}")
        else:
            table = values.reshape(len(values) if values.ndim > 1 else 1, -1)
            picture = axes.imshow(table, aspect="auto", interpolation="nearest", cmap="RdBu_r", **even_scale(table))
            figure.colorbar(picture, ax=axes, label=f"d{name}")
            axes.set(xlabel=f"column of {name}", ylabel="row")
    figure.suptitle(title)
    return png(figure)
