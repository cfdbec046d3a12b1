"""What a search found."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from optitrip.core.arrays import Array
from optitrip.core.failures import Failures
from optitrip.methods.search.figures import losses_png
from optitrip.methods.search.method import SearchResult
from optitrip.methods.search.screening import Screening
from optitrip.methods.shared.report import ReportResult
from optitrip.output.answer import File, Rows, Table
from optitrip.output.figures import html, images_png
from optitrip.output.formats import parquet_bytes, point_bytes
from optitrip.output.text import figure, finite, first_failure, show, variable_rows
from optitrip.space.candidates import Candidates
from optitrip.space.variables import arguments

BEST, LOSSES, PICTURE, VERIFIED, WEIGHTS = "best.npz", "losses.parquet", "losses.png", "verified.parquet", "weights.png"
"""The names of its files."""


@dataclass(frozen=True, eq=False)
class Best:
    """A candidate that is better than all others so far."""

    loss: float
    index: int
    draws: Candidates
    maximize: bool = False
    named: Mapping[str, float] = field(default_factory=dict[str, float])
    """The other numbers that the loss gave with it."""

    @property
    def x(self) -> dict[str, Any]:
        """Its parameters by name, as the loss takes them."""
        return arguments(self.draws.point(self.index), 0)

    def fields(self, folder: Path | None) -> dict[str, Any]:
        best = {"loss": self.loss, "index": self.index, "file": str(folder / BEST) if folder else None}
        return {"best": {**best, "named": finite(self.named)} if self.named else best}

    def rows(self) -> Rows:
        extreme = "max" if self.maximize else "min"
        rows = [(f"{extreme} loss", f"{self.loss:.8g} at candidate {self.index:,}")]
        rows += variable_rows(self.draws.point(self.index))
        return rows + [(name.replace("_", " "), figure(name, value)) for name, value in self.named.items()]


@dataclass(frozen=True, eq=False, repr=False)
class SearchAnswer:
    """The best of all candidates, and the losses of the others."""

    result: SearchResult
    draws: Candidates
    reported: ReportResult | None = None
    images: Mapping[str, Array] = field(default_factory=dict[str, Array])
    """The best parameters as pictures by title, if the objective can show them."""
    screening: Screening | None = None
    """How candidates were chosen for verification, if they were screened; the kept losses are the surrogate's."""
    ended: str = ""
    """Why the search has fewer candidates than it was asked for; empty if it has all."""

    @property
    def best(self) -> Best:
        result = self.result
        named = {name: float(column[0]) for name, column in result.best_named.items()}
        return Best(float(result.best_loss[0]), int(result.best_index[0]), self.draws, result.maximize, named)

    @property
    def x(self) -> dict[str, Any]:
        """The best parameters by name, as the loss takes them: floats, ints, strings, read-only arrays."""
        return self.best.x

    @property
    def loss(self) -> float:
        """The best loss."""
        return self.best.loss

    @property
    def index(self) -> int:
        """The candidate that has it."""
        return self.best.index

    @property
    def losses(self) -> Array:
        """The kept losses, float64: all of the first million, then fewer; NaN where a candidate failed. Of a search
        that screened, those of the surrogate."""
        return self.result.loss

    @property
    def indices(self) -> Array:
        """The candidates of `losses`, int64."""
        return self.result.index

    @property
    def items(self) -> int:
        return self.result.items

    @property
    def failures(self) -> dict[str, int]:
        counts = Counter(self.result.failures.counts())
        counts.update(self.screening.failures.counts() if self.screening else {})
        missing = self._report_failures.count
        return dict(counts) | ({"report": missing} if missing else {})

    @property
    def report(self) -> dict[str, float]:
        """The objective's further figures of the best candidate."""
        return self.reported.figures if self.reported else {}

    @property
    def _report_failures(self) -> Failures:
        return self.reported.failures if self.reported else Failures()

    def fields(self, folder: Path | None) -> dict[str, Any]:
        return self.best.fields(folder) | ({"screening": screening_fields(self.screening)} if self.screening else {})

    def rows(self) -> Rows:
        reported = [(name.replace("_", " "), figure(name, value)) for name, value in self.report.items()]
        screened = [("screened", screening_words(self.screening))] if self.screening else []
        return self.best.rows() + reported + screened

    @property
    def image_source(self) -> Mapping[str, Any]:
        return self.x

    def with_images(self, images: Mapping[str, Array]) -> SearchAnswer:
        return replace(self, images=images)

    def table(self) -> Table | None:
        return None

    def metrics(self) -> dict[str, float]:
        metrics = {f"named/{name}": value for name, value in self.best.named.items()}
        if self.screening:
            found = {"largest_error": self.screening.largest_error, "margin": self.screening.margin}
            found["verified"] = float(len(self.screening.index))
            metrics |= {"loss/best": self.loss, **{f"screening/{name}": value for name, value in found.items()}}
        return metrics

    def files(self, name: str) -> Iterator[File]:
        result = self.result
        yield BEST, lambda: point_bytes(self.draws.point(self.index))
        losses = "screened" if self.screening else "loss"
        yield LOSSES, lambda: parquet_bytes({"index": result.index, losses: result.loss, **result.named})
        title = f"{name}: {self.items:,} candidates"
        if screening := self.screening:
            title += f", screened by {screening.screen}"
            columns = {"index": screening.index, "screened": screening.screened, "loss": screening.loss}
            yield VERIFIED, lambda: parquet_bytes(columns)
        yield PICTURE, lambda: losses_png(result, title)
        if self.images:
            yield WEIGHTS, lambda: images_png(self.images, f"{name}: candidate {self.index:,}")

    def first_failure(self) -> str:
        first = first_failure(self.result.failures, self.draws)
        first = first or (first_failure(self.screening.failures, self.draws) if self.screening else "")
        return first or first_failure(self._report_failures, self.draws, self.index, "its report")

    def message(self) -> str:
        doubt = screening_doubt(self.screening) if self.screening else ""
        return "\n".join(filter(None, [self.ended, doubt, self.first_failure()]))

    def picture(self) -> bytes:
        """The losses by candidate and the best so far, a PNG."""
        return losses_png(self.result, f"{self.items:,} candidates")

    def __repr__(self) -> str:
        x = ", ".join(f"{name}={show(value)}" for name, value in self.x.items())
        beside = "".join(f", {name}={value:.6g}" for name, value in {**self.best.named, **self.report}.items())
        failed = sum(self.failures.values())
        tail = f", {failed:,} failed" if failed else ""
        return (
            f"SearchAnswer(loss={self.loss:.8g}, x={{{x}}}{beside}, candidate {self.index:,} of {self.items:,}{tail})"
        )

    def _repr_html_(self) -> str:
        weights = [lambda: images_png(self.images, "the best weights")] if self.images else []
        return html(repr(self), [self.picture, *weights])


def screening_fields(screening: Screening) -> dict[str, Any]:
    """Return what --json prints of a screening."""
    figures = finite({"largest_error": screening.largest_error, "margin": screening.margin})
    return {"screen": screening.screen, "verified": len(screening.index), **figures, "certain": screening.certain}


def screening_words(screening: Screening) -> str:
    """Return a screening in a line."""
    margin = f"margin {screening.margin:.3g}" if screening.margin < math.inf else "none left out"
    verified = f"{len(screening.index):,} verified, largest error {screening.largest_error:.3g}"
    return f"{screening.screen}: {verified}, {margin}"


def screening_doubt(screening: Screening) -> str:
    """Return what the user must know of a screening; empty if all is well."""
    if screening.certain:
        return ""
    return (
        f"the screen {screening.screen} was wrong by up to {screening.largest_error:.3g}, and the nearest candidate "
        f"left out seems {screening.margin:.3g} behind the best: one of those may be better. Another screen, or none, "
        "would tell."
    )
