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
from optitrip.methods.estimate.directions import Directions, expected_cosine, variance_of
from optitrip.methods.estimate.picture import slopes_png
from optitrip.methods.estimate.slopes import Ends, Slopes, SlopesResult
from optitrip.methods.estimate.truncation import TOO_LONG, deviation, mean_size
from optitrip.methods.gradient.flags import FAILED, LEFT_OUT, WITHOUT_STEP
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
    truncation: float = 0.0
    """Error of a slope from too long a step; 0 if it does not stand out from the noise, or was not measured."""

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
    def scale(self) -> dict[str, Array] | None:
        """Scale s of the entries by variable, float64, if they moved by different lengths. Then slopes, norm, cosine
        and error are those of s times the gradient."""
        scale = self.ends.scale
        return None if scale is None else self.method.center.by_variable(scale)

    @property
    def step(self) -> float:
        """Length h by which an entry moved; with a scale, relative to it."""
        return self.ends.length / self.directions.length

    @property
    def flags(self) -> dict[str, Array]:
        """Bit flags by variable as those of a gradient, uint16: 2 the sum failed, 4 no step changes the entry, 8 not
        among the coordinates drawn, so that its entry is 0."""
        flat = np.where(np.isnan(self.flat), WITHOUT_STEP, 0)
        for lo, hi in (run for runs in self.combined.failures.runs.values() for run in runs):
            flat[lo:hi] = FAILED
        if self.directions.kind == "coordinates":
            left_out = np.ones(len(flat), bool)
            left_out[[self.directions.axis(int(n)) for n in np.flatnonzero(np.isfinite(self.slopes))]] = False
            flat[left_out & (flat == 0)] = LEFT_OUT
        return self.method.center.by_variable(flat.astype(np.uint16))

    @property
    def ends(self) -> Ends:
        return self.method.ends[0]

    @property
    def directions(self) -> Directions:
        return self.ends.directions

    @property
    def known(self) -> int:
        """Number of directions with a slope."""
        return int(np.isfinite(self.slopes).sum())

    @property
    def norm(self) -> float:
        """Estimated norm of the gradient: the root of the mean square of the slopes, since E[v v'] = I. Noise that
        makes up over 1 % of it is subtracted."""
        size, noise = mean_size(self.slopes), self.slope_noise
        share = noise / size if size else 0.0
        return size * max(0.0, 1 - share**2) ** 0.5 if share > 0.1 else size

    @property
    def slope_noise(self) -> float:
        """Standard deviation that the noise of the loss gives a slope."""
        return deviation(self.measured, self.loss, self.ends.length)

    @property
    def spread(self) -> float:
        """Expected norm of the difference between the estimate and the gradient from too few directions alone."""
        return self.norm * variance_of(self.directions, np.isfinite(self.slopes)) ** 0.5

    @property
    def lost(self) -> float:
        """Expected norm of the error from noise, the rounding of x and too long a step."""
        # A slope is off by eps |x| |g| / h, too, and the estimate by sqrt(d / n) times that.
        center, directions = self.method.center, self.directions
        x = center.entries(np.arange(center.size))
        x = x if self.ends.scale is None else x / self.ends.scale
        coarsest = max(float(np.finfo(center.values[name].dtype).eps) for name in center.varied)
        rounding = coarsest * mean_size(x) * self.norm * directions.length / self.ends.length
        each = (directions.size / self.known) ** 0.5
        return math.hypot((self.slope_noise + rounding) * each, self.truncation * max(1.0, each))

    @property
    def error(self) -> float:
        """Expected norm of the difference between the estimate and the gradient: from the variance of the estimate,
        the noise of the losses, the rounding of x, and the length of the step."""
        return math.hypot(self.spread, self.lost)

    @property
    def noise(self) -> float:
        """Standard deviation of the noise of the loss at x."""
        return float(self.measured.at(np.array([self.loss]))[0])

    @property
    def cosine(self) -> float:
        """Expected cosine of the angle between the estimate and the gradient; 0 if all slopes are noise."""
        found = expected_cosine(self.directions.kind, self.known, self.directions.size)
        size, lost = math.hypot(self.norm, self.spread), self.lost
        if not size:
            return 0.0
        return found / math.hypot(1, lost / size) if lost > 0.01 * size else found

    @property
    def doubts(self) -> list[str]:
        """Reasons why the estimate is worse than its directions allow, in words."""
        told: list[str] = []
        if self.truncation > TOO_LONG * self.norm:
            told.append(f"the step {self.step:.2g} is too long for the curvature of the loss; try a shorter `step`")
        if self.slope_noise > mean_size(self.slopes) / 2:
            told.append(f"the slopes are little more than noise ({self.slope_noise:.2g}); try a longer `step`")
        return told

    @property
    def items(self) -> int:
        return len(self.slopes)

    @property
    def failures(self) -> dict[str, int]:
        counts = self.result.failures.counts()
        if (beyond := self.items - self.known - self.result.failures.count) > 0:
            counts["infinite quotient"] = beyond
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
        ) + self.doubts

    def rows(self) -> Rows:
        directions, size = self.directions, len(self.flat) ** 0.5 * mean_size(np.nan_to_num(self.flat))
        rows = [
            ("loss at x", f"{self.loss:.12g}"),
            *variable_rows(self.method.point(0)),
            (
                "true norm",
                f"about {self.norm:.4g}, from {self.known:,} {directions.kind} directions of {directions.size:,}",
            ),
            ("estimate", f"norm {size:.4g}, expected cosine {self.cosine:.3g}, expected error {self.error:.3g}"),
        ]
        if self.ends.scale is not None:
            rows.append(
                ("scaled", "entries move by different lengths: norm and error are of the gradient times `scale`")
            )
        rows += [("doubt", text) for text in self.doubts]
        if missing := int(np.isnan(self.flat).sum()):
            rows.append(("missing", f"{missing:,} coordinates, where a step changes nothing, or the sum failed"))
        if self.known < self.items:
            rows.append(("left out", f"{self.items - self.known:,} directions: a loss failed, or was out of range"))
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
        tail = [", scaled"] if self.ends.scale is not None else []
        tail += [f", {self.items - self.known:,} left out"] if self.known < self.items else []
        tail += [f": {text}" for text in self.doubts]
        return folded(
            f"EstimateAnswer(loss={self.loss:.8g}, norm={self.norm:.4g}, error={self.error:.3g}, "
            f"cosine={self.cosine:.3g}, {self.known:,} {self.directions.kind} directions{''.join(tail)})"
        )
