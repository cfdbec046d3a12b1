"""The [method] table of a descent, and its descriptor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import Field

from optitrip.core.method import Method, Route
from optitrip.core.point import Point
from optitrip.core.table import StartPoint, Table
from optitrip.errors import Invalid
from optitrip.loss.objective import Capabilities
from optitrip.methods.descent.answer import POINT, STEPS
from optitrip.methods.descent.comparison import Comparison, comparison_route, rates_of
from optitrip.methods.descent.progress import DescentCurve, DescentProgress
from optitrip.methods.descent.route import Descent, descent_route, path_digest
from optitrip.methods.descent.rule import check_rule, rule_of
from optitrip.methods.descent.schedule import EXAMPLE, LINE_SEARCH, schedule_of
from optitrip.methods.descent.sources import OWN, Differences, Estimates, Own, Source
from optitrip.methods.descent.step import Step
from optitrip.methods.estimate.directions import Kind
from optitrip.methods.gradient.limits import limits_of
from optitrip.methods.gradient.noise import Noise
from optitrip.methods.gradient.route import Known
from optitrip.methods.gradient.steps import AUTO
from optitrip.methods.own import is_reference, name_of
from optitrip.methods.spec import MethodSpec
from optitrip.space.variables import Space

if TYPE_CHECKING:
    from optitrip.config.sweep import StopTable, Sweep

ALGORITHM = 2
"""Version of the method, part of its identity; incremented when a change to it changes any answer."""
KINDS: tuple[Kind, ...] = get_args(Kind)


class DescentConfig(Table):
    """Follow the slope of the loss, step by step."""

    use: Literal["descent"]
    at: StartPoint
    steps: Annotated[int, Field(ge=1, le=10**7)]
    """Largest number of steps."""
    rate: Any = None
    """Rate of the steps, e.g. 0.1, or a schedule such as { cosine = 0.1 }; { line_search = 1.0 } finds the rate of each
    step by a line search from this one down."""
    rates: Any = None
    """Rates to compare in place of `rate`, with each of the rules: a list, or { log_grid = [1e-4, 1, 12] }."""
    rule: Any = "sgd"
    """Name of the update rule, or a list of names to compare; or module:name of your own: a function
    (x, gradient, state, rate) -> (x, state)."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the rule, e.g. { momentum = 0.95 }."""
    gradient: Literal[
        "forward",
        "backward",
        "central",
        "four_point",
        "richardson",
        "orthogonal",
        "rademacher",
        "gaussian",
        "coordinates",
        "own",
    ] = "central"
    """Source of the gradient: differences along all coordinates, by the name of their scheme; estimates from a few
    directions, by the name of their kind; or "own", the objective's own gradient."""
    directions: Annotated[int, Field(ge=1, le=2**31)] | None = None
    """Number of directions of an estimate, drawn anew for each step."""
    step: Annotated[float, Field(allow_inf_nan=False)] | Literal["auto"] = AUTO
    """Step h of the differences; "auto" for steps from the noise of the loss, which is measured at the first point."""
    bounds: dict[str, Any] | None = None
    """Limits [low, high] by variable, in place of those of its distribution; no variable leaves its limits."""
    rows: Annotated[int, Field(ge=1, le=2**53)] | None = None
    """Number of rows of the data on which a step computes its losses, drawn anew for each; all by default."""
    gradient_norm: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Norm of the gradient at which the descent ends."""
    sampler: str = "random"
    """Name of the sampler that draws the candidate of `at = { candidate = ... }`."""


class DescentSpec(MethodSpec[DescentConfig]):
    word, unit, config = "descent", "steps", DescentConfig
    point_file = POINT
    instead_of_table = STEPS
    ends_early = True
    example = """[method]                   # or follow the slope, step by step
