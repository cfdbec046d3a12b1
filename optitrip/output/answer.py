"""Answers: what a sweep found, in all forms in which it is printed, tracked and stored. One file per method."""

# The bodies of a protocol are its docstrings.
# pyright: reportReturnType=false

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from optitrip.core.arrays import Array
from optitrip.core.progress import Partial

Rows = list[tuple[str, str]]
Table = tuple[list[str], list[list[str]]]
"""Headings of columns, and the rows below them."""
File = tuple[str, Callable[[], bytes]]
"""Name of a file, and a function that makes its contents."""


class Answer(Partial, Protocol):
    """The answer of a sweep; frozen. A route makes it from the results of its stages."""

    @property
    def items(self) -> int:
        """Number of items that it covers."""

    @property
    def failures(self) -> Mapping[str, int]:
        """Number of failed items by kind."""

    @property
    def report(self) -> Mapping[str, float]:
        """Further figures of the objective."""

    @property
    def image_source(self) -> Mapping[str, Any]:
        """Values by variable that the objective may turn into images."""

    def with_images(self, images: Mapping[str, Array]) -> Answer:
        """Return the answer with these images, by title."""

    def table(self) -> Table | None:
        """Return a table to be printed below the short one."""

    def metrics(self) -> dict[str, float]:
        """Return the metrics for MLflow."""

    def files(self, name: str) -> Iterator[File]:
        """Yield the files, for a sweep of this name; pictures, which may fail, come last."""

    def message(self) -> str:
        """Return what the user must know beside it, e.g. the first failure as it was raised; empty if all is well."""
