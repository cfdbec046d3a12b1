"""The stored candidates of an adaptive search, also of one that was stopped, as a table."""

from contextlib import suppress
from typing import Any

import numpy as np

from optitrip.core.part import Part
from optitrip.errors import NoAnswer
from optitrip.loss.objective import Capabilities
from optitrip.methods.adaptive.batch import Batch
from optitrip.methods.adaptive.cube import Asked
from optitrip.methods.adaptive.route import AdaptiveSearch, adaptive_route
from optitrip.methods.search.table import CandidateTable
from optitrip.methods.spec import StoredParts


def stored_candidates(adaptive: AdaptiveSearch, stored: StoredParts) -> CandidateTable | None:
    """Return the candidates of all batches up to the first that is not complete, with those that it has; None without
    any. The searcher is asked and told again."""
    route, result = adaptive_route(adaptive, Capabilities(), agree=False), None
    units: list[Any] = []
    found: list[Part] = []
    with suppress(StopIteration, NoAnswer):
        while True:
            stage = route.send(result)
            parts = stored(stage)
            if isinstance(stage, Batch):
                found += [stage.numbered(part) for part in parts]
                units.append(stage.asked.unit_rows)
            complete = [part.items for part in parts] == [range(stage.items)]
            if not complete and not stage.only_stored:
                break
            result = stage.result(parts[0]) if complete else None
    if not found:
        return None
    search = adaptive.search
    points = Asked(search.points.space, search.points.seed, adaptive.searcher.name, np.concatenate(units))
    return CandidateTable(points, search.gathered(found))
