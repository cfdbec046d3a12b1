"""Answers: the result of a sweep with all that is shown, tracked and stored of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from optitrip.core.arrays import Array
from optitrip.output.figures import html
from optitrip.output.text import figure

Rows = list[tuple[str, str]]
Table = tuple[list[str], list[list[str]]]
"""The headings of columns, and the rows below them."""
Draw = Callable[[], bytes]
"""A function that returns the contents of a file, e.g. a picture."""
File = tuple[str, Draw]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Answer(ABC):
    """The base class of answers, one a method; an answer overrides what it has more of than nothing."""

    images: Mapping[str, Array] = field(default_factory=dict[str, Array])
    """Images of `image_source` by title, if the objective can draw them."""

    @property
    @abstractmethod
    def items(self) -> int:
        """The number of items that it covers."""

    @property
    @abstractmethod
    def failures(self) -> Mapping[str, int]:
        """The number of failures by kind."""

    @abstractmethod
    def fields(self, folder: Path | None) -> dict[str, Any]:
        """Return the answer for --json; `folder` is where its files are."""

    @abstractmethod
    def rows(self) -> Rows:
        """Return the lines of the short table, in words."""

    @abstractmethod
    def files(self, name: str) -> Iterator[File]:
        """Yield its files, for a sweep of this name; pictures, which may fail, come last."""

    @property
    def report(self) -> Mapping[str, float]:
        """The objective's further figures."""
        return {}

    @property
    def image_source(self) -> Mapping[str, Any]:
        """Values by variable that the objective may turn into images."""
        return {}

    def with_images(self, images: Mapping[str, Array]) -> Self:
        return replace(self, images=images)

    def table(self) -> Table | None:
        """Return a table to print below the answer."""
        return None

    def metrics(self) -> dict[str, float]:
        """Return the figures that MLflow charts."""
        return {}

    def message(self) -> str:
        """Return what the user must know, e.g. the first failure as the loss raised it; empty if all is well."""
        return ""

    def pictures(self) -> list[Draw]:
        """Return functions that draw the pictures of a notebook."""
        return []

    def _repr_html_(self) -> str:
        return html(repr(self), self.pictures())


def figure_rows(figures: Mapping[str, float]) -> Rows:
    """Return a line of the short table for each figure."""
    return [(name.replace("_", " "), figure(name, value)) for name, value in figures.items()]
