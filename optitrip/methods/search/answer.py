"""The answer of a search."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from optitrip.core.arrays import Array
from optitrip.core.names import joined_names
from optitrip.methods.search.best import BEST, Best
from optitrip.methods.search.method import SearchResult
from optitrip.methods.search.picture import losses_png
from optitrip.methods.search.screening import MOST_VERIFIED, Screening
from optitrip.methods.search.words import how_sure
from optitrip.methods.shared import ReportResult
from optitrip.output.formats import images_png, parquet_bytes, point_bytes
from optitrip.output.outcome import Answer, BestItem, Draw, File, Rows, figure_rows
from optitrip.output.text import finite, first_failure, show
from optitrip.space.variables import arguments

LOSSES, PICTURE, VERIFIED, WEIGHTS = "losses.parquet", "losses.png", "verified.parquet", "weights.png"
"""Names of the result files."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SearchAnswer(Best, Answer):
    """The best of all candidates, and the losses of the others."""

    result: SearchResult
    screening: Screening | None
    """Verification of the best candidates, if they were screened; then the stored losses are the surrogate's."""
    report_result: ReportResult
    """Report on the best candidate; empty if the objective offers none."""
    noisy: bool = False
    """True if the loss is random on purpose."""
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

    def how_sure(self) -> list[str]:
        independent = self.candidates.sampler == "random" and not self.ended
        return how_sure(self.result, self.screening, independent=independent, noisy=self.noisy)

    @property
    def report(self) -> dict[str, float]:
        return self.report_result.figures

    @property
    def image_source(self) -> Mapping[str, Any]:
        return self.x

    def metrics(self) -> dict[str, float]:
        metrics = super().metrics()
        if screening := self.screening:
            metrics |= {
                "screening/largest_error": screening.largest_error,
                "screening/margin": screening.margin,
                "screening/verified": float(len(screening.index)),
                "screening/random": float(screening.random),
                "screening/unseen": float(screening.unseen),
            }
        return metrics

    def best_items(self, count: int) -> list[BestItem]:
        result, scalars = self.result, [v.name for v in self.candidates.space.varied if not v.shape]
        found: list[BestItem] = []
        for place, index in enumerate(result.best_index[:count].tolist()):
            values = arguments({name: self.candidates.point(index)[name] for name in scalars}, 0)
            named = {name: float(column[place]) for name, column in result.best_named.items()}
            metrics = joined_names({"loss": float(result.best_loss[place])}, named)
            found.append(BestItem(index, f"candidate {index:,}", values, metrics))
        return found

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
