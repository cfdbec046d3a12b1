"""The progress of a gradient."""

import numpy as np

from optitrip.core.method import Method
from optitrip.core.observer import Progress
from optitrip.core.part import Part
from optitrip.methods.gradient.method import Gradient
from optitrip.output.text import compact


class GradientProgress(Progress):
    """Counts coordinates, and shows the latest loss."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self._column, self._latest = "", float("nan")

    def stage(self, method: Method) -> None:
        super().stage(method)
        self._column = method.loss_column if isinstance(method, Gradient) else ""

    def count(self, items: range) -> int:
        return len(items) - (items.start == 0)  # x itself is not a coordinate

    def see(self, part: Part) -> None:
        losses = part.columns[self._column]
        finite = losses[np.isfinite(losses)]
        self._latest = float(finite[-1]) if len(finite) else self._latest

    def few_words(self) -> str:
        return f"Coordinate {compact(self.done)} of {compact(self.total)} | Loss {self._latest:.10g}"

    def words(self) -> str:
        return f"Coordinate {self.done:,} of {self.total:,} | Loss {self._latest:.10g}"
