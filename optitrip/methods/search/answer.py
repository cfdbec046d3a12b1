"""The answer of a search, its progress and its chart."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.observer import MetricPoint, Progress, Times
from optitrip.core.part import Part
from optitrip.methods.search.method import SearchResult, kept_indices
from optitrip.methods.search.screening import MOST_VERIFIED, Screening
from optitrip.methods.shared import ReportResult
from optitrip.output.formats import images_png, new_figure, parquet_bytes, plain_style, png, point_bytes
from optitrip.output.outcome import Answer, Draw, File, Rows, figure_rows
from optitrip.output.text import finite, first_failure, show, variable_rows
from optitrip.space.variables import Candidates, arguments

BEST, LOSSES, PICTURE, VERIFIED, WEIGHTS = "best.npz", "losses.parquet", "losses.png", "verified.parquet", "weights.png"
"""Names of the result files."""
POINTS_LOG2 = 10
"""Base-2 logarithm of the most losses in MLflow's chart: 1,024, as many as it draws at once."""


@dataclass(frozen=True, eq=False)
class Best:
    """The best candidate, or the best so far if the search was stopped."""

    loss: float
    index: int
    candidates: Candidates
    maximize: bool = False
    named: Mapping[str, float] = field(default_factory=dict[str, float])
    """Other numbers that the loss returned for it, by name."""

    @property
    def x(self) -> dict[str, Any]:
        """Best parameters by name, as passed to the loss: floats, ints, strings, read-only arrays."""
        return arguments(self.candidates.point(self.index), 0)

    def fields(self, folder: Path | None) -> dict[str, Any]:
        best = {"loss": self.loss, "index": self.index, "file": str(folder / BEST) if folder else None}
        return {"best": {**best, "named": finite(self.named)} if self.named else best}

    def rows(self) -> Rows:
        best = (f"{'max' if self.maximize else 'min'} loss", f"{self.loss:.8g} at candidate {self.index:,}")
        return [best, *variable_rows(self.candidates.point(self.index)), *figure_rows(self.named)]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SearchAnswer(Best, Answer):
    """The best of all candidates, and the losses of the others."""

    result: SearchResult
    screening: Screening | None
    """Verification of the best candidates, if they were screened; then the stored losses are the surrogate's."""
    report_result: ReportResult
    """Report on the best candidate; empty if the objective offers none."""
    ended: str = ""
    """Reason for an early end; empty if all candidates were evaluated."""

    @property
    def losses(self) -> Array:
        """Stored losses, the surrogate's if the search screened, float64: all of the first million candidates, then of
        fewer; not finite where one failed."""
        return self.result.loss

    @property
    def indices(self) -> Array:
        """Candidates of `losses`, int64."""
        return self.result.index

    @property
    def items(self) -> int:
        return self.result.items

    @property
    def failures(self) -> dict[str, int]:
        counts = Counter(self.result.failures.counts())
        counts.update(self.screening.failures.counts() if self.screening else {})
        counts["report"] = self.report_result.failures.count
        return {kind: count for kind, count in counts.items() if count}

    def fields(self, folder: Path | None) -> dict[str, Any]:
        fields = super().fields(folder)
        if screening := self.screening:
            figures = finite({"largest_error": screening.largest_error, "margin": screening.margin})
            verified = {"screen": screening.screen, "verified": len(screening.index), "random": screening.random}
            seen = {"sign_of_better": screening.sign_of_better, "unseen": screening.unseen}
            fields["screening"] = {**verified, **figures, **seen}
        return fields

    def rows(self) -> Rows:
        rows = [*super().rows(), *figure_rows(self.report)]
        if screening := self.screening:
            rows.append(("screened", f"by {screening.screen}; {screening.summary}"))
        return rows

    @property
    def report(self) -> dict[str, float]:
        return self.report_result.figures

    @property
    def image_source(self) -> Mapping[str, Any]:
        return self.x

    def metrics(self) -> dict[str, float]:
        metrics = {f"named/{name}": value for name, value in self.named.items()}
        if screening := self.screening:
            metrics |= {
                "loss/best": self.loss,
                "screening/largest_error": screening.largest_error,
                "screening/margin": screening.margin,
                "screening/verified": float(len(screening.index)),
                "screening/random": float(screening.random),
                "screening/unseen": float(screening.unseen),
            }
        return metrics

    def files(self, name: str) -> Iterator[File]:
        result, screening = self.result, self.screening
        title = f"{name}: {self.items:,} candidates"
        yield BEST, lambda: point_bytes(self.candidates.point(self.index))
        losses = {"index": result.index, "screened" if screening else "loss": result.loss}
        losses |= {f"{name}_" if name in losses else name: column for name, column in result.named.items()}
        yield LOSSES, lambda: parquet_bytes(losses)
        if screening:
            title += f", screened by {screening.screen}"
            columns = {"index": screening.index, "screened": screening.screened, "loss": screening.loss}
            yield VERIFIED, lambda: parquet_bytes(columns)
        yield PICTURE, lambda: losses_png(result, title)
        if self.images:
            yield WEIGHTS, lambda: images_png(self.images, f"{name}: candidate {self.index:,}")

    def message(self) -> str:
        screening, doubts = self.screening, list[str]()
        if screening and screening.sign_of_better:
            doubts.append(
                f"the screen {screening.screen} was wrong by up to {screening.largest_error:.3g}, and the nearest "
                f"unverified candidate seems only {screening.margin:.3g} worse than the best, so a better one may have "
                "been missed. Use a more precise screen, or none."
            )
        if screening and screening.unseen:
            doubts.append(
                f"the screen {screening.screen} failed for {self.result.failures.count:,} candidates. The loss itself "
                f"evaluated the first {MOST_VERIFIED:,} of them and those of the random sample; nothing is known of "
                f"the other {screening.unseen:,}. Correct the screen, or use none."
            )
        what = "screened loss" if screening else ""
        failed = (
            first_failure(self.result.failures, self.candidates, what=what)
            or first_failure(screening.failures if screening else None, self.candidates)
            or first_failure(self.report_result.failures, self.candidates, self.index, "its report")
        )
        return "\n".join(filter(None, [self.ended, *doubts, failed]))

    def picture(self) -> bytes:
        """Draw the losses and the best so far by candidate, as a PNG."""
        return losses_png(self.result, f"{self.items:,} candidates")

    def pictures(self) -> list[Draw]:
        return [self.picture, *([partial(images_png, self.images, "the best weights")] if self.images else [])]

    def __repr__(self) -> str:
        x = ", ".join(f"{name}={show(value)}" for name, value in self.x.items())
        figures = "".join(f", {name}={value:.6g}" for name, value in {**self.named, **self.report}.items())
        failed = sum(self.failures.values())
        tail = f", {failed:,} failed" if failed else ""
        if (screening := self.screening) and (screening.sign_of_better or screening.unseen):
            tail += ", a better one is possible"
        of_all = f"candidate {self.index:,} of {self.items:,}"
        return f"SearchAnswer(loss={self.loss:.8g}, x={{{x}}}{figures}, {of_all}{tail})"


