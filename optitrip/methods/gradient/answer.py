"""The answer of a gradient."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.notice import Notice
from optitrip.methods.gradient.checking.comparison import Comparison
from optitrip.methods.gradient.checking.files import comparison_csv, comparison_png, comparison_table
from optitrip.methods.gradient.checking.taylor import OnLine
from optitrip.methods.gradient.flags import FAILED, IMPRECISE, UNCHANGED, WITHOUT_STEP
from optitrip.methods.gradient.method import Gradient
from optitrip.methods.gradient.noise import Noise
from optitrip.methods.gradient.picture import gradient_png
from optitrip.methods.gradient.result import GradientResult, norm
from optitrip.methods.gradient.rows import answer_rows, first_coordinates
from optitrip.methods.gradient.words import how_sure, told
from optitrip.methods.shared import ReportResult
from optitrip.output.formats import npz_bytes, point_bytes
from optitrip.output.outcome import Answer, Draw, File, Rows, Table
from optitrip.output.text import finite, first_failure, folded, point_line, reasons
from optitrip.space.variables import arguments

GRADIENT, PICTURE, POINT = "gradient.npz", "gradient.png", "point.npz"
CHECK, CHECK_TABLE = "gradcheck.png", "gradcheck.csv"
"""Names of the result files."""
BESIDE_GRADIENT = ("error", "steps", "flags", "kinks")
"""Suffixes of the arrays in `gradient.npz` beside each variable's gradient."""
LARGEST = 5
"""Number of coordinates in the list of the largest."""


