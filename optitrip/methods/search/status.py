"""Outcomes of the candidates of a search, in words."""

import numpy as np

from optitrip.core.arrays import Coded
from optitrip.methods.search.method import INFEASIBLE, SearchResult
from optitrip.output.tables import status


def status_of(result: SearchResult) -> Coded:
    """Return "ok", "infeasible" or the kind of failure for each stored candidate.

    An infeasible one has no loss, and did not fail.
    """
    told = status(result.failures, result.index)
    if not result.infeasible:
        return told
    there = np.isnan(result.loss) & (told.codes == 0)
    return Coded(np.where(there, len(told.words), told.codes).astype(np.int32), [*told.words, INFEASIBLE])


def none_of(result: SearchResult) -> str:
    """Return why a search has no best candidate."""
    if not result.feasible:
        hint = "loosen `where`, or change the space"
        return f"none of the {result.items:,} candidates is feasible, so that none was evaluated; {hint}"
    infeasible = f" ({result.infeasible:,} others are infeasible)" if result.infeasible else ""
    return f"none of the {result.feasible:,} candidates{infeasible} has a finite loss"
