"""Defaults of the protocol `Answer`, and the parts of answers that several methods share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from optitrip.core.arrays import Array
from optitrip.methods.shared.report import ReportResult
from optitrip.output.answer import Rows, Table
from optitrip.output.figures import html
from optitrip.output.text import figure


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AnswerBase:
    """An answer without further figures, table, metrics, pictures or message; subclasses add what they have."""

    images: Mapping[str, Array] = field(default_factory=dict[str, Array])
    """Pictures of `shown` by title, if the objective can draw them."""
    report_result: ReportResult | None = None
    """The objective's further figures of the point that was found, if it reports anything."""

    @property
    def report(self) -> dict[str, float]:
        """The objective's further figures."""
        return self.report_result.figures if self.report_result else {}

    @property
    def shown(self) -> Mapping[str, Any]:
        return {}

    def with_images(self, images: Mapping[str, Array]) -> Self:
        return replace(self, images=images)

    def table(self) -> Table | None:
        return None

    def metrics(self) -> dict[str, float]:
        return {}

    def message(self) -> str:
        return ""

    def pictures(self) -> list[Callable[[], bytes]]:
        """Return functions that draw the PNG pictures of a notebook."""
        return []

    def _repr_html_(self) -> str:
        return html(repr(self), self.pictures())


def figure_rows(figures: Mapping[str, float]) -> Rows:
    """Return a line of the short table for each figure."""
    return [(name.replace("_", " "), figure(name, value)) for name, value in figures.items()]
