"""The progress of a search that stops bad candidates early."""

import numpy as np

from optitrip.core.method import Method
from optitrip.core.part import Part
from optitrip.loss.rung import shown
from optitrip.methods.search.halving import Rung
from optitrip.methods.search.halving_table import Halving
from optitrip.methods.search.progress import SearchProgress
from optitrip.output.text import compact, figure
from optitrip.space.candidates import Candidates

FIRST = "first-rung"
"""Name of the losses of the first rungs."""


class RungsProgress(SearchProgress):
    """Shows the rung; candidates are counted in the first ones, so that each counts once."""

    def __init__(self, total: int, candidates: Candidates, halving: Halving, *, maximize: bool = False) -> None:
        super().__init__(total, candidates, maximize=maximize, measure=FIRST)
        self._halving = halving
        self._rung: Rung | None = None
        self._in_rung, self._anew = 0, False

    def stage(self, method: Method) -> None:
        super().stage(method)
        self._rung = method if isinstance(method, Rung) else None
        if self._rung is not None:
            self.is_main, self._in_rung, self._anew = True, 0, True

    def count(self, items: range) -> int:
        return 0 if self._rung is not None else len(items)

    def see(self, part: Part) -> None:
        rung = self._rung
        if rung is None:
            super().see(part)
            return
        self._in_rung += len(part.items)
        sign = -1 if self._maximize else 1
        for item, loss in zip(part.items, part.columns["loss"].tolist(), strict=True):
            if not np.isfinite(loss):
                continue
            self._latest, index = loss, rung.indices[item]
            if self._anew or (sign * loss, index) < (sign * self.loss, self.index):
                self._before = self.loss
                self.loss, self.index, self._anew = loss, index, False
                self._measure = f"rung-{rung.level + 1}"

    @property
    def _level(self) -> int:
        return 0 if self._rung is None else self._rung.level

    def words(self) -> str:
        level, count = self._level, len(self._halving.amounts)
        where = f"Rung {level + 1} of {count}"
        if self._rung is None:
            return f"{where} | {super().words()}"
        amount = f"{self._halving.argument} {shown(self._halving.amounts[level])}"
        done = f"{self._in_rung:,} of {self._rung.items:,}"
        return f"{where}, {amount} | {done} | Loss {figure(self._latest)} | {self._best_words()}"

    def few_words(self) -> str:
        where = f"Rung {self._level + 1} of {len(self._halving.amounts)}"
        done = compact(self.done) if self._rung is None else f"{compact(self._in_rung)} of {compact(self._rung.items)}"
        return f"{where} | {done} | {self._best_words()}"
