"""The answer of a search."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from optitrip.core.arrays import Array
from optitrip.core.failures import Failures
from optitrip.core.names import joined_names
from optitrip.core.notice import Notice, info
from optitrip.methods.importance import Importance, ranked
from optitrip.methods.search.best import BEST, Best
from optitrip.methods.search.method import SearchResult
from optitrip.methods.search.picture import losses_png, staircase
from optitrip.methods.search.recheck import Rechecked
from optitrip.methods.search.report import report_html, reported
from optitrip.methods.search.rungs import Halved
from optitrip.methods.search.rungs_picture import rungs_png
from optitrip.methods.search.screening import MOST_VERIFIED, Screening
from optitrip.methods.search.table import Candidate, CandidateTable
from optitrip.methods.search.words import constraints_met, how_sure
from optitrip.methods.shared import ReportResult
from optitrip.output.curves import Curve
from optitrip.output.formats import point_bytes
from optitrip.output.outcome import Answer, BestItem, Draw, File, Rows, Table, figure_rows
from optitrip.output.pictures import images_png
from optitrip.output.tables import csv_bytes, data_frame, failures_csv, parquet_bytes
from optitrip.output.text import finite, first_failure, folded, reasons, show
from optitrip.space.variables import arguments

CANDIDATES, VERIFIED, TOP, FAILURES = "candidates.parquet", "verified.parquet", "best.csv", "failures.csv"
RECHECKED, RUNGS, RUNGS_PICTURE = "rechecked.csv", "rungs.csv", "rungs.png"
PICTURE, WEIGHTS, REPORT = "losses.png", "weights.png", "report.html"
"""Names of the result files."""
IN_TOP, MOST_ENTRIES = 100, 2**26
"""Number of candidates in `best.csv`, and most entries of variables, half a gigabyte, in `candidates.parquet`."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SearchAnswer(Best, Answer):
    """The best of all candidates, and the losses of the others."""

    result: SearchResult
    screening: Screening | None
    """Verification of the best candidates, if they were screened; then the stored losses are the surrogate's."""
    halved: Halved | None = None
    """Rungs, if bad candidates were stopped early; then the stored losses are those of the first rungs."""
    recheck: Rechecked | None = None
    """Best candidates that were evaluated again, if the search does so; then losses of the best are means."""
    report_result: ReportResult
    """Report on the best candidate; empty if the objective offers none."""
    word: str = "loss"
    """The user's name of what is minimised or maximised, for the axes of pictures."""
    noisy: bool = False
    """True if the loss is random on purpose."""
    ended: str = ""
    """Reason for an early end; empty if all candidates were evaluated."""

    @property
    def losses(self) -> Array:
        """Stored losses, the surrogate's if the search screened, those of the first rungs if it halved, float64: all of
        the first million candidates, then of fewer; not finite where one failed."""
        return self.result.loss

    @property
    def indices(self) -> Array:
        """Candidates of `losses`, int64."""
        return self.result.index

    @property
    def stored(self) -> CandidateTable:
        """Stored candidates as tables."""
        return CandidateTable(self.candidates, self.result, self.screening, halved=self.halved)

    def trials(self) -> Any:
        """Return the stored candidates as a pandas DataFrame: index, loss, other outputs, status, scalar variables."""
        return data_frame(self.stored.all())

    def importance(self) -> dict[str, Importance | None]:
        """Return for each scalar variable the share of the variance of the losses' ranks that it explains alone, with
        standard error, the most important first; None where that cannot be told, e.g. from fewer than 40 candidates.

        From candidates of a searcher, which are not independent, the shares are only indicative.
        """
        return ranked(self.stored.sample())

    def top(self, count: int = 10) -> list[Candidate]:
        """Return loss, index and parameters of the best candidates, the best first. All are compared for the first
        `best` of the search, and for the others those that are stored, or verified if the search screened."""
        return self.stored.top(count)

    @property
    def items(self) -> int:
        return self.result.items

    @property
    def failures(self) -> dict[str, int]:
        counts = Counter(self.result.failures.counts())
        counts.update(self.screening.failures.counts() if self.screening else {})
        for later in (self.halved, self.recheck):
            counts.update(later.failures.counts() if later else {})
        counts["report"] = self.report_result.failures.count
        return {kind: count for kind, count in counts.items() if count}

    def notices(self) -> list[Notice]:
        if (entries := self.stored.entries) <= MOST_ENTRIES:
            return super().notices()
        text = f"{CANDIDATES} leaves out the variables, which have {entries:,} entries; `optitrip table SWEEP -o "
        return [*super().notices(), info("variables-left-out", f"{text}all.parquet` writes them too")]

    def fields(self, folder: Path | None) -> dict[str, Any]:
        fields = super().fields(folder)
        if screening := self.screening:
            figures = finite({"largest_error": screening.largest_error, "margin": screening.margin})
            verified = {"screen": screening.screen, "verified": len(screening.index), "random": screening.random}
            seen = {"sign_of_better": screening.sign_of_better, "unseen": screening.unseen}
            fields["screening"] = {**verified, **figures, **seen}
        if self.candidates.constrained:
            fields["infeasible"] = self.result.infeasible
        if self.halved:
            fields["halving"] = self.halved.fields()
        if recheck := self.recheck:
            figures = finite({"standard_error": float(recheck.errors[0]), "searched": float(recheck.searched[0])})
            counts = {"candidates": len(recheck.index), "repeats": recheck.repeats, "as_good": recheck.as_good}
            fields["recheck"] = {**counts, **figures}
        return fields

    def rows(self) -> Rows:
        rows = [*super().rows(), *figure_rows(self.report)]
        if (most := self.candidates.most) is not None:
            rows.append(("in all", f"{most:,} points"))
        if self.candidates.constrained:
            rows.append(("constraints", constraints_met(self.candidates, self.result)))
        if screening := self.screening:
            rows.append(("screened", f"by {screening.screen}; {screening.summary}"))
        rows += self.halved.rows() if self.halved else []
        if recheck := self.recheck:
            rows += [("rechecked", line) for line in recheck.words()]
        return rows

    def how_sure(self) -> list[str]:
        independent = self.candidates.independent and self.candidates.sampler == "random" and not self.ended
        met = [constraints_met(self.candidates, self.result)] if self.candidates.constrained else []
        if self.recheck:
            halved = [self.halved.cost_words()] if self.halved else []
            return [*self.recheck.how_sure(), *halved, *([self.screening.summary] if self.screening else []), *met]
        if self.halved:
            return [*self.halved.words(), *met]
        return [*how_sure(self.result, self.screening, independent=independent, noisy=self.noisy), *met]

    def table(self) -> Table | None:
        return self.halved.printed() if self.halved else None

    @property
    def curve(self) -> Curve:
        steps, losses = staircase(self.result)
        return Curve(steps + 1.0, losses, staircase=True)

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
        if self.candidates.constrained:
            metrics["infeasible"] = float(self.result.infeasible)
        metrics |= self.halved.metrics() if self.halved else {}
        if recheck := self.recheck:
            metrics |= {
                "recheck/standard_error": float(recheck.errors[0]),
                "recheck/searched": float(recheck.searched[0]),
                "recheck/as_good": float(recheck.as_good),
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
        screening = self.screening
        title = f"{name}: {self.items:,} candidates{', ended early' if self.ended else ''}"
        yield BEST, lambda: point_bytes(self.candidates.point(self.index))
        yield CANDIDATES, lambda: parquet_bytes(self.stored.all(MOST_ENTRIES))
        yield TOP, lambda: csv_bytes(self.stored.best(IN_TOP))
        if screening:
            title += f", screened by {screening.screen}"
            yield VERIFIED, lambda: parquet_bytes(self.stored.verified())
        if halved := self.halved:
            title += f", {len(halved.halving.amounts)} rungs"
            yield RUNGS, lambda: csv_bytes(halved.table())
        if recheck := self.recheck:
            yield RECHECKED, lambda: csv_bytes(recheck.table(self.candidates))
        failures = self.failed_by_stage()
        if any(failed.count for failed in failures.values()):
            yield FAILURES, lambda: failures_csv(failures)
        yield RUNGS_PICTURE if self.halved else PICTURE, lambda: self.drawn(title)
        if reported(self.stored):
            yield REPORT, lambda: report_html(self.stored, title, self.word)
        if self.images:
            yield WEIGHTS, lambda: images_png(self.images, f"{name}: candidate {self.index:,}")

    def failed_by_stage(self) -> dict[str, Failures]:
        """Return the failures of each stage, by its name in tables."""
        first = "screen" if self.screening else "search"
        stages = {first: self.result.failures, "report": self.report_result.failures}
        later = {"verification": self.screening, "rung": self.halved, "recheck": self.recheck}
        return stages | {name: stage.failures for name, stage in later.items() if stage}

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
            or first_failure(self.halved.failures if self.halved else None, self.candidates, what="a later rung")
            or first_failure(self.recheck.failures if self.recheck else None, self.candidates, what="a recheck")
            or first_failure(self.report_result.failures, self.candidates, self.index, "its report")
        )
        return "\n".join(filter(None, [self.ended, *doubts, failed]))

    def reasons(self) -> list[str]:
        return reasons(*self.failed_by_stage().values())

    def picture(self) -> bytes:
        """Draw the losses and the best so far by candidate, or the losses by rung, as a PNG."""
        return self.drawn(f"{self.items:,} candidates")

    def drawn(self, title: str) -> bytes:
        """Draw the picture under a title."""
        if self.halved:
            return rungs_png(self.halved, title, self.word)
        return losses_png(self.result, title, self.word, self.screening, self.recheck)

    def pictures(self) -> list[Draw]:
        return [self.picture, *([partial(images_png, self.images, "the best weights")] if self.images else [])]

    def __repr__(self) -> str:
        x = ", ".join(f"{name}={show(value)}" for name, value in self.x.items())
        figures = "".join(f", {name}={value:.6g}" for name, value in {**self.named, **self.report}.items())
        failed = sum(self.failures.values())
        tail = f", {failed:,} failed" if failed else ""
        if recheck := self.recheck:
            tail += f", mean of {recheck.repeats} with standard error {recheck.errors[0]:.3g}"
        tail += f", {self.halved.cost_words()}" if self.halved else ""
        if (screening := self.screening) and (screening.sign_of_better or screening.unseen):
            tail += ", a better one is possible"
        of_all = f"candidate {self.index:,} of {self.items:,}"
        return folded(f"SearchAnswer(loss={self.loss:.8g}, x={{{x}}}{figures}, {of_all}{tail})")
