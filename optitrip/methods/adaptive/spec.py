"""The [method] table of an adaptive search, and its descriptor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from optitrip.core.arrays import Column
from optitrip.core.method import Method, Route
from optitrip.core.point import Point
from optitrip.core.table import Table
from optitrip.errors import Invalid
from optitrip.loss.objective import Capabilities
from optitrip.methods.adaptive.batch import Batch
from optitrip.methods.adaptive.cube import Cube
from optitrip.methods.adaptive.progress import AdaptiveCurve, AdaptiveProgress
from optitrip.methods.adaptive.route import AdaptiveSearch, Told, adaptive_route
from optitrip.methods.adaptive.searcher import check_searcher, searcher_of
from optitrip.methods.adaptive.table import stored_candidates
from optitrip.methods.importance import Sample
from optitrip.methods.own import is_reference, name_of
from optitrip.methods.search.best import BEST
from optitrip.methods.search.method import Search
from optitrip.methods.search.recheck import RecheckTable, check_recheck, described
from optitrip.methods.search.spec import axis_word
from optitrip.methods.spec import MethodSpec, StoredParts
from optitrip.space.variables import Space

if TYPE_CHECKING:
    from optitrip.config.sweep import StopTable, Sweep

ALGORITHM = 1
"""Version of the method, part of its identity; incremented when a change to it changes any answer."""


class AdaptiveConfig(Table):
    """Ask a searcher for a batch of candidates, tell it their losses, and so on; keep the best."""

    use: Literal["adaptive"]
    searcher: Any
    """Name of a searcher, module:name of your own, or in Python its class."""
    candidates: Annotated[int, Field(ge=1, le=2**53)]
    batch: Annotated[int, Field(ge=1, le=2**20)] = 16
    """Number of candidates that are asked for at a time, and evaluated in parallel."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the searcher, by name."""
    recheck: RecheckTable | None = None
    """Best candidates to evaluate again, of a noisy loss."""
    best: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Number of best candidates to keep."""


class AdaptiveSpec(MethodSpec[AdaptiveConfig]):
    word, unit, config = "adaptive", "candidates", AdaptiveConfig
    point_file = BEST
    ends_early = True
    no_answer: ClassVar[Mapping[str, Any]] = {"best": None}
    example = """[method]                   # or candidates from a searcher that learns: pip install "optitrip[cma]"
use = "adaptive"
searcher = "cma"
candidates = 1_000
batch = 16                 # number of candidates that are asked for at a time, and evaluated in parallel
"""

    def check(self, config: AdaptiveConfig, space: Space, stop: StopTable) -> None:
        check_recheck(config.recheck, config.candidates, config.best)
        cube = Cube.of(space)
        if not cube.size:
            raise Invalid(("space",), "holds constants only, so a searcher has nothing to choose; vary a parameter")
        try:
            check_searcher(config.searcher, cube, config.batch)
        except ValueError as error:
            raise Invalid(("method", "searcher"), str(error)) from None

    def best_kept(self, config: AdaptiveConfig) -> int:
        return config.best

    def references(self, config: AdaptiveConfig) -> Sequence[str]:
        return [name for name in [config.searcher] if isinstance(name, str) and is_reference(name)]

    def shardable(self, config: AdaptiveConfig) -> bool:
        return False  # each batch needs the one before

    def items(self, config: AdaptiveConfig, space: Space) -> int:
        return config.candidates

    def identity(self, config: AdaptiveConfig, start: Point | None) -> dict[str, Any]:
        fields = config.model_dump(exclude={"candidates", "recheck"}, exclude_none=True)
        return {**fields, "searcher": name_of(config.searcher), "algorithm": ALGORITHM}

    def adaptive(self, sweep: Sweep) -> AdaptiveSearch:
        """Return what the sweep asks for; raise InputError if its own searcher cannot be imported."""
        config: AdaptiveConfig = sweep.method
        search = Search(
            sweep.candidates,
            config.candidates,
            config.best,
            maximize=sweep.objective.maximize,
            target_loss=sweep.stop.target_loss,
            no_improvement=sweep.stop.no_improvement,
        )
        return AdaptiveSearch(search, searcher_of(config.searcher, config.options, sweep.folder), config.batch)

    def method(self, sweep: Sweep, capabilities: Capabilities) -> Method:
        adaptive = self.adaptive(sweep)
        searcher = adaptive.searcher.begin(adaptive.cube, sweep.seed, adaptive.batch)
        return adaptive.stage(searcher.ask(adaptive.batch, adaptive.cube.size), Told())

    def route(self, sweep: Sweep, capabilities: Capabilities) -> Route:
        word = axis_word(sweep.objective.called, maximize=sweep.objective.maximize)
        agree, recheck = sweep.objective.compared, sweep.method.recheck
        return adaptive_route(self.adaptive(sweep), capabilities, recheck=recheck, agree=agree, word=word)

    def stored_table(self, sweep: Sweep, stored: StoredParts, best: int | None) -> dict[str, Column]:
        table = stored_candidates(self.adaptive(sweep), stored)
        if table is None:
            return {}
        return table.all() if best is None else table.best(best)

    def sample(self, sweep: Sweep, stored: StoredParts) -> Sample | None:
        table = stored_candidates(self.adaptive(sweep), stored)
        return table.sample() if table else None

    def progress(self, sweep: Sweep) -> AdaptiveProgress:
        return AdaptiveProgress(sweep.items, sweep.candidates, maximize=sweep.objective.maximize)

    def curve(self, method: Method) -> AdaptiveCurve | None:
        return AdaptiveCurve(method) if isinstance(method, Batch) else None

    def describe(self, sweep: Sweep) -> str:
        config: AdaptiveConfig = sweep.method
        extreme = ", the largest loss" if sweep.objective.maximize else ""
        asked = f"{config.candidates:,} candidates, {config.batch:,} at a time, by {name_of(config.searcher)}"
        return f"adaptive search: {asked}, seed {sweep.seed}{extreme}{described(config.recheck)}"

    def headline(self, result: Mapping[str, Any]) -> float | None:
        return result["best"]["loss"]

    def summary(self, result: Mapping[str, Any]) -> str:
        best = result["best"]
        return f"loss {best['loss']:.8g} at candidate {best['index']:,}"


SPEC = AdaptiveSpec()
