"""The answer of a trip."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.notice import Notice
from optitrip.output.curves import Curve, curves_png
from optitrip.output.formats import npz_bytes
from optitrip.output.outcome import Answer, BestItem, Draw, File, Rows, Table
from optitrip.output.strips import strips_png
from optitrip.output.text import finite, folded

POINT, PICTURE, STRIP = "trip.npz", "trip.png", "strip.png"
"""Names of the result files beside those of the legs, which begin with the name of the leg."""
LOSS = "loss"
"""Name of the metric by which legs are compared."""
PERCENT = "accuracy"
"""End of the names of figures that are shares."""
MOST_FIGURES = 2
"""Most figures of reports in the table."""


@dataclass(frozen=True, eq=False, repr=False)
class TripAnswer(Answer):
    """The answers of all legs, by name."""

    legs: Mapping[str, Answer]
    starts: Mapping[str, str]
    """Leg at whose answer each leg started; empty for another point."""
    words: Mapping[str, str]
    """Method of each leg."""
    sign: int = 1
    strips: Mapping[str, Mapping[str, Array]] = field(default_factory=dict[str, Mapping[str, Array]])
    """Images of the parameters, or the negative gradient, that each leg found, by title."""

    def with_images(self, draw: Callable[[Mapping[str, Any]], Mapping[str, Array]]) -> Self:
        strips = {name: draw(answer.image_source) for name, answer in self.legs.items() if answer.image_source}
        return replace(self, strips={name: images for name, images in strips.items() if images})

    @property
    def losses(self) -> dict[str, float]:
        """Loss of each leg's answer."""
        return {name: answer.metrics()[LOSS] for name, answer in self.legs.items() if LOSS in answer.metrics()}

    @property
    def best_leg(self) -> str:
        """Name of the leg with the best loss, the first of equal ones."""
        return min(self.losses, key=lambda name: self.sign * self.losses[name])

    @property
    def loss(self) -> float:
        """Best loss."""
        return self.losses[self.best_leg]

    @property
    def best(self) -> Any:
        """Answer of the best leg."""
        return self.legs[self.best_leg]

    @property
    def x(self) -> dict[str, Any]:
        """Parameters of the best leg's answer, by name."""
        return self.best.x

    @property
    def items(self) -> int:
        return len(self.legs)

    @property
    def failures(self) -> Mapping[str, int]:
        counts: Counter[str] = Counter()
        for answer in self.legs.values():
            counts.update(answer.failures)
        return dict(counts)

    @property
    def report(self) -> Mapping[str, float]:
        return self.best.report

    @property
    def image_source(self) -> Mapping[str, Any]:
        return self.best.image_source

    @property
    def curves(self) -> dict[str, Curve]:
        """Curve of each leg, behind the evaluations of the legs that led to its start."""
        before: dict[str, float] = {}
        found: dict[str, Curve] = {}
        for name, answer in self.legs.items():
            begun = before.get(self.starts[name], 0.0)
            curve = answer.curve
            before[name] = begun
            if curve is not None and len(curve.evaluations):
                found[name] = curve.after(begun)
                before[name] = float(found[name].evaluations[-1])
        return found

    def fields(self, folder: Path | None) -> dict[str, Any]:
        legs = {
            name: {**with_prefix(answer.fields(folder), name, folder), "report": finite(answer.report)}
            for name, answer in self.legs.items()
        }
        file = str(folder / POINT) if folder else None
        return {"trip": {"loss": self.loss, "leg": self.best_leg, "file": file, "legs": legs}}

    def verdict(self) -> str:
        return f"loss {self.loss:.8g} by {self.best_leg}"

    def parameters(self) -> str:
        return self.best.parameters()

    def how_sure(self) -> list[str]:
        return self.best.how_sure()

    def rows(self) -> Rows:
        return [("best leg", self.best_leg), *self.best.rows()]

    def table(self) -> Table | None:
        names = list(dict.fromkeys(name for answer in self.legs.values() for name in answer.report))[:MOST_FIGURES]
        rows: list[list[str]] = []
        for name, answer in self.legs.items():
            curve = answer.curve
            spent = f"{curve.evaluations[-1]:,.0f}" if curve is not None and len(curve.evaluations) else ""
            loss = f"{self.losses[name]:.6g}" if name in self.losses else ""
            shown = [shown_figure(key, answer.report.get(key)) for key in names]
            rows.append([name, self.words[name], spent, loss, *shown])
        return ["leg", "method", "evaluations", LOSS, *(name.replace("_", " ") for name in names)], rows

    def metrics(self) -> dict[str, float]:
        found = {LOSS: self.loss}
        for name, answer in self.legs.items():
            own = {**answer.metrics(), **answer.report}
            found |= {f"{name}/{key.rpartition('/')[2]}": value for key, value in own.items()}
        return found

    def labels(self) -> dict[str, str]:
        return {"trip/best_leg": self.best_leg}

    def best_items(self, count: int) -> list[BestItem]:
        found: list[BestItem] = []
        for number, (name, answer) in enumerate(self.legs.items()):
            values = {"method": self.words[name], "starts_at": self.starts[name] or "its own point"}
            figures = {**answer.metrics(), **finite_only(answer.report)}
            found.append(BestItem(number, name, values, figures))
        return found[:count]

    def files(self, name: str) -> Iterator[File]:
        pictures: list[File] = []
        yield POINT, lambda: npz_bytes({name: np.asarray(value) for name, value in self.x.items()})
        for leg, answer in self.legs.items():
            for file, make in answer.files(f"{name}, {leg}"):
                own = (f"{leg}.{file}", make)
                if file.endswith(".png"):
                    pictures.append(own)
                else:
                    yield own
        yield PICTURE, lambda: self.picture(f"{name}: {self.items:,} legs")
        if self.strips:
            yield STRIP, lambda: strips_png(self._titled_strips, name)
        yield from pictures

    @property
    def _titled_strips(self) -> dict[str, Mapping[str, Array]]:
        """Images of each leg, under its name with the first figure of its report."""
        found: dict[str, Mapping[str, Array]] = {}
        for name, images in self.strips.items():
            key, value = next(iter(self.legs[name].report.items()), ("", None))
            found[f"{name}\n{key.replace('_', ' ')}\n{shown_figure(key, value)}" if key else name] = images
        return found

    def picture(self, title: str = "") -> bytes:
        """Draw the losses of all legs against their evaluations on one page, as a PNG."""
        return curves_png(self.curves, title, maximize=self.sign < 0)

    def pictures(self) -> list[Draw]:
        return [self.picture]

    def notices(self) -> list[Notice]:
        return [
            Notice(notice.level, notice.code, f"leg {name!r}: {notice.text}")
            for name, answer in self.legs.items()
            for notice in answer.notices()
        ]

    def message(self) -> str:
        return next((message for answer in self.legs.values() if (message := answer.message())), "")

    def reasons(self) -> list[str]:
        return [line for answer in self.legs.values() for line in answer.reasons()]

    def __repr__(self) -> str:
        legs = ", ".join(f"{name}: {loss:.6g}" for name, loss in self.losses.items())
        return folded(f"TripAnswer({legs}; best leg {self.best_leg})")


def with_prefix(fields: Any, leg: str, folder: Path | None) -> Any:
    """Return fields in which the files of the folder have the name of the leg before their own."""
    if isinstance(fields, dict):
        return {key: with_prefix(value, leg, folder) for key, value in fields.items()}  # pyright: ignore[reportUnknownVariableType]
    if folder is not None and isinstance(fields, str) and fields.startswith(f"{folder}/"):
        return str(folder / f"{leg}.{Path(fields).name}")
    return fields


def finite_only(figures: Mapping[str, float]) -> dict[str, float]:
    """Return the figures that are finite."""
    return {name: value for name, value in figures.items() if finite({name: value})[name] is not None}


def shown_figure(name: str, value: float | None) -> str:
    """Return a figure of a report as text, shares in per cent."""
    if value is None:
        return ""
    return f"{100 * value:.2f} %" if name.endswith(PERCENT) and 0 <= value <= 1 else f"{value:.6g}"
