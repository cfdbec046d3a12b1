"""Answers: what a sweep found, with all that is shown, tracked and kept of it. One file a method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from optitrip.core.arrays import Array

Rows = list[tuple[str, str]]
Table = tuple[list[str], list[list[str]]]
"""The headings of columns, and rows below them."""
File = tuple[str, Callable[[], bytes]]
"""A name, and what makes the contents."""


class Answer(Protocol):
    """Frozen. A route makes it of the results of its stages."""

    @property
    def items(self) -> int:
        """How many items it covers."""
        ...

    @property
    def failures(self) -> Mapping[str, int]:
        """How many failed, by kind."""
        ...

    @property
    def report(self) -> Mapping[str, float]:
        """The objective's further figures."""
        ...

    def fields(self, folder: Path | None) -> dict[str, Any]:
        """What --json prints of it; `folder` is where its files are."""
        ...

    def rows(self) -> Rows:
        """The lines of the short table, in words."""
        ...

    @property
    def shown(self) -> Mapping[str, Any]:
        """What the objective may show as pictures."""
        ...

    def with_images(self, images: Mapping[str, Array]) -> Answer:
        """The same with such pictures, by title."""
        ...

    def table(self) -> Table | None:
        """A table below it."""
        ...

    def metrics(self) -> dict[str, float]:
        """What MLflow charts."""
        ...

    def files(self, name: str) -> Iterator[File]:
        """Its files, for a sweep of this name; pictures, which may fail, come last."""
        ...

    def message(self) -> str:
        """What the user must know beside it, e.g. the first failure in the words of the loss; empty if all is well."""
        ...
