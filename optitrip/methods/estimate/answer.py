"""The answer of an estimate of a gradient."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, ours
from optitrip.core.method import Items
from optitrip.methods.estimate.combination import Combined
from optitrip.methods.estimate.directions import expected_cosine, relative_variance
from optitrip.methods.estimate.picture import slopes_png
from optitrip.methods.estimate.slopes import Slopes, SlopesResult
from optitrip.methods.gradient.noise import Noise
from optitrip.methods.shared import ReportResult
from optitrip.output.formats import npz_bytes, point_bytes
from optitrip.output.outcome import Answer, Draw, File, Rows, figure_rows
from optitrip.output.text import finite, first_failure, folded, point_line, reasons, variable_rows
from optitrip.space.variables import arguments

ESTIMATE, PICTURE, POINT = "estimate.npz", "estimate.png", "estimate_point.npz"
"""Names of the result files."""


@dataclass(frozen=True, eq=False, repr=False)
class EstimateAnswer(Answer):
    """An estimate of the gradient from slopes along a few directions."""

    method: Slopes
    result: SlopesResult
    combined: Combined
    """Estimate, and the coordinates at which the sum failed."""
    report_result: ReportResult = field(default_factory=ReportResult)
    """Report on x; empty if the objective offers none."""
    measured: Noise = field(default_factory=Noise)
    """Noise of the loss."""

    @property
    def flat(self) -> Array:
        """Estimate, float64 of shape (coordinates,); NaN where the sum failed or no step changes x."""
        return self.combined.flat

    @property
    def x(self) -> dict[str, Any]:
        """Parameters of the point, by name."""
        return arguments(self.method.point(0), 0)

    @property
    def loss(self) -> float:
        """Loss at x."""
        return self.result.loss

    @property
    def gradient(self) -> dict[str, Array]:
        """Estimate by variable, in its shape and dtype."""
        center, values = self.method.center, self.method.center.values
        with ours():
            return {name: part.astype(values[name].dtype) for name, part in center.by_variable(self.flat).items()}

    @property
    def slopes(self) -> Array:
        """Slopes along the directions, float64 of shape (directions,); NaN where a loss failed."""
        return self.result.slopes

    @property
    def known(self) -> int:
        """Number of directions with a slope."""
        return int(np.isfinite(self.slopes).sum())

    @property
    def norm(self) -> float:
        """Estimated norm of the gradient: the root of the mean square of the slopes, since E[v v'] = I."""
        return float(np.sqrt(np.nanmean(np.square(self.slopes))))

    @property
    def error(self) -> float:
        """Expected norm of the difference between the estimate and the gradient: from the variance of the estimate
        and the noise of the losses and the rounding of x."""
        ends = self.method.ends[0]
        spread = self.norm * relative_variance(ends.directions.kind, self.known, ends.directions.size) ** 0.5
        # A slope is off by two deviations of the noise / h and eps |x| |g| / h, the estimate by sqrt(d / n) times that.
        center = self.method.center
        x = center.entries(np.arange(center.size))
        coarsest = max(float(np.finfo(center.values[name].dtype).eps) for name in center.varied)
        rounding = coarsest * float(np.sqrt(np.mean(np.square(x)))) * self.norm * ends.directions.length
        lost = 2 * self.noise + rounding
        return math.hypot(spread, lost / ends.length * (ends.directions.size / self.known) ** 0.5)

    @property
    def noise(self) -> float:
        """Standard deviation of the noise of the loss at x."""
        return float(self.measured.at(np.array([self.loss]))[0])

    @property
    def cosine(self) -> float:
        """Expected cosine of the angle between the estimate and the gradient."""
        directions = self.method.ends[0].directions
        return expected_cosine(directions.kind, self.known, directions.size)

    @property
    def items(self) -> int:
        return len(self.slopes)

    @property
    def failures(self) -> dict[str, int]:
        counts = self.result.failures.counts()
        counts |= {"combination": self.combined.failures.count} if self.combined.failures.count else {}
        return counts | ({"report": self.report_result.failures.count} if self.report_result.failures.count else {})

    @property
    def report(self) -> dict[str, float]:
        """Figures that the objective reports at x, and the other numbers that its loss returned there."""
        return {**self.result.named, **self.report_result.figures}

    @property
    def _figures(self) -> dict[str, float]:
        return {"loss": self.loss, "norm": self.norm, "error": self.error, "cosine": self.cosine}

    def fields(self, folder: Path | None) -> dict[str, Any]:
        file = str(folder / ESTIMATE) if folder else None
        return {"estimate": {**finite(self._figures), "directions": self.known, "file": file}}

    def verdict(self) -> str:
        return f"estimate of a gradient of norm {self.norm:.4g}, cosine {self.cosine:.2g} to it expected"

    def parameters(self) -> str:
        return f"at {point_line(self.method.point(0))}, where the loss is {self.loss:.8g}"

    def how_sure(self) -> list[str]:
        return (
            [f"the expected error is {self.error:.2g}, {self.error / self.norm:.2g} of the norm"] if self.norm else []
        )

    def rows(self) -> Rows:
        directions, size = self.method.ends[0].directions, float(np.linalg.norm(np.nan_to_num(self.flat)))
        rows = [
            ("loss at x", f"{self.loss:.12g}"),
            *variable_rows(self.method.point(0)),
            (
                "true norm",
                f"about {self.norm:.4g}, from {self.known:,} {directions.kind} directions of {directions.size:,}",
            ),
            ("estimate", f"norm {size:.4g}, expected cosine {self.cosine:.3g}, expected error {self.error:.3g}"),
        ]
        if missing := int(np.isnan(self.flat).sum()):
            rows.append(("missing", f"{missing:,} coordinates, where a step changes nothing, or the sum failed"))
        if self.known < self.items:
            rows.append(("left out", f"{self.items - self.known:,} directions, of which a loss failed"))
        return rows + figure_rows(self.report)

    @property
    def image_source(self) -> Mapping[str, Any]:
        """Negative estimate: its pictures show the changes that lower the loss."""
        return {**self.x, **{name: -values for name, values in self.gradient.items()}}

    def metrics(self) -> dict[str, float]:
        return {name if name == "loss" else f"estimate/{name}": value for name, value in self._figures.items()}

    def files(self, name: str) -> Iterator[File]:
        yield ESTIMATE, lambda: npz_bytes({**self.gradient, "slopes": self.slopes})
        yield POINT, lambda: point_bytes(self.method.point(0))
        yield PICTURE, self.picture

    def picture(self) -> bytes:
        """Draw the slopes, as a PNG."""
        return slopes_png(self.slopes)

    def pictures(self) -> list[Draw]:
        return [self.picture]

    def message(self) -> str:
        items: Items = self.method
        return first_failure(self.result.failures, items) or first_failure(
            self.report_result.failures, items, 0, "its report"
        )

    def reasons(self) -> list[str]:
        return reasons(self.result.failures, self.combined.failures, self.report_result.failures)

    def __repr__(self) -> str:
        return folded(
            f"EstimateAnswer(loss={self.loss:.8g}, norm={self.norm:.4g}, error={self.error:.3g}, "
            f"cosine={self.cosine:.3g}, directions={self.known:,})"
        )
