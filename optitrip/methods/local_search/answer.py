"""The answer of a local search."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.observer import Printable
from optitrip.core.point import Point
from optitrip.methods.points import only
from optitrip.methods.shared import ReportResult
from optitrip.output.curves import Curve, curves_png
from optitrip.output.formats import npz_bytes, point_bytes
from optitrip.output.outcome import Answer, Draw, File, Rows, figure_rows
from optitrip.output.text import finite, first_failure, folded, point_line, reasons, variable_rows
from optitrip.space.variables import arguments

POINT, STAIRS, PICTURE = "local_best.npz", "local_search.npz", "local_search.png"
"""Names of the result files."""


@dataclass(frozen=True, eq=False)
class LocalBest(Printable):
    """The best point of a local search, also of one that was stopped."""

    best: Point
    loss: float
    tries: int
    """Number of tries at which it was found, 0 for the first point."""

    @property
    def x(self) -> dict[str, Any]:
        """Best parameters by name, as passed to the loss."""
        return arguments(only(self.best).point(0), 0)

    def fields(self, folder: Path | None) -> dict[str, Any]:
        place = str(folder / POINT) if folder else None
        return {"local_search": {"loss": self.loss, "at_try": self.tries, "file": place}}

    def parameters(self) -> str:
        return point_line(only(self.best).point(0))

    def rows(self) -> Rows:
        return [("best loss", f"{self.loss:.8g} at try {self.tries:,}"), *variable_rows(only(self.best).point(0))]

    def metrics(self) -> dict[str, float]:
        return {"loss": self.loss, "local_search/at_try": float(self.tries)}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LocalSearchAnswer(Answer):
    """The best point that a local search has found."""

    best: Point
    loss: float
    tried: int
    """Number of moves that were tried."""
    improved: Array
    """Number of the try of each improvement, float64; 0 for the first point."""
    losses: Array
    """Losses after the improvements, float64."""
    step: float
    """Standard deviation of the moves at the end."""
    counts: Mapping[str, int]
    """Numbers of failed tries by kind."""
    sign: int = 1
    ended: str = ""
    """Reason why the search ended before its last try; empty if it did not."""
    report_result: ReportResult = field(default_factory=ReportResult)

    @property
    def found(self) -> LocalBest:
        """Best point with its loss."""
        return LocalBest(self.best, self.loss, int(self.improved[-1]))

    @property
    def x(self) -> dict[str, Any]:
        """Parameters of the best point, by name."""
        return self.found.x

    @property
    def items(self) -> int:
        return self.tried

    @property
    def failures(self) -> Mapping[str, int]:
        report = self.report_result.failures.count
        return {**self.counts, **({"report": report} if report else {})}

    @property
    def report(self) -> Mapping[str, float]:
        return self.report_result.figures

    @property
    def image_source(self) -> Mapping[str, Any]:
        return self.x

    @property
    def curve(self) -> Curve:
        evaluations = np.append(self.improved + 1, self.tried + 1)
        return Curve(evaluations, np.append(self.losses, self.loss), staircase=True)

    @property
    def _figures(self) -> dict[str, float]:
        first = float(self.losses[0])
        return {"loss": self.loss, "first_loss": first, "improvements": len(self.losses) - 1.0, "step": self.step}

    def fields(self, folder: Path | None) -> dict[str, Any]:
        own = self.found.fields(folder)["local_search"]
        return {"local_search": {**own, **finite(self._figures), "tries": self.tried, "ended": self.ended}}

    def verdict(self) -> str:
        return f"loss {self.loss:.8g} after {self.tried:,} tries, {self.losses[0]:.8g} at first"

    def parameters(self) -> str:
        return self.found.parameters()

    def how_sure(self) -> list[str]:
        return [self.ended] if self.ended else []

    def rows(self) -> Rows:
        rows = [
            ("best loss", f"{self.loss:.8g} at try {int(self.improved[-1]):,} of {self.tried:,}"),
            ("first loss", f"{self.losses[0]:.8g}, improved {len(self.losses) - 1:,} times"),
            *variable_rows(only(self.best).point(0)),
            ("step", f"{self.step:.4g} at the end"),
        ]
        return [*rows, *([("ended", self.ended)] if self.ended else []), *figure_rows(self.report)]

    def metrics(self) -> dict[str, float]:
        own = {f"local_search/{name}": value for name, value in self._figures.items() if name != "loss"}
        return {"loss": self.loss, **own}

    def files(self, name: str) -> Iterator[File]:
        yield POINT, lambda: point_bytes(only(self.best).point(0))
        yield STAIRS, lambda: npz_bytes({"tries": self.improved, "losses": self.losses})
        yield PICTURE, lambda: self.picture(f"{name}: {self.tried:,} tries")

    def picture(self, title: str = "") -> bytes:
        """Draw the best loss so far against the evaluations, as a PNG."""
        return curves_png({"best so far": self.curve}, title, maximize=self.sign < 0)

    def pictures(self) -> list[Draw]:
        return [self.picture]

    def message(self) -> str:
        return first_failure(self.report_result.failures, only(self.best), 0, "its report")

    def reasons(self) -> list[str]:
        return reasons(self.report_result.failures)

    def __repr__(self) -> str:
        return folded(
            f"LocalSearchAnswer(loss={self.loss:.8g} at try {int(self.improved[-1]):,} of {self.tried:,}, "
            f"x={point_line(only(self.best).point(0))})"
        )