class SearchProgress(Progress):
    """Shows the fields that a hand-written search loop prints: attempt, loss, best loss."""

    def __init__(self, total: int, candidates: Candidates, *, maximize: bool = False) -> None:
        super().__init__(total)
        self.loss, self.index = float("nan"), -1
        self._candidates, self._maximize, self._latest = candidates, maximize, float("nan")

    def see(self, part: Part) -> None:
        finite = part.columns["loss"][np.isfinite(part.columns["loss"])]
        self._latest = float(finite[-1]) if len(finite) else self._latest
        sign = -1 if self._maximize else 1
        best = (part.columns[name][:1].tolist() for name in ("best_loss", "best_index"))
        for loss, index in zip(*best, strict=True):  # none, if all failed
            if self.index < 0 or (sign * loss, index) < (sign * self.loss, self.index):
                self.loss, self.index = loss, index

    def words(self) -> str:
        extreme = "MaxLoss" if self._maximize else "MinLoss"
        return f"Attempt {self.done:,} | Loss {self._latest:.4f} | {extreme} {self.loss:.4f} at {self.index:,}"

    def best(self) -> Best | None:
        return Best(self.loss, self.index, self._candidates, self._maximize) if self.index >= 0 else None


class SearchCurve:
    """Charts each new best and a sample of the losses, about a thousand at most."""

    def __init__(self, items: int, sign: int = 1, name: str = "loss") -> None:
        self._name = name
        self._stride = 1 << max(0, (items - 1).bit_length() - POINTS_LOG2)
        self._best, self._sign = float("nan"), sign

    def points(self, part: Part, times: Times) -> list[MetricPoint]:
        points, columns = self._losses(part, times), part.columns
        for step, loss in zip(columns["low_index"].tolist(), columns["low_loss"].tolist(), strict=True):
            if self._improves(loss):
                points.append(MetricPoint(f"{self._name}/best", loss, step, times.at(step)))
        return points

    def retried(self, part: Part, times: Times) -> list[MetricPoint]:
        """Return the losses of retried candidates. A new best shows only in the last point: MLflow cannot withdraw
        points that turn out to be wrong."""
        for loss in part.columns["low_loss"][-1:].tolist():
            self._improves(loss)
        return self._losses(part, times)

    def end(self, items: int, time: int) -> list[MetricPoint]:
        """Return a final point, so that the line of the best so far reaches the last candidate."""
        return [MetricPoint(f"{self._name}/best", self._best, items - 1, time)] if np.isfinite(self._best) else []

    def _improves(self, loss: float) -> bool:
        """Store a loss if it is better than the best so far; return whether it was."""
        if self._sign * loss >= self._sign * self._best:
            return False
        self._best = loss
        return True

    def _losses(self, part: Part, times: Times) -> list[MetricPoint]:
        loss, index = part.columns["loss"], kept_indices(part.items)
        chosen = (index % self._stride == 0) & np.isfinite(loss)
        return [
            MetricPoint(self._name, loss, step, times.at(step))
            for step, loss in zip(index[chosen].tolist(), loss[chosen].tolist(), strict=True)
        ]


