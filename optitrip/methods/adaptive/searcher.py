"""The interface of a searcher: one of another library's by name, or the user's own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from threadpoolctl import ThreadpoolController

from optitrip.core.arrays import Array
from optitrip.core.differences import nearest
from optitrip.errors import NoAnswer
from optitrip.loss.loading import find_loss
from optitrip.methods.adaptive.cube import Cube
from optitrip.methods.adaptive.searchers import SEARCHERS
from optitrip.methods.own import is_reference
from optitrip.runtime.interrupts import failure
from optitrip.runtime.tracebacks import with_trace


class Searcher(Protocol):
    """Asks for points of the unit cube, and is told their losses, in turn. It must be deterministic: a resumed search
    makes it anew and tells it what is stored."""

    def ask(self, count: int) -> Any:
        """Return `count` points, an array of shape (count, coordinates) with entries from 0 to 1."""
        ...

    def tell(self, points: Array, losses: Array) -> None:
        """Learn from the points that were asked for last.

        Args:
            points: the array that `ask` returned.
            losses: float64 of shape (count,), smaller is better; NaN where the loss failed.
        """
        ...


@dataclass(frozen=True)
class SearcherChoice:
    """How a searcher is made: a name, and a function of cube, seed and batch size with its options."""

    name: str
    make: Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def begin(self, cube: Cube, seed: int, batch: int) -> "Guarded":
        """Make the searcher; raise NoAnswer, with the traceback, if that fails."""
        made = called(self.name, "making", lambda: self.make(cube, seed, batch, **self.options))
        return Guarded(self.name, made, ThreadpoolController())


class Guarded:
    """Calls a searcher with one thread of BLAS, so that its bits depend less on the machine, and checks its points."""

    def __init__(self, name: str, searcher: Searcher, libraries: ThreadpoolController) -> None:
        self._name, self._searcher, self._libraries = name, searcher, libraries

    def ask(self, count: int, size: int) -> Array:
        """Return points of shape (count, size); raise NoAnswer, with the traceback, if the searcher returns none."""

        def asked() -> Array:
            points = np.array(self._searcher.ask(count), np.float64)
            if points.shape != (count, size):
                raise ValueError(f"ask returned an array of shape {points.shape}; wanted {(count, size)}")
            if not ((points >= 0) & (points <= 1)).all():
                raise ValueError("ask returned numbers that are not from 0 to 1")
            return points

        return self._alone("ask of", asked)

    def tell(self, points: Array, losses: Array) -> None:
        """Tell the searcher losses, not finite where one failed; raise NoAnswer, with the traceback, if it fails."""
        told = np.where(np.isfinite(losses), losses, np.nan)
        self._alone("tell of", lambda: self._searcher.tell(points.copy(), told))

    def _alone(self, what: str, call: Callable[[], Any]) -> Any:
        with self._libraries.limit(limits=1):
            return called(self._name, what, call)


def called(name: str, what: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except BaseException as raised:
        raise NoAnswer(with_trace(f"{what} the searcher {name} raised", failure(raised))) from None


def check_searcher(searcher: Any, cube: Cube, batch: int) -> None:
    """Raise ValueError, with what was wanted, for a searcher that is none, whose package is not installed, or that does
    not suit the space or the batch."""
    if callable(searcher):
        return
    if not isinstance(searcher, str):
        raise ValueError(f"was {searcher!r}; wanted the name of a searcher, or module:name of your own")
    if is_reference(searcher):
        return
    if searcher not in SEARCHERS:
        raise ValueError(f"was {searcher!r}; {nearest(searcher, list(SEARCHERS))}, or module:name of your own")
    if find_spec(searcher) is None:
        raise ValueError(
            f"was {searcher!r}, whose package {searcher!r} is not installed; install it, or optitrip[{searcher}]"
        )
    if (check := getattr(named(searcher), "check", None)) is not None:
        check(cube, batch)


def named(searcher: str) -> Any:
    """Import one of optitrip's searchers."""
    module, _, name = SEARCHERS[searcher].partition(":")
    return getattr(import_module(module), name)


def searcher_of(searcher: Any, options: Mapping[str, Any], folder: Path) -> SearcherChoice:
    """Return how a searcher is made; one named as module:name is imported, from `folder` first."""
    if not isinstance(searcher, str):
        return SearcherChoice(getattr(searcher, "__qualname__", type(searcher).__qualname__), searcher, options)
    if is_reference(searcher):
        return SearcherChoice(searcher, find_loss(searcher, folder, "searcher"), options)
    return SearcherChoice(searcher, named(searcher), options)
