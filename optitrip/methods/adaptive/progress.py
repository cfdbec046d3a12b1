"""The progress of an adaptive search and its chart."""

from dataclasses import replace

from optitrip.core.method import Method
from optitrip.core.observer import MetricPoint, Times
from optitrip.core.part import Part
from optitrip.methods.adaptive.batch import Batch
from optitrip.methods.search.best import Best
from optitrip.methods.search.progress import SearchCurve, SearchProgress


class AdaptiveProgress(SearchProgress):
    """Shows what the progress of a search shows, over all batches."""

    _stage: Batch | None = None
    _best_stage: Batch | None = None

    def stage(self, method: Method) -> None:
        super().stage(method)
        self._stage = method if isinstance(method, Batch) else None

    def see(self, part: Part) -> None:
        if self._stage is None:
            return
        before = self.index
        super().see(self._stage.numbered(part))
        if self.index != before:
            self._best_stage = self._stage

    def best(self) -> Best | None:
        found = super().best()
        if found is None or self._best_stage is None:
            return None
        return replace(found, candidates=self._best_stage.asked)


class AdaptiveCurve(SearchCurve):
    """Charts the best so far of one batch, given the best before it."""

    def __init__(self, stage: Batch) -> None:
        super().__init__(stage.search.sign)
        self._stage = stage
        if stage.best_before is not None:
            self._best, self._step, self._steps = stage.best_before, stage.first - 1, 1

    def points(self, part: Part, times: Times) -> list[MetricPoint]:
        first = self._stage.first
        moved = Times([first + start for start in times.starts], times.written)
        return super().points(self._stage.numbered(part), moved)