DOTS = 20_000


@plain_style
def losses_png(result: SearchResult, title: str) -> bytes:
    """Draw losses by index as dots, about `DOTS` at most, with the best so far as a line."""
    finite = np.isfinite(result.loss)
    index, loss = result.index[finite], result.loss[finite]
    stride = 1 + len(index) // DOTS
    figure = new_figure(8, 4.5)
    axes = figure.add_subplot()
    label = f"loss (1 in {stride:,} shown)" if stride > 1 else "loss"
    axes.plot(index[::stride], loss[::stride], ".", markersize=2, color="0.65", label=label, rasterized=True)
    steps = np.append(result.incumbent_index, result.items - 1)
    incumbents = np.append(result.incumbent_loss, result.incumbent_loss[-1])
    axes.step(
        steps, incumbents, where="post", color="C3", label="largest so far" if result.maximize else "smallest so far"
    )
    axes.plot(result.best_index[0], result.best_loss[0], "o", color="C3", markersize=5)
    best = f"{result.best_loss[0]:.6g} at {int(result.best_index[0]):,}"
    above = result.maximize
    axes.annotate(
        best, (result.best_index[0], result.best_loss[0]), (0, 8 if above else -8), textcoords="offset points",
        ha="center", va="bottom" if above else "top", color="C3",
        bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1},
    )  # fmt: skip
    if len(loss):
        # A few losses far from the rest would leave no room for the others.
        low, high = np.quantile(loss, [0.005, 1] if result.maximize else [0, 0.995])
        room = 0.1 * (high - low) or 1.0
        if np.isfinite([low - room, high + room]).all():
            axes.set_ylim(low - room, high + room)
    axes.set(xlabel="candidate", ylabel="loss", title=title)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.legend(loc="lower right" if result.maximize else "upper right", framealpha=0.9)
    return png(figure)
