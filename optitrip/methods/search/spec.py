"""The [method] table of a search, its stages and its descriptor."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from optitrip.core.arrays import Column
from optitrip.core.method import Method, Route
from optitrip.core.part import Part
from optitrip.core.point import Point
from optitrip.errors import Invalid, NoAnswer
from optitrip.loss.objective import Capabilities, Objective
from optitrip.loss.rung import Resource
from optitrip.methods.checks import MOST_COMPARED, Agreement, check_agreement
from optitrip.methods.importance import Sample
from optitrip.methods.search.answer import SearchAnswer
from optitrip.methods.search.best import BEST, SCREENED, Best, leaders
from optitrip.methods.search.drawn import KEYS, DrawnTable, check_drawn, items_of
from optitrip.methods.search.halving import FirstRungs, Rung, at_first, halved, with_rungs
from optitrip.methods.search.halving_table import HalveTable, Halving, check_halve
from optitrip.methods.search.halving_table import described as halving_described
from optitrip.methods.search.method import KEEP_ALL, Search, SearchResult
from optitrip.methods.search.progress import SearchCurve, SearchProgress
from optitrip.methods.search.recheck import RecheckTable, check_recheck, described, rechecked
from optitrip.methods.search.rungs import Halved
from optitrip.methods.search.rungs_progress import FIRST, RungsProgress
from optitrip.methods.search.screening import screened
from optitrip.methods.search.states import needed_states
from optitrip.methods.search.status import none_of
from optitrip.methods.search.table import CandidateTable
from optitrip.methods.shared import Report, ReportResult, no_answer
from optitrip.methods.spec import GivenTable, MethodSpec, States, StoredParts, SurrogateChoice
from optitrip.methods.wrapped import with_stages
from optitrip.space.expression import Expression
from optitrip.space.variables import Space

if TYPE_CHECKING:
    from optitrip.config.sweep import StopTable, Sweep


class SearchConfig(DrawnTable):
    """Draw candidates, compute the loss, keep the best."""

    use: Literal["search"]
    best: Annotated[int, Field(ge=1, le=10_000)] = 10
    recheck: RecheckTable | None = None
    """Best candidates to evaluate again, of a noisy loss."""
    screen: Annotated[str, Field(min_length=1)] | None = None
    """Name of the surrogate that screens every candidate; the objective verifies the best ones."""
    device: Literal["cpu", "cuda"] | None = None
    """Device that evaluates the surrogate."""
    halve: HalveTable | None = None
    """Resource of which the best candidates get more and more, and the others no more."""


def search_route(
    method: Search,
    capabilities: Capabilities,
    *,
    recheck: RecheckTable | None = None,
    agree: bool = True,
    word: str = "loss",
) -> Route:
    """Yield the stages of a search, with screening, rungs and recheck if wanted; return the answer.

    Raises NoAnswer if no loss is finite, or if `agree` is set (not for random losses, which never do) and batches and
    plain calls give different losses."""
    screening, rungs, found, report, unchecked = None, None, None, ReportResult(), ""
    if capabilities.losses and agree:
        check = check_agreement(Agreement(method.points, min(MOST_COMPARED, method.items)))
        agreed = yield from with_stages(check, partial(at_first, method))
        unchecked = agreed.unchecked
    if method.screen:
        result, screening = yield from screened(method)
    elif isinstance(method, FirstRungs):
        rungs = yield from halved_search(method, capabilities)
        result = rungs.result()
    else:
        result: SearchResult = yield method
        if not len(result.best_index):
            raise no_answer(none_of(result), result.failures, method)
    ended = method.why_ended(result)
    if recheck is not None:
        found = yield from rechecked(method.points, result, screening, recheck, rungs)
        result = found.result(result)
    if capabilities.report:
        report = yield Report(method.points, int(result.best_index[0]))
    return SearchAnswer(
        loss=float(result.best_loss[0]),
        index=int(result.best_index[0]),
        candidates=method.points,
        maximize=method.maximize,
        named={name: float(column[0]) for name, column in result.best_named.items()},
        result=result,
        screening=screening,
        halved=rungs,
        recheck=found,
        report_result=report,
        word=word,
        ended=ended,
        unchecked=unchecked,
        noisy=not agree or capabilities.noisy,
        how_to_read=capabilities.how_to_read,
    )


def halved_search(method: FirstRungs, capabilities: Capabilities) -> Generator[Method, Any, Halved]:
    """Yield the rungs of a search; return what they have found."""
    first, rungs, failures = yield from halved(method)
    return Halved(method.halving, first, tuple(rungs), failures, capabilities.resumes)


def axis_word(reference: str, *, maximize: bool) -> str:
    """Return what an axis of losses is called, from the reference "module:name" of the objective."""
    name = reference.rpartition(":")[2].rpartition(".")[2]
    if not name.isidentifier() or name in ("loss", "lambda"):
        return "objective" if maximize else "loss"
    return name if maximize or "loss" in name.lower() else f"loss ({name})"


def stored_candidates(method: Search, stored: StoredParts) -> CandidateTable | None:
    """Return the stored candidates of a search; None without any. A screening, and rungs, count once all of them are
    complete."""
    if isinstance(method, FirstRungs):
        stages, measure = halved_search(method, Capabilities()), FIRST
    elif method.screen:
        stages, measure = screened(method), SCREENED
    else:
        parts = stored(method)
        return CandidateTable(method.points, method.gathered(parts)) if parts else None
    result, found = None, None
    with suppress(NoAnswer):
        while True:
            try:
                stage = stages.send(result)
            except StopIteration as end:
                if isinstance(end.value, Halved):
                    return CandidateTable(method.points, end.value.result(), halved=end.value)
                return CandidateTable(method.points, *end.value)
            parts = stored(stage)
            if isinstance(stage, Search) and parts:
                found = CandidateTable(method.points, stage.gathered(parts), measure=measure)
            if [part.items for part in parts] != [range(stage.items)]:
                break
            result = stage.result(parts[0])
    return found


class SearchSpec(MethodSpec[SearchConfig]):
    word, unit, config = "search", "candidates", SearchConfig
    example = '[method]\nuse = "search"\ncandidates = 1_000\n'
    point_file = BEST
    ends_early = True
    no_answer: ClassVar[Mapping[str, Any]] = {"best": None}

    def best_kept(self, config: SearchConfig) -> int:
        return config.best

    def check(self, config: SearchConfig, space: Space, stop: StopTable) -> None:
        if config.device and not config.screen:
            raise Invalid(
                ("method", "device"), 'only applies to screening; add a line screen = "...", or remove this one'
            )
        check_drawn(config, space)
        items = self.items(config, space)
        check_recheck(config.recheck, items, config.best)
        check_halve(config.halve, [("candidates", items or KEEP_ALL), ("screen", config.screen)], space, stop)
        for key in ("target_loss", "no_improvement"):
            if config.screen and getattr(stop, key) is not None:
                raise Invalid(
                    ("stop", key),
                    "would apply to the surrogate's losses; remove this line, or the screen",
                )

    def surrogate(self, config: SearchConfig) -> SurrogateChoice | None:
        return SurrogateChoice(config.screen, config.device) if config.screen else None

    def resource(self, config: SearchConfig) -> Resource | None:
        return config.halve.resource if config.halve else None

    def states(self, method: Method) -> States | None:
        return needed_states(method) if isinstance(method, Rung) else None

    def replayed(self, method: Method, item: int, objective: Objective) -> Objective:
        return objective.with_resource(method.resource_of(item)) if isinstance(method, FirstRungs) else objective

    def shardable(self, config: SearchConfig) -> bool:
        return not config.screen and not config.halve

    def items(self, config: SearchConfig, space: Space) -> int:
        return items_of(config, space)

    def together(self, config: SearchConfig) -> int | None:
        return config.drawn

    def given(self, config: SearchConfig) -> GivenTable | None:
        return config.given

    def constraints(self, config: SearchConfig) -> tuple[Expression, ...]:
        return config.constraints

    def redraw(self, config: SearchConfig) -> bool:
        return config.redraw

    def identity(self, config: SearchConfig, start: Point | None) -> dict[str, Any]:
        # Without `recheck`, a stage of its own, so that a search can be rechecked later.
        fields = config.model_dump(exclude={"candidates", "recheck", "points", "first", "halve"}, exclude_none=True)
        fields = {"use": self.word} | {key: value for key, value in fields.items() if value or key not in KEYS}
        return {**fields, "halve": config.halve.identity} if config.halve else fields

    def method(self, sweep: Sweep, capabilities: Capabilities) -> Search:
        config: SearchConfig = sweep.method
        surrogate = self.surrogate(config)
        method = Search(
            sweep.candidates,
            sweep.items,
            config.best,
            maximize=sweep.objective.maximize,
            screen=surrogate.text if surrogate else None,
            target_loss=sweep.stop.target_loss,
            no_improvement=sweep.stop.no_improvement,
        )
        return with_rungs(method, Halving.of(config.halve, sweep.items)) if config.halve else method

    def route(self, sweep: Sweep, capabilities: Capabilities) -> Route:
        word = axis_word(sweep.objective.called, maximize=sweep.objective.maximize)
        method, recheck, agree = self.method(sweep, capabilities), sweep.method.recheck, sweep.objective.compared
        return search_route(method, capabilities, recheck=recheck, agree=agree, word=word)

    def stored_table(self, sweep: Sweep, stored: StoredParts, best: int | None) -> dict[str, Column]:
        table = stored_candidates(self.method(sweep, Capabilities()), stored)
        if table is None:
            return {}
        return table.all() if best is None else table.best(best)

    def sample(self, sweep: Sweep, stored: StoredParts) -> Sample | None:
        table = stored_candidates(self.method(sweep, Capabilities()), stored)
        return table.sample() if table else None

    def progress(self, sweep: Sweep) -> SearchProgress:
        config: SearchConfig = sweep.method
        if config.halve:
            halving = Halving.of(config.halve, sweep.items)
            return RungsProgress(sweep.items, sweep.candidates, halving, maximize=sweep.objective.maximize)
        measure = SCREENED if sweep.method.screen else "loss"
        return SearchProgress(sweep.items, sweep.candidates, maximize=sweep.objective.maximize, measure=measure)

    def curve(self, method: Method) -> SearchCurve | None:
        if not isinstance(method, Search):
            return None
        measure = SCREENED if method.screen else FIRST if isinstance(method, FirstRungs) else "loss"
        return SearchCurve(method.sign, measure)

    def describe(self, sweep: Sweep) -> str:
        config: SearchConfig = sweep.method
        surrogate = self.surrogate(config)
        extreme = ", the largest loss" if sweep.objective.maximize else ""
        most = sweep.candidates.most
        in_all = "" if most is None else f" ({most:,} points in all)"
        drawn = f"{sweep.items:,} candidates, {config.sampler} sampler{in_all}, seed {sweep.seed}"
        if sweep.given:
            drawn = sweep.given.words(drawn)
        if config.where:
            drawn += f", where {' and '.join(config.where)}"
        screened = f", screened by {surrogate.text}" if surrogate else ""
        return f"search: {drawn}{extreme}{screened}{halving_described(config.halve)}{described(config.recheck)}"

    def leaders(self, sweep: Sweep, parts: Iterable[Part]) -> list[Best]:
        config: SearchConfig = sweep.method
        if config.screen or config.halve:  # the main stage has the losses of the surrogate, or of the first rungs
            return []
        return leaders(parts, config.best, sweep.candidates, maximize=sweep.objective.maximize)

    def headline(self, result: Mapping[str, Any]) -> float | None:
        return result["best"]["loss"]

    def summary(self, result: Mapping[str, Any]) -> str:
        best = result["best"]
        return f"loss {best['loss']:.8g} at candidate {best['index']:,}"


SPEC = SearchSpec()
