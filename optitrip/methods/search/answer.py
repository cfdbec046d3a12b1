"""The answer of a search."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from optitrip.core.arrays import Array
from optitrip.methods.search.figures import losses_png
from optitrip.methods.search.route import SearchResults
from optitrip.methods.search.screening import Screening
from optitrip.output.answer import Answer, Draw, File, Rows, figure_rows
from optitrip.output.figures import images_png
from optitrip.output.formats import parquet_bytes, point_bytes
from optitrip.output.text import finite, rows_of, show, told
from optitrip.space.candidates import Candidates
from optitrip.space.variables import arguments

BEST, LOSSES, PICTURE, VERIFIED, WEIGHTS = "best.npz", "losses.parquet", "losses.png", "verified.parquet", "weights.png"
"""The names of its files."""


@dataclass(frozen=True, eq=False)
class Best:
    """The best candidate, or the best so far of a search that was stopped."""

    loss: float
    index: int
    candidates: Candidates
    maximize: bool = False
    named: Mapping[str, float] = field(default_factory=dict[str, float])
    """The other numbers that the loss returned with it."""

    @property
    def x(self) -> dict[str, Any]:
        """Its parameters by name, as the loss takes them."""
        return arguments(self.candidates.point(self.index), 0)

    def fields(self, folder: Path | None) -> dict[str, Any]:
        best = {"loss": self.loss, "index": self.index, "file": str(folder / BEST) if folder else None}
        return {"best": {**best, "named": finite(self.named)} if self.named else best}

    def rows(self) -> Rows:
        best = (f"{'max' if self.maximize else 'min'} loss", f"{self.loss:.8g} at candidate {self.index:,}")
        return [best, *rows_of(self.candidates.point(self.index)), *figure_rows(self.named)]


@dataclass(frozen=True, eq=False, repr=False)
class SearchAnswer(Answer, SearchResults):
    """The best of all candidates, and the losses of the others."""

    candidates: Candidates
    ended: str = ""
    """Why the search has fewer candidates than it was asked for; empty if it has all."""

    @property
    def best(self) -> Best:
        result = self.result
        named = {name: float(column[0]) for name, column in result.best_named.items()}
        return Best(float(result.best_loss[0]), int(result.best_index[0]), self.candidates, result.maximize, named)

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
        """The index of the best candidate."""
        return self.best.index

    @property
    def losses(self) -> Array:
        """The stored losses, float64: all of the first million, then fewer; NaN where a candidate failed.

        They are those of the surrogate if the search screened.
        """
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
        if self.report_result and self.report_result.failures.count:
            counts["report"] = self.report_result.failures.count
        return dict(counts)

    def fields(self, folder: Path | None) -> dict[str, Any]:
        return self.best.fields(folder) | ({"screening": screening_fields(self.screening)} if self.screening else {})

    def rows(self) -> Rows:
        screened = [("screened", screening_words(self.screening))] if self.screening else []
        return [*self.best.rows(), *figure_rows(self.report), *screened]

    @property
    def report(self) -> dict[str, float]:
        return self.report_result.figures if self.report_result else {}

    @property
    def shown(self) -> Mapping[str, Any]:
        return self.x

    def metrics(self) -> dict[str, float]:
        metrics = {f"named/{name}": value for name, value in self.best.named.items()}
        if screening := self.screening:
            metrics |= {
                "loss/best": self.loss,
                "screening/largest_error": screening.largest_error,
                "screening/margin": screening.margin,
                "screening/verified": float(len(screening.index)),
            }
        return metrics

    def files(self, name: str) -> Iterator[File]:
        result, screening = self.result, self.screening
        title = f"{name}: {self.items:,} candidates"
        yield BEST, lambda: point_bytes(self.candidates.point(self.index))
        losses = {"index": result.index, "screened" if screening else "loss": result.loss, **result.named}
        yield LOSSES, lambda: parquet_bytes(losses)
        if screening:
            title += f", screened by {screening.screen}"
            columns = {"index": screening.index, "screened": screening.screened, "loss": screening.loss}
            yield VERIFIED, lambda: parquet_bytes(columns)
        yield PICTURE, lambda: losses_png(result, title)
        if self.images:
            yield WEIGHTS, lambda: images_png(self.images, f"{name}: candidate {self.index:,}")

    def message(self) -> str:
        doubt = screening_doubt(self.screening) if self.screening else ""
        failed = told(self.result.failures, self.candidates)
        failed = failed or (told(self.screening.failures, self.candidates) if self.screening else "")
        if not failed and self.report_result:
            failed = told(self.report_result.failures, self.candidates, self.index, "its report")
        return "\n".join(filter(None, [self.ended, doubt, failed]))

    def picture(self) -> bytes:
        """Draw the losses by candidate and the best so far as a PNG."""
        return losses_png(self.result, f"{self.items:,} candidates")

    def pictures(self) -> list[Draw]:
        return [self.picture, *([partial(images_png, self.images, "the best weights")] if self.images else [])]

    def __repr__(self) -> str:
        x = ", ".join(f"{name}={show(value)}" for name, value in self.x.items())
        figures = "".join(f", {name}={value:.6g}" for name, value in {**self.best.named, **self.report}.items())
        failed = sum(self.failures.values())
        tail = f", {failed:,} failed" if failed else ""
        of_all = f"candidate {self.index:,} of {self.items:,}"
        return f"SearchAnswer(loss={self.loss:.8g}, x={{{x}}}{figures}, {of_all}{tail})"


def screening_fields(screening: Screening) -> dict[str, Any]:
    """Return the screening for --json."""
    figures = finite({"largest_error": screening.largest_error, "margin": screening.margin})
    return {"screen": screening.screen, "verified": len(screening.index), **figures, "certain": screening.certain}


def screening_words(screening: Screening) -> str:
    """Return a screening in a line."""
    margin = f"margin {screening.margin:.3g}" if screening.margin < math.inf else "none left out"
    verified = f"{len(screening.index):,} verified, largest error {screening.largest_error:.3g}"
    return f"{screening.screen}: {verified}, {margin}"


def screening_doubt(screening: Screening) -> str:
    """Return a warning that the screening may have missed the best candidate; empty if it is certain."""
    if screening.certain:
        return ""
    return (
        f"the screen {screening.screen} was wrong by up to {screening.largest_error:.3g}, and the nearest candidate "
        f"left out seems {screening.margin:.3g} behind the best: one of those may be better. To be certain, choose "
        "another screen, or none."
    )
