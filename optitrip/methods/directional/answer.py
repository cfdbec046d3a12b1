"""The answer of directional derivatives."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.notice import Notice
from optitrip.methods.directional.lines import DISTANCE, UnitLines
from optitrip.methods.estimate.picture import slopes_png
from optitrip.methods.gradient.answer import GradientAnswer
from optitrip.methods.gradient.flags import FLAGS
from optitrip.output.formats import npz_bytes, point_bytes
from optitrip.output.outcome import Answer, Draw, File, Rows, Table, figure_rows
from optitrip.output.text import finite, folded, variable_rows

SLOPES, PICTURE, POINT = "directional.npz", "directional.png", "directional_point.npz"
"""Names of the result files."""
TABLE_ROWS, MOST_STORED = 8, 10**6
"""Most directions in the table, and most entries of all directions together in the file."""


@dataclass(frozen=True, eq=False, repr=False)
class DirectionalAnswer(Answer):
    """Derivatives of the loss at one point along a few unit vectors."""

    found: GradientAnswer
    """Gradient with respect to the distances along all directions, at distance 0."""
    lines: UnitLines

    @property
    def x(self) -> dict[str, Any]:
        """Parameters of the point, by name."""
        return self.found.x

    @property
    def loss(self) -> float:
        """Loss at x."""
        return self.found.loss

    @property
    def slopes(self) -> Array:
        """Derivatives along the unit vectors, float64 of shape (directions,); NaN where `flags` explains why."""
        return self.found.result.gradient[DISTANCE]

    @property
    def error(self) -> Array:
        """Estimated errors of the slopes, float64 of shape (directions,)."""
        return self.found.result.error[DISTANCE]

    @property
    def steps(self) -> Array:
        """Distances of the points from x, float64 of shape (directions,)."""
        return self.found.result.steps[DISTANCE]

    @property
    def flags(self) -> Array:
        """Bit flags as those of a gradient, uint16 of shape (directions,)."""
        return self.found.result.flags[DISTANCE]

    @property
    def noise(self) -> float:
        """Standard deviation of the noise of the loss at x."""
        return self.found.noise

    def direction(self, line: int) -> dict[str, Array]:
        """Return a unit vector by variable, float64."""
        return self.lines.x.by_variable(self.lines.unit(line))

    @property
    def items(self) -> int:
        return self.found.items

    @property
    def failures(self) -> Mapping[str, int]:
        return self.found.failures

    @property
    def report(self) -> Mapping[str, float]:
        return self.found.report

    def flagged(self, flag: int) -> int:
        """Return the number of directions with a flag."""
        return self.found.result.flagged(flag)

    @property
    def largest(self) -> int:
        """Index of the steepest direction."""
        return int(np.nanargmax(np.abs(self.slopes)))

    @property
    def _figures(self) -> dict[str, float]:
        largest = float(self.slopes[self.largest])
        return {"loss": self.loss, "largest": largest, "error": self.found.largest_error, "noise": self.noise}

    def fields(self, folder: Path | None) -> dict[str, Any]:
        file = str(folder / SLOPES) if folder else None
        return {"directional": {**finite(self._figures), "lines": self.items, "file": file}}

    def verdict(self) -> str:
        slope, error = self.slopes[self.largest], self.error[self.largest]
        return f"steepest slope {slope:.8g} +- {error:.1g}, along direction {self.largest}"

    def parameters(self) -> str:
        return self.found.parameters()

    def how_sure(self) -> list[str]:
        return [f"the largest error of a slope is {self.found.largest_error:.2g}"]

    def rows(self) -> Rows:
        told = [(text.partition(": "), count) for flag, text in FLAGS.items() if (count := self.flagged(flag))]
        return [
            ("loss at x", f"{self.loss:.12g}"),
            *variable_rows(self.found.method.points.point(0)),
            ("steepest", f"direction {self.largest}, {self.slopes[self.largest]:.8g}"),
            ("errors", f"largest {self.found.largest_error:.2g}, noise of the loss {self.noise:.2g}"),
            *((head, f"{count:,}: {text}") for (head, _, text), count in told),
            *figure_rows(self.report),
        ]

    def table(self) -> Table:
        rows = [
            [str(line), f"{self.slopes[line]:.10g}", f"{self.error[line]:.1g}", f"{self.steps[line]:.1g}", words]
            for line in range(min(self.items, TABLE_ROWS))
            for words in [flag_words(int(self.flags[line]))]
        ]
        return ["direction", "slope", "error", "step", "flags"], rows

    def metrics(self) -> dict[str, float]:
        return {name if name == "loss" else f"directional/{name}": value for name, value in self._figures.items()}

    def files(self, name: str) -> Iterator[File]:
        def arrays() -> dict[str, Array]:
            found = {"slopes": self.slopes, "error": self.error, "steps": self.steps, "flags": self.flags}
            if self.items * self.lines.x.size > MOST_STORED:
                return found
            units = np.array([self.lines.unit(line) for line in range(self.items)])
            parts = [self.lines.x.by_variable(unit) for unit in units]
            return found | {f"direction.{name}": np.array([part[name] for part in parts]) for name in parts[0]}

        yield SLOPES, lambda: npz_bytes(arrays())
        yield POINT, lambda: point_bytes(self.found.method.points.point(0))
        yield PICTURE, self.picture

    def picture(self) -> bytes:
        """Draw the slopes, as a PNG."""
        return slopes_png(self.slopes)

    def pictures(self) -> list[Draw]:
        return [self.picture]

    def notices(self) -> list[Notice]:
        return self.found.notices()

    def message(self) -> str:
        return self.found.message()

    def reasons(self) -> list[str]:
        return self.found.reasons()

    def __repr__(self) -> str:
        shown = ", ".join(f"{slope:.8g}" for slope in self.slopes[:TABLE_ROWS])
        more = ", ..." if self.items > TABLE_ROWS else ""
        return folded(
            f"DirectionalAnswer(loss={self.loss:.8g}, slopes=[{shown}{more}], largest error "
            f"{self.found.largest_error:.1g})"
        )


def flag_words(flags: int) -> str:
    """Return the names of flags."""
    return ", ".join(text.partition(":")[0] for flag, text in FLAGS.items() if flags & flag)
