"""The tables [[leg]] of a trip, and its descriptor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from optitrip.core.method import Method, Route
from optitrip.core.observer import Curve, Printable, Progress, Times, Written
from optitrip.core.part import Part
from optitrip.core.point import Point
from optitrip.core.table import StartPoint, Table
from optitrip.errors import Invalid
from optitrip.loss.objective import Capabilities
from optitrip.methods.spec import MethodSpec, MethodTable, SurrogateChoice
from optitrip.methods.trip.answer import POINT
from optitrip.methods.trip.route import Leg, sweep_of, trip_route
from optitrip.methods.trip.stage import LegStage
from optitrip.space.variables import Space

if TYPE_CHECKING:
    from optitrip.config.sweep import StopTable, Sweep


class TripConfig(Table):
    """Several methods, one after the other."""

    use: Literal["trip"] = "trip"
    legs: Any
    """Name, descriptor and table of the method of each leg."""

    @property
    def each(self) -> list[Leg]:
        """Legs in order."""
        return [Leg(*leg) for leg in self.legs]


class TripSpec(MethodSpec[TripConfig]):
    word, unit, config = "trip", "legs", TripConfig
    point_file = POINT
    instead_of_table = "the files of its legs"
    example = """[[leg]]                    # or a trip: several methods, each from where the one before has arrived
name = "blind"
use = "search"
candidates = 1_000

[[leg]]
name = "down"
use = "descent"
rate = 0.01
steps = 100
"""

    def tables(self, config: TripConfig) -> Sequence[MethodTable]:
        return [MethodTable(("leg", number), leg.spec, leg.config) for number, leg in enumerate(config.each)]

    def check(self, config: TripConfig, space: Space, stop: StopTable) -> None:
        known: list[str] = []
        given: list[tuple[int, StartPoint]] = []
        for number, leg in enumerate(config.each):
            if leg.spec.resource(leg.config) is not None:
                raise Invalid(("leg", number, "halve"), "is for a search alone: other legs would not know how much")
            if leg.at is not None and leg.at.leg is not None and leg.at.leg not in known:
                earlier = f"one of {', '.join(known)}" if known else "another way to name the point"
                raise Invalid(("leg", number, "at", "leg"), f"was {leg.at.leg!r}; wanted {earlier}, which is earlier")
            if leg.spec.given(leg.config) is not None:
                raise Invalid(("leg", number), "gives points, which only a [method] table can; remove them")
            given += [(number, leg.at)] if leg.at is not None and leg.at.leg is None else []
            known.append(leg.name)
        for number, at in given[1:]:
            if at != given[0][1]:
                first = f"leg {config.each[given[0][0]].name!r}"
                raise Invalid(
                    ("leg", number, "at"), f"is another point than that of {first}; wanted the same, or a leg"
                )

    def start(self, config: TripConfig) -> StartPoint | None:
        return next((leg.at for leg in config.each if leg.at is not None and leg.at.leg is None), None)

    def start_key(self, config: TripConfig) -> tuple[str | int, ...]:
        number = next(n for n, leg in enumerate(config.each) if leg.at is not None and leg.at.leg is None)
        return ("leg", number, "at")

    def items(self, config: TripConfig, space: Space) -> int:
        return len(config.each)

    def drawn(self, config: TripConfig) -> bool:
        return any(leg.spec.drawn(leg.config) for leg in config.each)

    def sampler(self, config: TripConfig) -> str:
        return config.each[0].spec.sampler(config.each[0].config)

    def together(self, config: TripConfig) -> int | None:
        return config.each[0].spec.together(config.each[0].config)

    def common_seed(self, config: TripConfig) -> bool:
        return True

    def surrogate(self, config: TripConfig) -> SurrogateChoice | None:
        return next((found for leg in config.each if (found := leg.spec.surrogate(leg.config))), None)

    def references(self, config: TripConfig) -> Sequence[str]:
        return [one for leg in config.each for one in leg.spec.references(leg.config)]

    def children(self, config: TripConfig) -> int:
        return len(config.each)

    def shardable(self, config: TripConfig) -> bool:
        return False  # each leg needs the one before

    def identity(self, config: TripConfig, start: Point | None) -> dict[str, Any]:
        legs: dict[str, dict[str, Any]] = {}
        for leg in config.each:
            own = leg.spec.identity(leg.config, start if leg.at is not None and leg.at.leg is None else None)
            # Numbers of items count too: they decide where the next leg starts.
            counts = leg.config.model_dump(exclude={"at"}, exclude_none=True)
            at = {"leg": leg.at.leg} if leg.at is not None and leg.at.leg is not None else {}
            # Options that are off are left out, so that adding one does not change older identities.
            given = {key: value for key, value in counts.items() if not (value is False or value == [])}
            legs[leg.name] = {**given, **own, **at}
        return {"use": self.word, "order": list(legs), **legs}

    def method(self, sweep: Sweep, capabilities: Capabilities) -> Method:
        leg = sweep.method.each[0]
        return LegStage(leg.spec.method(sweep_of(sweep, leg, {}), capabilities), 0, leg.name)

    def route(self, sweep: Sweep, capabilities: Capabilities) -> Route:
        return trip_route(sweep, sweep.method.each, capabilities)

    def progress(self, sweep: Sweep) -> TripProgress:
        return TripProgress(sweep)

    def curve(self, method: Method) -> Curve | None:
        # Legs begin anew at step 0, so that each has a chart of its own.
        return None

    def describe(self, sweep: Sweep) -> str:
        legs = [f"{leg.name} ({leg.spec.word})" for leg in sweep.method.each]
        return f"trip: {len(legs):,} legs: {', then '.join(legs)}"

    def leaders(self, sweep: Sweep, parts: Iterable[Part]) -> Sequence[Printable]:
        return ()

    def headline(self, result: Mapping[str, Any]) -> float | None:
        return result[self.word]["loss"]

    def summary(self, result: Mapping[str, Any]) -> str:
        return f"loss {result[self.word]['loss']:.8g} by {result[self.word]['leg']}"


class TripProgress(Progress):
    """Shows the progress of the leg that runs."""

    def __init__(self, sweep: Sweep) -> None:
        legs: list[Leg] = sweep.method.each
        super().__init__(len(legs))
        self._names = [leg.name for leg in legs]
        self._own = [leg.spec.progress(partial_sweep(sweep, leg)) for leg in legs]
        self._leg = 0

    def stage(self, method: Method) -> None:
        super().stage(method)
        if isinstance(method, LegStage):
            self._leg, method = method.number, method.inner
        self._own[self._leg].stage(method)

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        self._own[self._leg].parts(written, new=new)
        self.new = sum(own.new > 0 for own in self._own)

    def retried(self, part: Part, times: Times) -> None:
        self._own[self._leg].retried(part, times)

    def words(self) -> str:
        return f"{self._names[self._leg]} ({self._leg + 1} of {self.total}): {self._own[self._leg].words()}"

    def few_words(self) -> str:
        return f"{self._names[self._leg]}: {self._own[self._leg].few_words()}"

    def count(self, items: range) -> int:
        return 0  # a leg is done once the next one begins

    def best(self) -> Printable | None:
        return next((best for own in reversed(self._own[: self._leg + 1]) if (best := own.best())), None)


def partial_sweep(sweep: Sweep, leg: Leg) -> Sweep:
    """Return the sweep of a leg for its progress, which does not look at the point where it starts."""
    return replace(sweep, spec=leg.spec, method=leg.config, start=sweep.start or Point({}, ()))


SPEC = TripSpec()
