"""The stages of a trip: those of its legs, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from optitrip.core.method import Route
from optitrip.core.point import Point
from optitrip.core.table import StartPoint
from optitrip.errors import NoAnswer
from optitrip.loss.objective import Capabilities
from optitrip.methods.spec import MethodSpec
from optitrip.methods.trip.answer import TripAnswer
from optitrip.methods.trip.stage import LegStage
from optitrip.methods.wrapped import with_stages
from optitrip.output.outcome import Answer
from optitrip.space.variables import Space

if TYPE_CHECKING:
    from optitrip.config.sweep import Sweep


@dataclass(frozen=True)
class Leg:
    """One leg of a trip: a name, and a method with its table."""

    name: str
    spec: MethodSpec[Any]
    config: Any

    @property
    def at(self) -> StartPoint | None:
        """Point at which it starts, if it needs one."""
        return self.spec.start(self.config)


def trip_route(sweep: Sweep, legs: Sequence[Leg], capabilities: Capabilities) -> Route:
    """Yield the stages of all legs; return the answer. Raises NoAnswer, naming the leg, if one cannot continue."""
    answers: dict[str, Answer] = {}
    starts: dict[str, str] = {}
    for number, leg in enumerate(legs):
        starts[leg.name] = leg.at.leg or "" if leg.at else ""
        own = sweep_of(sweep, leg, answers)
        try:
            answers[leg.name] = yield from as_leg(leg.spec.route(own, capabilities), number, leg.name)
        except NoAnswer as error:
            error.args = (f"leg {leg.name!r}: {error}",)
            raise
    return TripAnswer(answers, starts, {leg.name: leg.spec.word for leg in legs}, -1 if sweep.objective.maximize else 1)


def sweep_of(sweep: Sweep, leg: Leg, answers: Mapping[str, Answer]) -> Sweep:
    """Return the sweep of one leg, which starts at the point that it names."""
    start = None if leg.at is None else sweep.start
    if leg.at is not None and leg.at.leg is not None:
        start = point_of(sweep.space, getattr(answers[leg.at.leg], "x", {}))
    return replace(sweep, spec=leg.spec, method=leg.config, start=start)


def point_of(space: Space, found: Mapping[str, Any]) -> Point:
    """Return the parameters of an answer as a point at which another method can start."""
    values: dict[str, Any] = {}
    for variable in space.variables:
        value = np.array(found[variable.name], variable.dtype) if variable in space.varied else None
        if value is None:
            batch = variable.values(np.empty((1, variable.size)))
            value = batch.reshape(batch.shape[1:])
        value.flags.writeable = False
        values[variable.name] = value
    return Point(values, tuple(variable.name for variable in space.varied))


def as_leg(route: Route, number: int, name: str) -> Route:
    """Return the route of a leg, with its main stages as those of the trip."""
    return with_stages(route, lambda method: LegStage(method, number, name) if method.main else method)