@dataclass(frozen=True, eq=False, repr=False)
class GradientAnswer(Answer):
    """The numeric gradient at one point."""

    result: GradientResult
    method: Gradient
    report_result: ReportResult
    """Report on x; empty if the objective offers none."""
    analytic_result: ReportResult
    """Analytic gradient of the objective; empty if it offers none."""
    repeated: float | None = None
    """Loss at x when evaluated a second time; None if it was not."""
    measured: Noise = field(default_factory=Noise)
    """Noise of the loss."""
    on_line: OnLine = field(default_factory=OnLine)
    """Slope of the loss and Taylor's remainder along a line; NaN if there is no analytic gradient."""
    again: tuple[GradientResult, ...] = ()
    """Differences with shorter steps along coordinates where the analytic gradient looked wrong."""

    @property
    def x(self) -> dict[str, Any]:
        """Parameters of the point, by name."""
        return arguments(self.method.points.point(0), 0)

    @property
    def loss(self) -> float:
        """Loss at x."""
        return self.result.loss

    @property
    def gradient(self) -> dict[str, Array]:
        """Gradient by variable, in its shape and dtype; NaN where `flags` explains why."""
        values = self.method.center.values
        with ours():
            return {name: part.astype(values[name].dtype) for name, part in self.result.gradient.items()}

    @property
    def error(self) -> Mapping[str, Array]:
        """Estimated error of each entry by variable, float64; empty without error estimates."""
        return self.result.error

    @property
    def steps(self) -> Mapping[str, Array]:
        """Steps actually taken, float64."""
        return self.result.steps

    @property
    def flags(self) -> Mapping[str, Array]:
        """Bit flags, uint16: 1 the losses are bitwise equal, 2 missing, 4 no step, 8 not requested, 16 the error is
        over 2 % of the entry, 32 it is larger than the entry, 64 from one side of x only, 128 a kink, 256 some loss
        failed, 512 x is outside of the variable's limits."""
        return self.result.flags

    @property
    def noise(self) -> float:
        """Standard deviation of the noise of the loss at x, from rounding or for other reasons."""
        return float(self.measured.at(np.array([self.loss]))[0])

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
    @ours()
    def difference(self) -> float | None:
        """||a - b|| / (||a|| + ||b||) of the numeric and the analytic gradient, if the objective offers the latter."""
        if self.analytic is None:
            return None
        numeric = self.result.flat
        analytic = np.concatenate([part.ravel() for part in self.analytic.values()])
        known = np.isfinite(numeric)  # a non-finite analytic entry is a disagreement, and makes this NaN
        size = norm(numeric[known]) + norm(analytic[known])
        return norm(numeric[known] - analytic[known]) / size if size else 0.0

    @cached_property
    def comparison(self) -> Comparison | None:
        """Comparison of the analytic gradient with the numeric one, coordinate by coordinate; None without both."""
        if self.analytic is None or not self.result.has_errors:
            return None
        flat = np.concatenate([part.ravel() for part in self.analytic.values()])
        return Comparison(self.result, flat[self.result.coordinates], self.again)

    @property
    def slope(self) -> float:
        """Exponent with which Taylor's remainder of the analytic gradient falls; NaN if it is not known."""
        return self.on_line.exponent

    @property
    def contradiction(self) -> str | None:
        if self.analytic_result.failures.count:
            return "the analytic gradient failed"
        if self.comparison is None:
            return None
        return "" if self.comparison.ok else f"the analytic gradient {self.comparison.verdict}"

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
    def imprecise(self) -> int:
        """Number of coordinates that change the loss, but whose estimated error is over 2 % of the entry."""
        return self.result.flagged(IMPRECISE)

    @property
    def largest_error(self) -> float:
        """Largest estimated error of an entry; NaN without error estimates."""
        errors = self.result.found.error[np.isfinite(self.result.found.value)]
        return float(np.nanmax(errors)) if self.result.has_errors and np.isfinite(errors).any() else math.nan

    @property
    def eps(self) -> float:
        """Relative precision of the loss."""
        return self.measured.eps

    @property
    def drift(self) -> float:
        """Magnitude of the change of the loss at x when it was evaluated again; NaN if it failed then."""
        return 0.0 if self.repeated is None else abs(self.repeated - self.loss)

    def notices(self) -> list[Notice]:
        return [*super().notices(), *told(self)]

    @property
    def report(self) -> dict[str, float]:
        """Figures that the objective reports at x, and the other numbers that its loss returned there."""
        return {**self.result.named, **self.report_result.figures}

    def fields(self, folder: Path | None) -> dict[str, Any]:
        figures = {"loss": self.loss, "norm": self.norm, "max_abs": self.max_abs}
        figures |= {"error": self.largest_error, "noise": self.noise} if self.result.has_errors else {}
        figures |= {} if self.difference is None else {"from_analytic": self.difference}
        figures |= {} if math.isnan(self.slope) else {"taylor_slope": self.slope}
        line = {"line_analytic": self.on_line.analytic, "line_numeric": self.on_line.numeric}
        figures |= {} if math.isnan(self.on_line.error) else {**line, "line_error": self.on_line.error}
        counts = {"flagged": self.flagged, "unchanged": self.result.flagged(UNCHANGED), "imprecise": self.imprecise}
        if self.comparison is not None:
            counts["wrong"] = int(np.count_nonzero(self.comparison.wrong))
        file = str(folder / GRADIENT) if folder else None
        return {"gradient": {**finite(figures), "file": file, **counts}}

    def verdict(self) -> str:
        (title, value), *_ = self.largest()
        if wrong := int(np.count_nonzero(self.comparison.wrong)) if self.comparison is not None else 0:
            return f"the analytic gradient is WRONG in {wrong:,} entr{'y' if wrong == 1 else 'ies'}"
        return f"gradient of norm {self.norm:.8g}, largest at {title}: {value:.6g}"

    def parameters(self) -> str:
        return f"at {point_line(self.method.points.point(0))}, where the loss is {self.loss:.8g}"

    def how_sure(self) -> list[str]:
        return how_sure(self)

    def rows(self) -> Rows:
        return answer_rows(self)

    def largest(self) -> list[tuple[str, float]]:
        """Return the titles and values of the largest entries by magnitude."""
        flat = self.result.flat
        known = np.flatnonzero(np.isfinite(flat))
        order = known[np.argsort(-np.abs(flat[known]), kind="stable")][:LARGEST]
        return [(self.method.center.title(int(coordinate)), float(flat[coordinate])) for coordinate in order]

    @property
    def image_source(self) -> Mapping[str, Any]:
        """Negative gradient: its pictures show the changes that lower the loss."""
        return {**self.x, **{name: -values for name, values in self.gradient.items()}}

    def table(self) -> Table | None:
        return (self.checked_table() if self.contradiction else None) or first_coordinates(self)

    def checked_table(self) -> Table | None:
        return None if self.comparison is None else comparison_table(self.comparison)

    def metrics(self) -> dict[str, float]:
        figures = {"loss": self.loss, "gradient/norm": self.norm, "gradient/max_abs": self.max_abs}
        figures |= {"gradient/flagged": float(self.flagged), "gradient/imprecise": float(self.imprecise)}
        if self.result.has_errors:
            figures |= {"gradient/error": self.largest_error, "gradient/noise": self.noise}
        if self.comparison is not None:
            figures["gradient/wrong"] = float(np.count_nonzero(self.comparison.wrong))
        return figures | ({} if self.difference is None else {"gradient/from_analytic": self.difference})

    def files(self, name: str) -> Iterator[File]:
        result = self.result
        arrays: dict[str, Array] = {}
        for variable, values in result.gradient.items():
            arrays[variable] = values
            arrays[f"{variable}.steps"] = result.steps[variable]
            arrays[f"{variable}.flags"] = result.flags[variable]
        arrays |= {f"{variable}.error": error for variable, error in result.error.items()}
        arrays |= {f"{variable}.kinks": kinks for variable, kinks in result.kinks.items()}
        yield GRADIENT, lambda: npz_bytes(arrays)
        yield POINT, lambda: point_bytes(self.method.points.point(0))
        if (comparison := self.comparison) is not None:
            yield CHECK_TABLE, lambda: comparison_csv(comparison)
            yield CHECK, lambda: comparison_png(comparison, f"{name}: analytic and numeric gradient")
        yield PICTURE, lambda: gradient_png(result.gradient, self.images, f"{name}: {self.picture_title}")

    @property
    def picture_title(self) -> str:
        return "numeric gradient, downhill (-∇)" if self.images else "numeric gradient"

    def message(self) -> str:
        return (
            first_failure(self.result.failures, self.method)
            or first_failure(self.report_result.failures, self.method, 0, "its report")
            or first_failure(self.analytic_result.failures, self.method, 0, "its analytic gradient")
        )

    def reasons(self) -> list[str]:
        return reasons(self.result.failures, self.report_result.failures, self.analytic_result.failures)

    def picture(self) -> bytes:
        """Draw the gradient as a row of images or as heat maps, as a PNG."""
        return gradient_png(self.gradient, self.images, self.picture_title)

    def pictures(self) -> list[Draw]:
        return [self.picture]

    def __repr__(self) -> str:
        largest = ", ".join(f"{title} {value:.6g}" for title, value in self.largest())
        tail = f", largest error {self.largest_error:.1g}" if np.isfinite(self.largest_error) else ""
        tail += f", {self.flagged:,} flagged" if self.flagged else ""
        tail += f", {self.imprecise:,} imprecise" if self.imprecise else ""
        tail += f", the loss at x differs by {self.drift:.2g} when evaluated again" if self.drift else ""
        tail += "" if self.difference is None else f", from_analytic={self.difference:.3g}"
        return folded(f"GradientAnswer(loss={self.loss:.8g}, norm={self.norm:.8g}, largest: {largest}{tail})")
