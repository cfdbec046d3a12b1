"""A fair comparison of rules: each with the same rates, for the same number of steps, from the same point."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optitrip.core.method import Route
from optitrip.errors import NoAnswer
from optitrip.loss.objective import Capabilities
from optitrip.methods.descent.answer import DescentAnswer
from optitrip.methods.descent.comparison_answer import ComparisonAnswer, Tuned
from optitrip.methods.descent.mini_batch import check_rows
from optitrip.methods.descent.route import Descent, descents_of, followed
from optitrip.methods.descent.rule import Rule
from optitrip.methods.descent.schedule import Schedule, positive
from optitrip.methods.descent.step import Step
from optitrip.methods.points import only
from optitrip.methods.shared import Report, ReportResult
from optitrip.methods.wrapped import with_stages

WANTED = "wanted a list of numbers above 0, or { log_grid = [lowest, highest, how many] }"


@dataclass(frozen=True)
class Comparison:
    """The descents to compare: `common` with each of several rules and rates."""

    common: Descent
    rules: Sequence[Rule]
    rates: Sequence[float]


def rates_of(given: Any) -> tuple[float, ...]:
    """Read the rates to compare, ascending; raise ValueError, with what was wanted, for anything else."""
    if isinstance(given, dict):
        grid: Any = given.get("log_grid") if len(given) == 1 else None  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        if not isinstance(grid, list | tuple) or len(grid) != 3:  # pyright: ignore[reportUnknownArgumentType]
            raise ValueError(f"was {given!r}; {WANTED}")
        low, high, count = grid  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(count, int) or not 2 <= count <= 1_000:
            raise ValueError(f"was {given!r}; {WANTED}, from 2 to 1000")
        return tuple(np.geomspace(positive(low, given), positive(high, given), count).tolist())
    if not isinstance(given, list | tuple) or not given:
        raise ValueError(f"was {given!r}; {WANTED}")
    return tuple(sorted({positive(rate, given) for rate in given}))  # pyright: ignore[reportUnknownVariableType]


def comparison_route(comparison: Comparison, capabilities: Capabilities, *, agree: bool = True) -> Route:
    """Yield the stages of all descents, then reports on the best of each rule; return the answer.

    Raises NoAnswer if no descent has an answer, as `descent_route` does.
    """
    common = comparison.common
    if common.rows:
        check_rows(common.rows, capabilities)
    known = yield from common.source.begin(common.start, capabilities, agree=agree)
    found: dict[str, Tuned] = {}
    begun, error = 0, NoAnswer("there are no rates")
    for rule in comparison.rules:
        answers: dict[float, DescentAnswer] = {}
        for rate in comparison.rates:
            own = replace(common, rule=rule, schedule=Schedule("constant", rate))
            own = replace(own, digest=descents_of(common.digest, rule, rate))
            try:
                answers[rate] = yield from shifted(followed(own, known, capabilities), begun)
            except NoAnswer as raised:
                error = raised
            begun += common.steps
        if answers:
            found[rule.name] = Tuned(answers)
    if not found:
        raise error
    reports: dict[str, ReportResult] = {}
    for name, tuned in found.items() if capabilities.report else ():
        reports[name] = yield Report(only(tuned.best.best), 0)
    return ComparisonAnswer(found, reports, common.sign, unchecked=known.unchecked)


def shifted(route: Route, begun: int) -> Route:
    """Return the route of a descent that follows others, whose steps count before its own."""
    return with_stages(route, lambda method: replace(method, begun=begun) if isinstance(method, Step) else method)