use = "descent"
at = { fill = 0.0 }
rule = "adam"              # sgd, momentum, nesterov, adagrad, rmsprop, adam, adamw, or module:function of your own
rate = 0.01                # or { cosine = 0.1 }, or { line_search = 1.0 } for a line search
steps = 100
"""

    def check(self, config: DescentConfig, space: Space, stop: StopTable) -> None:
        self.check_point(config, space)
        estimated = config.gradient in KINDS
        if estimated != (config.directions is not None):
            problem = "is missing; wanted the number of directions" if estimated else "is for estimates; remove it"
            raise Invalid(("method", "directions"), f"{problem} (gradient = {config.gradient!r})")
        if config.step != AUTO and (config.step == 0 or config.gradient == OWN):
            raise Invalid(
                ("method", "step"),
                'was 0; wanted "auto", or another number' if not config.step else "is for differences; remove it",
            )
        if config.rows is not None and isinstance(config.rate, dict) and LINE_SEARCH in config.rate:
            raise Invalid(
                ("method", "rows"), "does not go with a line search, which compares losses of all data; remove it"
            )
        if (config.rate is None) == (config.rates is None):
            raise Invalid(("method", "rate"), f"is missing; {EXAMPLE}" if config.rates is None else "is beside `rates`")
        if compares(config) != (config.rates is not None):
            found = "are for several rules" if config.rates is not None else "are missing; wanted those to compare"
            raise Invalid(("method", "rates"), f"{found} (rule = {config.rule!r})")
        names = [name_of(rule) for rule in rules_in(config)]
        if twice := [name for name in names if names.count(name) > 1]:
            raise Invalid(("method", "rule"), f"names {twice[0]} twice; wanted different rules")
        if compares(config) and config.options:
            raise Invalid(("method", "options"), "are those of one rule; remove them, or compare no others")
        for key, check in {
            "rate": lambda: config.rates is not None or schedule_of(config.rate),
            "rates": lambda: config.rates is None or rates_of(config.rates),
            "rule": lambda: [check_rule(rule, {}) for rule in rules_in(config)],
            "options": lambda: [check_rule(rule, config.options) for rule in rules_in(config)],
            "bounds": lambda: limits_of(space, config.bounds),
        }.items():
            try:
                check()
            except ValueError as error:
                raise Invalid(("method", key), str(error)) from None

    def drawn(self, config: DescentConfig) -> bool:
        return config.at.candidate is not None

    def start(self, config: DescentConfig) -> StartPoint:
        return config.at

    def items(self, config: DescentConfig, space: Space) -> int:
        return config.steps * (len(rules_in(config)) * len(rates_of(config.rates)) if compares(config) else 1)

    def identity(self, config: DescentConfig, start: Point | None) -> dict[str, Any]:
        fields = config.model_dump(exclude={"at", "sampler", "steps", "rule"}, exclude_none=True)
        if config.rates is None and schedule_of(config.rate).depends_on_steps:
            fields["steps"] = config.steps
        named = [name_of(rule) for rule in rules_in(config)]
        fields["rule"] = named if compares(config) else named[0]
        fields |= {"rates": list(rates_of(config.rates))} if compares(config) else {}
        return fields | {"algorithm": ALGORITHM} | ({"at": start.digest} if start else {})

    def shardable(self, config: DescentConfig) -> bool:
        return False  # each step needs the one before

    def references(self, config: DescentConfig) -> Sequence[str]:
        return [rule for rule in rules_in(config) if isinstance(rule, str) and is_reference(rule)]

    def source(self, sweep: Sweep) -> Source:
        """Return where the gradient of each step comes from."""
        config: DescentConfig = sweep.method
        step, limits = None if config.step == AUTO else config.step, limits_of(sweep.space, config.bounds)
        if config.gradient == OWN:
            return Own()
        if config.directions is not None:
            kind: Any = config.gradient
            return Estimates(kind, config.directions, step, limits, sweep.seed)
        return Differences(config.gradient, step, limits, sweep.seed)

    def descent(self, sweep: Sweep) -> Descent:
        """Return what the sweep asks for; raise InputError if its own rule cannot be imported."""
        config: DescentConfig = sweep.method
        fields = self.identity(config, sweep.start)
        return Descent(
            sweep.start_point,
            config.steps,
            rule_of(rules_in(config)[0], config.options, sweep.folder),
            schedule_of(rates_of(config.rates)[0] if compares(config) else config.rate),
            self.source(sweep),
            path_digest({**fields, "seed": sweep.seed, "maximize": sweep.objective.maximize}),
            limits_of(sweep.space, config.bounds),
            -1 if sweep.objective.maximize else 1,
            sweep.seed,
            config.rows,
            config.gradient_norm,
            sweep.stop.target_loss,
            sweep.stop.no_improvement,
        )

    def method(self, sweep: Sweep, capabilities: Capabilities) -> Method:
        return self.source(sweep).first(sweep.start_point, Known(Noise()), capabilities)

    def route(self, sweep: Sweep, capabilities: Capabilities) -> Route:
        config, agree = sweep.method, sweep.objective.compared
        if not compares(config):
            return descent_route(self.descent(sweep), capabilities, agree=agree)
        rules = [rule_of(rule, {}, sweep.folder) for rule in rules_in(config)]
        comparison = Comparison(self.descent(sweep), rules, rates_of(config.rates))
        return comparison_route(comparison, capabilities, agree=agree)

    def progress(self, sweep: Sweep) -> DescentProgress:
        return DescentProgress(sweep.items, -1 if sweep.objective.maximize else 1)

    def curve(self, method: Method) -> DescentCurve | None:
        return DescentCurve(method) if isinstance(method, Step) else None

    def describe(self, sweep: Sweep) -> str:
        config: DescentConfig = sweep.method
        (way,) = config.at.ways
        names = [name_of(rule) for rule in rules_in(config)]
        steps = f"{config.steps:,} steps of {', '.join(names)}"
        if compares(config):
            steps = f"{sweep.items:,} steps: {steps} at {len(rates_of(config.rates))} rates"
        source = f"{config.directions:,} {config.gradient} directions" if config.directions else config.gradient
        own = ", your own rule" if isinstance(config.rule, str) and is_reference(config.rule) else ""
        steps += f" on mini-batches of {config.rows:,} rows" if config.rows else ""
        return f"descent: {steps}{own}, gradient: {source}, from its {way}"

    def headline(self, result: Mapping[str, Any]) -> float | None:
        return result["descent"]["loss"]

    def summary(self, result: Mapping[str, Any]) -> str:
        found = result["descent"]
        return f"loss {found['loss']:.8g} after {found['step']:,} steps"


def compares(config: DescentConfig) -> bool:
    """Return whether several rules are compared."""
    return isinstance(config.rule, list | tuple)


def rules_in(config: DescentConfig) -> list[Any]:
    """Return the rules of a table."""
    return list(config.rule) if compares(config) else [config.rule]


SPEC = DescentSpec()
