"""The candidates of a search as tables: all that are stored, and the best."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, Column
from optitrip.methods.importance import Sample, most_used
from optitrip.methods.search.method import SearchResult
from optitrip.methods.search.rungs import Halved
from optitrip.methods.search.screening import Screening
from optitrip.methods.search.status import status_of
from optitrip.output.tables import merged_columns
from optitrip.space.candidates import Candidates
from optitrip.space.columns import ranking_columns, scalar_columns, scalars
from optitrip.space.variables import arguments


@dataclass(frozen=True)
class Candidate:
    """One of the best candidates."""

    loss: float
    index: int
    x: dict[str, Any]
    """Parameters by name, as passed to the loss."""


@dataclass(frozen=True, eq=False)
class CandidateTable:
    """The stored candidates of a search, with the scalar variables drawn again. An array, for which a table has no
    room, is reached by the candidate's index: `candidates.point(index)`."""

    candidates: Candidates
    result: SearchResult
    screening: Screening | None = None
    measure: str = "loss"
    """Name of the losses; "screened" for those of a surrogate before the best are verified."""
    halved: Halved | None = None
    """Rungs, if bad candidates were stopped early; then each has the loss of its last rung."""

    def all(self, most: int | None = None) -> dict[str, Column]:
        """Return index, loss, status, other outputs and scalar variables of all stored candidates. If they were
        screened, `screened` is the surrogate's loss, in place of `loss`. The variables are left out if they have more
        than `most` entries."""
        result, halved = self.result, self.halved
        drawn = {} if most and self.entries > most else scalar_columns(self.candidates, result.index)
        if halved:
            losses = {"index": result.index, "loss": halved.last_rungs["loss"], **halved.reached(result.index)}
            return merged_columns(losses, {"status": halved.status()}, halved.named, drawn)
        losses = {"index": result.index, "screened" if self.screening else self.measure: result.loss}
        told = {"status": status_of(result)}
        return merged_columns(losses, told, result.named, drawn)

    @property
    def entries(self) -> int:
        """Number of entries of scalar variables."""
        return len(self.result.index) * len(scalars(self.candidates.space))

    def sample(self) -> Sample:
        """Return the candidates by which variables are ranked: the first ones that were drawn and did not fail."""
        space, result = self.candidates.space, self.result
        drawn = [v.name for v in scalars(space) if v.distribution.drawn]
        rows = np.flatnonzero(np.isfinite(result.loss) & self.drawn(result.index))[: most_used(len(drawn))]
        columns = ranking_columns(self.candidates, result.index[rows])
        found = {name: columns[name] for name in drawn if name in columns}
        others = [variable for variable in space.variables if variable.name not in found]
        return Sample(
            columns=found,
            losses=result.loss[rows],
            failed=result.failures.count,
            left_out={v.name: "an array" if v.shape and v.distribution.drawn else "constant" for v in others},
            independent=self.independent,
            measure="screened" if self.screening else self.measure,
        )

    @property
    def independent(self) -> bool:
        """True if there are candidates that were drawn without regard to the losses of others."""
        return self.candidates.draws and not (self.candidates.given and self.candidates.given.alone)

    def drawn(self, index: Array) -> Array:
        """Return which candidates importance is estimated from, bool: not the first ones, if a person gave these."""
        return index >= (self.candidates.given_count if self.independent else 0)

    def verified(self) -> dict[str, Column]:
        """Return index, screened loss, loss, other outputs and scalar variables of the verified candidates."""
        screening = self.screening
        if screening is None:
            return {}
        losses = {"index": screening.index, "screened": screening.screened, "loss": screening.loss}
        return merged_columns(losses, screening.named, scalar_columns(self.candidates, screening.index))

    def best(self, count: int) -> dict[str, Column]:
        """Return index, loss, other outputs and scalar variables of the best candidates, the best first."""
        index, loss, named = self.ranked(count)
        losses = {"index": index, self.measure: loss, **(self.halved.reached(index) if self.halved else {})}
        return merged_columns(losses, named, scalar_columns(self.candidates, index))

    def top(self, count: int) -> list[Candidate]:
        index, loss, _ = self.ranked(count)
        return [
            Candidate(value, n, arguments(self.candidates.point(n), 0))
            for n, value in zip(index.tolist(), loss.tolist(), strict=True)
        ]

    def ranked(self, count: int) -> tuple[Array, Array, dict[str, Array]]:
        """Return index, loss and other outputs of the best candidates: first the best few of all, then the best of the
        others that are stored; of screened ones only those that were verified, and of halved ones those that got
        furthest."""
        if self.halved:
            return self.halved.ranked(count)
        count = max(count, 0)
        result, screening = self.result, self.screening
        index, loss, named = (
            (screening.index, screening.loss, screening.named)
            if screening
            else (result.index, result.loss, result.named)
        )
        key = np.where(np.isfinite(loss) & ~np.isin(index, result.best_index), loss, np.nan)
        rows = best_rows(-key if result.maximize else key, max(count - len(result.best_index), 0))
        return (
            np.concatenate([result.best_index, index[rows]])[:count],
            np.concatenate([result.best_loss, loss[rows]])[:count],
            {name: np.concatenate([result.best_named[name], column[rows]])[:count] for name, column in named.items()},
        )


def best_rows(key: Array, count: int) -> Array:
    """Return the rows of the smallest numbers, ties in order of rows; NaN is left out."""
    rows = np.flatnonzero(np.isfinite(key))
    if len(rows) > count > 0:
        rows = rows[key[rows] <= np.partition(key[rows], count - 1)[count - 1]]
    return rows[np.argsort(key[rows], kind="stable")][:count]
