"""The answer of a comparison of rules, and its picture."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optitrip.core.arrays import ours
from optitrip.methods.descent.answer import DescentAnswer
from optitrip.methods.points import only
from optitrip.methods.shared import ReportResult
from optitrip.output.curves import COLOURS, Curve, draw_curves
from optitrip.output.formats import point_bytes
from optitrip.output.outcome import Answer, Draw, File, Rows, Table
from optitrip.output.pictures import general, new_figure, nothing, plain_style, png, set_value_axis
from optitrip.output.text import finite, folded

POINT, TABLE, PICTURE = "descent.npz", "rates.csv", "rules.png"
"""Names of the result files."""
GOOD = 0.9
"""Share of the best decrease of a rule from which a rate counts as good."""


@dataclass(frozen=True, eq=False)
class Tuned:
    """The descents of one rule, by rate; rates without an answer are missing."""

    answers: Mapping[float, DescentAnswer]

    @property
    def rate(self) -> float:
        """Best rate, the smallest of equal ones."""
        return min(self.answers, key=lambda rate: self.answers[rate].sign * self.answers[rate].loss)

    @property
    def best(self) -> DescentAnswer:
        """Descent with the best rate."""
        return self.answers[self.rate]

    @property
    def good(self) -> list[float]:
        """Rates with at least 90 % of the decrease of the best."""
        decrease = abs(self.best.first - self.best.loss)
        enough = [rate for rate, one in self.answers.items() if abs(one.first - one.loss) >= GOOD * decrease]
        return sorted(enough)

    @property
    def width(self) -> float:
        """Ratio of the largest to the smallest good rate, in decades."""
        return float(np.log10(self.good[-1] / self.good[0]))


@dataclass(frozen=True, eq=False, repr=False)
class ComparisonAnswer(Answer):
    """The best descent of each rule, and of all."""

    rules: Mapping[str, Tuned]
    reports: Mapping[str, ReportResult]
    """Reports on the best points by rule."""
    sign: int = 1

    @property
    def best_rule(self) -> str:
        """Name of the rule with the best loss, the first of equal ones."""
        return min(self.rules, key=lambda name: self.sign * self.rules[name].best.loss)

    @property
    def best(self) -> DescentAnswer:
        """Best descent."""
        return self.rules[self.best_rule].best

    @property
    def loss(self) -> float:
        """Best loss."""
        return self.best.loss

    @property
    def x(self) -> dict[str, Any]:
        """Parameters of the best point, by name."""
        return self.best.x

    @property
    def items(self) -> int:
        return sum(one.steps for tuned in self.rules.values() for one in tuned.answers.values())

    @property
    def failures(self) -> Mapping[str, int]:
        counts: Counter[str] = Counter()
        for tuned in self.rules.values():
            for one in tuned.answers.values():
                counts.update(one.failures)
        return dict(counts)

    @property
    def report(self) -> Mapping[str, float]:
        found = self.reports.get(self.best_rule)
        return found.figures if found else {}

    @property
    def image_source(self) -> Mapping[str, Any]:
        return self.x

    @property
    def curve(self) -> Curve:
        return self.best.curve

    def fields(self, folder: Path | None) -> dict[str, Any]:
        rules = {
            name: {
                "rate": tuned.rate,
                "loss": tuned.best.loss,
                "good_rates": [tuned.good[0], tuned.good[-1]],
                "decades": tuned.width,
                "report": finite(self.reports[name].figures) if name in self.reports else {},
            }
            for name, tuned in self.rules.items()
        }
        file = str(folder / POINT) if folder else None
        own = {"loss": self.loss, "step": self.best.path.best_step, "rule": self.best_rule, "rules": rules}
        return {"descent": {**own, "file": file}}

    def verdict(self) -> str:
        rate = self.rules[self.best_rule].rate
        return f"loss {self.loss:.8g} by {self.best_rule} at a rate of {rate:.4g}, the best of {len(self.rules)} rules"

    def parameters(self) -> str:
        return self.best.parameters()

    def how_sure(self) -> list[str]:
        tuned = self.rules[self.best_rule]
        return [f"its good rates are {tuned.good[0]:.3g} to {tuned.good[-1]:.3g}"]

    def rows(self) -> Rows:
        return [("best rule", f"{self.best_rule}, rate {self.rules[self.best_rule].rate:.4g}"), *self.best.rows()]

    def table(self) -> Table | None:
        names = list(dict.fromkeys(key for report in self.reports.values() for key in report.figures))[:1]
        rows: list[list[str]] = []
        for name, tuned in self.rules.items():
            good = f"{tuned.good[0]:.3g} to {tuned.good[-1]:.3g}"
            figures = self.reports[name].figures if name in self.reports else {}
            shown = [f"{figures[key]:.4g}" if key in figures else "" for key in names]
            rows.append([name, f"{tuned.rate:.3g}", f"{tuned.best.loss:.6g}", good, f"{tuned.width:.1f}", *shown])
        heads = ["rule", "best rate", "loss", "good rates", "decades", *(key.replace("_", " ") for key in names)]
        return heads, rows

    def metrics(self) -> dict[str, float]:
        found = {"loss": self.loss}
        for name, tuned in self.rules.items():
            found |= {f"{name}/loss": tuned.best.loss, f"{name}/rate": tuned.rate, f"{name}/decades": tuned.width}
        return found

    def labels(self) -> dict[str, str]:
        return {"descent/best_rule": self.best_rule}

    def files(self, name: str) -> Iterator[File]:
        yield POINT, lambda: point_bytes(only(self.best.best).point(0))
        yield TABLE, self._csv
        yield PICTURE, lambda: self.picture(name)

    def _csv(self) -> bytes:
        lines = ["rule,rate,loss,steps,ended"]
        for name, tuned in self.rules.items():
            for rate, one in tuned.answers.items():
                ended = one.ended.replace('"', "'")
                lines.append(f'{name},{rate!r},{one.loss!r},{one.steps},"{ended}"')
        return ("\n".join(lines) + "\n").encode()

    def picture(self, title: str = "") -> bytes:
        """Draw the loss against the rate, beside the best curve of each rule, as a PNG."""
        return rules_png(self, title)

    def pictures(self) -> list[Draw]:
        return [self.picture]

    def __repr__(self) -> str:
        rules = ", ".join(f"{name}: {tuned.best.loss:.6g} at {tuned.rate:.3g}" for name, tuned in self.rules.items())
        return folded(f"ComparisonAnswer({rules})")


@plain_style
@ours()
def rules_png(answer: ComparisonAnswer, title: str) -> bytes:
    """Draw how wide the valley of each rule is, and how deep."""
    figure = new_figure(11, 4.6)
    figure.suptitle(title, fontsize=11)
    valleys, curves = figure.subplots(1, 2)
    losses = np.array([one.loss for tuned in answer.rules.values() for one in tuned.answers.values()])
    set_value_axis(valleys, losses, best_is_largest=answer.sign < 0)
    for number, (name, tuned) in enumerate(answer.rules.items()):
        rates = sorted(tuned.answers)
        found = [tuned.answers[rate].loss for rate in rates]
        valleys.plot(rates, found, "o-", markersize=3, linewidth=1.2, color=COLOURS[number % len(COLOURS)], label=name)
    valleys.set(xscale="log", xlabel="rate", ylabel="best loss")
    valleys.xaxis.set_major_formatter(general)
    valleys.xaxis.set_minor_formatter(nothing)
    valleys.grid(color="0.92")
    valleys.legend(fontsize=8, frameon=False)
    best = {f"{name} at {tuned.rate:.2g}": tuned.best.curve for name, tuned in answer.rules.items()}
    draw_curves(curves, best, maximize=answer.sign < 0)
    return png(figure)
