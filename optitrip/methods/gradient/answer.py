"""What a numeric gradient came to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.methods.gradient.figures import gradient_png
from optitrip.methods.gradient.method import FAILED, LEFT_OUT, UNCHANGED, WITHOUT_STEP, Gradient, GradientResult
from optitrip.methods.shared.report import ReportResult
from optitrip.output.answer import File, Rows, Table
from optitrip.output.figures import html
from optitrip.output.formats import npz_bytes, point_bytes
from optitrip.output.text import figure, finite, first_failure, variable_rows
from optitrip.space.variables import arguments

GRADIENT, PICTURE, POINT = "gradient.npz", "gradient.png", "point.npz"
"""The names of its files."""
FIRST, LARGEST = 8, 5


@dataclass(frozen=True, eq=False, repr=False)
class GradientAnswer:
    """The numeric gradient at one point."""

    result: GradientResult
    method: Gradient
    reported: ReportResult | None = None
    derived: ReportResult | None = None
    """The analytic gradient, where the objective offers one."""
    images: Mapping[str, Array] = field(default_factory=dict[str, Array])
    """The gradient as pictures by title, if the objective can show them."""

    @property
    def x(self) -> dict[str, Any]:
        """The point, by name."""
        return arguments(self.method.points.point(0), 0)

    @property
    def loss(self) -> float:
        """f(x)."""
        return self.result.loss

    @property
    def gradient(self) -> Mapping[str, Array]:
        """By variable, in its shape, float64; NaN where `flags` says why."""
        return self.result.gradient

    @property
    def steps(self) -> Mapping[str, Array]:
        """The steps that were taken, float64."""
        return self.result.steps

    @property
    def flags(self) -> Mapping[str, Array]:
        """uint8, a sum: 1 the losses are equal to the bit, 2 a loss failed, 4 x + h is x, 8 not asked for."""
        return self.result.flags

    @property
    def norm(self) -> float:
        """Euclidean, over the coordinates that are there."""
        flat = self.result.flat
        return norm(flat[np.isfinite(flat)])

    @property
    def max_abs(self) -> float:
        """The largest magnitude of a coordinate that is there."""
        return float(np.nanmax(np.abs(self.result.flat)))

    @property
    def analytic(self) -> dict[str, Array] | None:
        """The objective's own gradient at x, if it offers one for every variable."""
        names = self.method.center.varied
        found = self.derived.values if self.derived else {}
        return {name: found[name] for name in names} if all(name in found for name in names) else None

    @property
    def difference(self) -> float | None:
        """||a - b|| / (||a|| + ||b||) of the numeric gradient and the analytic one, where both are there."""
        analytic = self.analytic
        if analytic is None:
            return None
        numeric = self.result.flat
        own = np.concatenate([part.ravel() for part in analytic.values()])
        there = np.isfinite(numeric)  # an analytic entry that is not finite differs, and makes this NaN
        size = norm(numeric[there]) + norm(own[there])
        return norm(numeric[there] - own[there]) / size if size else 0.0

    @property
    def items(self) -> int:
        """Coordinates that were asked for."""
        return self.result.items - 1

    @property
    def failures(self) -> dict[str, int]:
        counts = self.result.failures.counts()
        if (beyond := self.flagged - self.result.failures.count) > 0:
            counts["infinite quotient"] = beyond
        for name, result in {"report": self.reported, "analytic": self.derived}.items():
            if result and result.failures.count:
                counts[name] = result.failures.count
        return counts

    @property
    def flagged(self) -> int:
        """Coordinates that were asked for and are missing."""
        return self.result.flagged(FAILED) + self.result.flagged(WITHOUT_STEP)

    @property
    def report(self) -> dict[str, float]:
        """The objective's further figures at x, and the other numbers that its loss gave there."""
        return {**self.result.named, **(self.reported.figures if self.reported else {})}

    def fields(self, folder: Path | None) -> dict[str, Any]:
        figures = {"loss": self.loss, "norm": self.norm, "max_abs": self.max_abs}
        figures |= {} if self.difference is None else {"from_analytic": self.difference}
        counts = {"flagged": self.flagged, "unchanged": self.result.flagged(UNCHANGED)}
        file = str(folder / GRADIENT) if folder else None
        return {"gradient": {**finite(figures), "file": file, **counts}}

    def rows(self) -> Rows:
        side = {1: "forward", -1: "backward"}
        scheme = "central" if len(self.method.neighbours) == 2 else side[self.method.neighbours[0].side]
        rows = [("loss at x", f"{self.loss:.12g}"), *variable_rows(self.method.points.point(0))]
        rows += [("gradient", f"norm {self.norm:.8g}, largest magnitude {self.max_abs:.8g}, {scheme} differences")]
        rows += [("largest", ", ".join(f"{title} {value:.6g}" for title, value in self.largest()))]
        if self.flagged:
            rows += [("missing", f"{self.flagged:,} coordinates; their flags in {GRADIENT} say why")]
        if unchanged := self.result.flagged(UNCHANGED):
            rows += [
                ("no change", f"{unchanged:,} coordinates leave the loss as it is, to the bit: 0, or too small a step")
            ]
        if crossed := sum(int(kinks.sum()) for kinks in self.result.kinks.values()):
            rows += [("kinks", f"{crossed:,} crossed on the way; a difference across a kink is no derivative")]
        if left := self.result.flagged(LEFT_OUT):
            rows += [("left out", f"{left:,} coordinates were not asked for")]
        if self.difference is not None:
            rows += [("analytic", f"differs by {self.difference:.3g}, norm of the difference by sum of the norms")]
        return rows + [(name.replace("_", " "), figure(name, value)) for name, value in self.report.items()]

    def largest(self) -> list[tuple[str, float]]:
        """The coordinates of largest magnitude."""
        flat = self.result.flat
        there = np.flatnonzero(np.isfinite(flat))
        order = there[np.argsort(-np.abs(flat[there]), kind="stable")][:LARGEST]
        return [(self.method.center.title(int(one)), float(flat[one])) for one in order]

    @property
    def image_source(self) -> Mapping[str, Any]:
        return {**self.x, **self.gradient}

    def with_images(self, images: Mapping[str, Array]) -> GradientAnswer:
        return replace(self, images=images)

    def table(self) -> Table | None:
        """The classic table, W | W + h | loss(W + h) | dW, for the first coordinates."""
        center, result = self.method.center, self.result
        asked = np.flatnonzero(~np.concatenate([(flags & LEFT_OUT).ravel() > 0 for flags in result.flags.values()]))
        first = asked[:FIRST]
        x = center.entries(first)
        name = center.varied[0] if len(center.varied) == 1 else "x"
        columns = [[center.title(int(one)) for one in first], [f"{value:.6g}" for value in x]]
        columns.append(apart(self.method.points.entries(first), x))
        heads = ["", name, f"{name} {sign(self.method.points.side)} h"]
        for side in self.method.neighbours:
            heads.append(f"loss({name} {sign(side.side)} h)")
            losses = np.concatenate([part.ravel() for part in result.losses[side.side].values()])[first]
            columns.append([f"{loss:.11g}" for loss in losses])
        columns.append([f"{value:.6g}" for value in result.flat[first]])
        return [*heads, f"d{name}"], [list(row) for row in zip(*columns, strict=True)]

    def metrics(self) -> dict[str, float]:
        figures = {"loss": self.loss, "gradient/norm": self.norm, "gradient/max_abs": self.max_abs}
        figures |= {"gradient/flagged": float(self.flagged)}
        return figures | ({} if self.difference is None else {"gradient/from_analytic": self.difference})

    def files(self, name: str) -> Iterator[File]:
        result = self.result
        by_name: dict[str, Array] = {}
        for variable, values in result.gradient.items():
            by_name[variable] = values
            by_name[f"{variable}.steps"] = result.steps[variable]
            by_name[f"{variable}.flags"] = result.flags[variable]
        by_name |= {f"{variable}.kinks": kinks for variable, kinks in result.kinks.items()}
        yield GRADIENT, lambda: npz_bytes(by_name)
        yield POINT, lambda: point_bytes(self.method.points.point(0))
        yield PICTURE, lambda: gradient_png(result.gradient, self.images, f"{name}: numeric gradient")

    def message(self) -> str:
        first = first_failure(self.result.failures, self.method)
        first = first or first_failure(self.reported.failures if self.reported else None, self.method, 0, "its report")
        return first or first_failure(
            self.derived.failures if self.derived else None, self.method, 0, "its analytic gradient"
        )

    def picture(self) -> bytes:
        """The gradient as a row of images or as heat maps, a PNG."""
        return gradient_png(self.gradient, self.images, "numeric gradient")

    def __repr__(self) -> str:
        largest = ", ".join(f"{title} {value:.6g}" for title, value in self.largest())
        tail = f", {self.flagged:,} flagged" if self.flagged else ""
        tail += "" if self.difference is None else f", from_analytic={self.difference:.3g}"
        return f"GradientAnswer(loss={self.loss:.8g}, norm={self.norm:.8g}, largest: {largest}{tail})"

    def _repr_html_(self) -> str:
        return html(repr(self), [self.picture])


def norm(values: Array) -> float:
    """Euclidean, also where the squares would overflow; NaN for values that are not finite."""
    largest = float(np.max(np.abs(values), initial=0.0))
    if not np.isfinite(largest):
        return math.nan
    return largest * float(np.linalg.norm(values / largest)) if largest else 0.0


def sign(side: int) -> str:
    return "+" if side > 0 else "-"


def apart(values: Array, others: Array) -> list[str]:
    """Values in as many digits as tell each from its other, and three more."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(others / (values - others))
    digits = np.ceil(np.log10(np.where(np.isfinite(ratio), ratio, 1.0).clip(1))).astype(int) + 3
    return [f"{value:.{min(max(count, 6), 17)}g}" for value, count in zip(values, digits, strict=True)]
