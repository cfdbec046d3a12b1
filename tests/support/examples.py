"""Objectives and sweeps that many tests use. Importable on workers too."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hill import Hill
from optitrip.config.locations import Lines
from optitrip.config.read import parse_draft
from optitrip.core.arrays import Array
from optitrip.core.method import Route
from optitrip.core.part import Part
from optitrip.core.point import Point
from optitrip.loss.noisy import Noisy
from optitrip.loss.objective import Capabilities, Objective
from optitrip.loss.rung import Resource, with_resource
from optitrip.methods.adaptive.batch import Batch
from optitrip.methods.adaptive.route import AdaptiveSearch, Told, adaptive_route
from optitrip.methods.adaptive.searcher import searcher_of
from optitrip.methods.checks import Agreement
from optitrip.methods.descent.line_search import LineSearch
from optitrip.methods.descent.route import Descent, descent_route
from optitrip.methods.descent.rule import rule_of
from optitrip.methods.descent.schedule import schedule_of
from optitrip.methods.descent.sources import Differences, Estimates, OwnGradient
from optitrip.methods.descent.step import Step
from optitrip.methods.directional.lines import LinesRequest, UnitLines
from optitrip.methods.estimate.combination import Combination
from optitrip.methods.estimate.directions import Directions, Kind
from optitrip.methods.estimate.route import estimate_route, slopes_of
from optitrip.methods.estimate.slopes import Slopes
from optitrip.methods.estimate.truncation import Again, Shorter, with_length
from optitrip.methods.gradient.across import Across, AcrossProbe
from optitrip.methods.gradient.method import Gradient, gradient_of
from optitrip.methods.gradient.noise import Noise, NoiseLines, NoiseProbe
from optitrip.methods.gradient.route import GradientRequest, Known, gradient_route
from optitrip.methods.gradient.structured import Deltas, deltas_of
from optitrip.methods.local_search.generation import Around, Generation
from optitrip.methods.local_search.route import LocalSearch, local_search_route
from optitrip.methods.points import Along, only
from optitrip.methods.search.halving import FirstRungs, Rung, with_rungs
from optitrip.methods.search.halving_table import HalveTable, Halving
from optitrip.methods.search.method import Search
from optitrip.methods.search.recheck import Recheck, RecheckTable
from optitrip.methods.search.screening import Verification
from optitrip.methods.search.spec import search_route
from optitrip.methods.sensitivity.design import Saltelli
from optitrip.methods.sensitivity.method import Sensitivity
from optitrip.methods.sensitivity.spec import sensitivity_route
from optitrip.methods.shared import LossAtX, Report
from optitrip.methods.snapshot import Snapshot
from optitrip.methods.trip.stage import LegStage
from optitrip.samplers.random import permutation
from optitrip.space.candidates import Candidates
from optitrip.space.expression import Expression
from optitrip.space.given import given_points
from optitrip.space.variables import Space
from optitrip.store.lookup import resolve
from toy_method.method import Count, count_route

HERE = str(Path(__file__).parent)

SPACE = Space.parse({"x": {"shape": [3], "normal": [0, 1]}, "k": {"integer": [1, 9]}, "c": 2.5})


def scalar(x: Array, k: int, c: float) -> float:
    """A plain loss of one point."""
    return float(np.sum((x - 1) ** 2)) * k + c


def troubled(x: Array, k: int, c: float) -> Any:
    """A loss that fails in every way for some points, by their values alone."""
    value = scalar(x, k, c)
    match int(value * 1000) % 23:
        case 0:
            raise ValueError(f"no loss at {value!r}")
        case 1:
            return math.nan
        case 2:
            return math.inf
        case 3:
            return "many"
        case 4:
            return -math.inf
        case _:
            return value


def beside(x: Array, k: int, c: float) -> Any:
    """A loss that gives other numbers beside it, of some points only, and fails for others."""
    value = troubled(x, k, c)
    match int(scalar(x, k, c) * 1000) % 3:
        case 0:
            return {"loss": value, "first": float(x[0]), "k": k}
        case 1:
            return {"loss": value, "first": math.nan}
        case _:
            return value


class Batched:
    """A batched loss by a matrix product, so that bits depend on the shape of a block and on the place in it."""

    block = 8

    def __init__(self, entries: int = 3) -> None:
        self.matrix = np.random.default_rng(1).standard_normal((entries, 40))

    def __call__(self, x: Array, k: int, c: float) -> float:
        return float(np.square(x @ self.matrix).sum() * k + c)

    def losses(self, x: Array, k: Array, c: Array) -> Array:
        return np.square(x @ self.matrix).sum(axis=1) * k + c

    def report(self, x: Array, k: int, c: float) -> dict[str, float]:
        del c
        return {"largest": float(np.abs(x).max()), "k": float(k)}

    tolerance = 1e-12


class WithRows(Batched):
    """A loss that can be reduced to some columns of its matrix."""

    samples = 40

    def subset(self, rows: Array) -> WithRows:
        part = copy(self)
        part.matrix = np.ascontiguousarray(self.matrix[:, rows])
        return part


class Poisoned(Batched):
    """A batch that raises as a whole if one of its candidates is poison, as vectorised code does."""

    def losses(self, x: Array, k: Array, c: Array) -> Array:
        if (k == 7).any():
            raise FloatingPointError("k is 7")
        return super().losses(x, k, c)

    def __call__(self, x: Array, k: int, c: float) -> float:
        if k == 7:
            raise FloatingPointError("k is 7")
        return super().__call__(x, k, c)


class BatchedBeside(Batched):
    """A batched loss that returns a dict of arrays."""

    def losses(self, x: Array, k: Array, c: Array) -> Any:
        return {"loss": super().losses(x, k, c), "first": x[:, 0], "k": k}

    def __call__(self, x: Array, k: int, c: float) -> Any:
        return {"loss": super().__call__(x, k, c), "first": x[0], "k": k}


class PoisonedNearby(Batched):
    """A batched loss that raises for a whole batch where one of the entries is near 2.2."""

    def losses(self, x: Array, k: Array, c: Array) -> Array:
        if ((x > 2.05) & (x < 2.4)).any():
            raise FloatingPointError("an entry is near 2.2")
        return super().losses(x, k, c)

    def __call__(self, x: Array, k: int, c: float) -> float:
        if ((x > 2.05) & (x < 2.4)).any():
            raise FloatingPointError("an entry is near 2.2")
        return super().__call__(x, k, c)


class Structured(Batched):
    """A loss that knows its differences, by a matrix product whose bits depend on what else is asked for at once."""

    deltas_block = 16

    def around(self, x: Array, k: int, c: float) -> Any:
        return StructuredAround(self.matrix, x @ self.matrix, k)

    def order(self) -> Array:
        return np.arange(len(self.matrix))[::-1].copy()


class StructuredAround:
    def __init__(self, matrix: Array, product: Array, k: int) -> None:
        self.matrix, self.product, self.k = matrix, product, k

    def deltas(self, coordinates: Array, steps: Array) -> Array:
        rows = self.matrix[coordinates]
        deltas = self.k * steps * (2 * (rows @ self.product) + steps * np.square(rows).sum(axis=1))
        if (coordinates == 70).any():
            raise FloatingPointError("coordinate 70")
        deltas[coordinates == 7] = np.nan
        return deltas

    def kinks(self, coordinates: Array, steps: Array) -> Array:
        return (coordinates % 5 == 0) & (steps > 0)


class Screened(Poisoned):
    """A loss that offers a stand-in, which knows three digits and a half too much, fails for other points too, and is
    batched only."""

    screens = ("rough",)

    def screen(self, how: str) -> Any:
        assert how == "rough"
        return Rough()


class Rough(Batched):
    __call__ = None  # pyright: ignore[reportAssignmentType]

    def losses(self, x: Array, k: Array, c: Array) -> Array:
        losses = super().losses(x, k, c)
        return np.where(k == 5, np.nan, losses.astype(np.float16) + 0.25)


def slow(x: Array, k: int, c: float) -> float:
    """A loss that takes two milliseconds."""
    time.sleep(0.002)
    return scalar(x, k, c)


class KillsOnce:
    """Kills its process at one candidate, the first time that any process meets it."""

    def __init__(self, marker: str) -> None:
        self.marker = Path(marker)

    def __call__(self, x: Array, k: int, c: float) -> float:
        if k == 3 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return scalar(x, k, c)


class CannotPrepare:
    """An objective that cannot be rebuilt on a worker."""

    def __call__(self, x: Array, k: int, c: float) -> float:
        return scalar(x, k, c)

    def __reduce__(self) -> tuple[Any, ...]:
        return (refuse, ())


def refuse() -> Any:
    raise RuntimeError("this worker lacks the simulator")


def with_rough(objective: Objective) -> Objective:
    surrogate = Objective(objective.loss.screen("rough"), block=objective.capabilities.block)
    return replace(objective, surrogate=surrogate)


def seeded(x: Array, k: int, c: float, seed: int) -> Any:
    """A random loss that fails for some seeds."""
    return math.nan if seed % 11 == 0 else {"loss": scalar(x, k, c) + seed / 2**31, "drawn": seed}


class SeededBatched(Batched):
    """A random loss that takes batches."""

    def __call__(self, x: Array, k: int, c: float, seed: int) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().__call__(x, k, c) + seed / 2**31

    def losses(self, x: Array, k: Array, c: Array, seed: Array) -> Array:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().losses(x, k, c) + seed / 2**31


def growing(x: Array, k: int, c: float, epochs: int) -> Any:
    """A loss of a resource, whose order of candidates changes with it, and which fails for some."""
    if k == 7 and epochs == 2:
        raise ValueError("no seven")
    return math.nan if k == 9 and epochs == 4 else {"loss": scalar(x, k, c) + 9 * math.sin(9 * k * x[0]) / epochs}


class GrowingBatched(Batched):
    """A loss of a resource that takes batches."""

    def __call__(self, x: Array, k: int, c: float, epochs: int) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().__call__(x, k, c) + k / epochs

    def losses(self, x: Array, k: Array, c: Array, epochs: int) -> Array:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().losses(x, k, c) + k / epochs


def growing_of(loss: Any) -> Objective:
    return Objective(with_resource(loss, Resource("epochs", 8), ("x", "k"), resumes=False))


LOSSES: dict[str, Any] = {
    "scalar": Objective(scalar),
    "troubled": Objective(troubled),
    "batched": Objective(Batched()),
    "poisoned": Objective(Poisoned()),
    "beside": Objective(beside),
    "batched beside": Objective(BatchedBeside()),
    "screened": with_rough(Objective(Screened())),
    "seeded": Objective(Noisy(seeded, 3)),
    "mean of batches": Objective(Noisy(SeededBatched(), 3, 3)),
}


def draws(seed: int = 5) -> Candidates:
    return Candidates(SPACE, seed)


def search(items: int, keep_all: int = 50, best: int = 4, seed: int = 5) -> Search:
    """A search whose losses thin out from `keep_all` on."""
    return Search(draws(seed), items, best, keep_all)


SOME_SPACE = Space.parse(
    {
        "x": {"shape": [3], "normal": [0, 1]},
        "k": {"integer": [1, 9]},
        "c": {"uniform": [1, 2], "when": "k > 4"},
    }
)
"""A space with a variable that exists for some k only."""


def partly(x: Array, k: int, c: float | None = None) -> Any:
    """A loss that fails in every way for some points, and refuses points that it must not get."""
    if (c is None) == (k > 4) or x[0] + k >= 8:
        raise AssertionError(f"x[0] = {x[0]}, k = {k}, c = {c}")
    return troubled(x, k, c or 0.5)


def constrained(seed: int = 5, *, redraw: bool = True, space: Space = SPACE) -> Candidates:
    """Given points, and drawn ones of which some are infeasible."""
    given = [
        {"x": [0.1, 0.2, 0.3], "k": 2},
        {"x": [3.0, 0.2, 0.3], "k": 9, **({"c": 1.5} if space is SOME_SPACE else {})},
    ]
    where = (Expression("x[0] + k < 8"),)
    return Candidates(space, seed, given=given_points(space, given, alone=False), where=where, redraw=redraw)


def halved(items: int, seed: int = 5, brackets: int = 1, **options: Any) -> FirstRungs:
    """A search that stops bad candidates early."""
    table = HalveTable.model_validate(
        {"argument": "epochs", "from": 1, "to": 8, "factor": 2, "brackets": min(brackets, items)}
    )
    return with_rungs(Search(draws(seed), items, 4, **options), Halving.of(table, items))


def halved_case(loss: Any, brackets: int = 1, **options: Any) -> Case:
    objective = growing_of(loss)
    return objective, lambda items, seed: search_route(halved(items, seed, brackets, **options), objective.capabilities)


ENTRIES = 150
WIDE_LOSSES: dict[str, Any] = {
    "scalar": Objective(scalar),
    "troubled": Objective(troubled),
    "batched": Objective(Batched(ENTRIES)),
    "poisoned": Objective(PoisonedNearby(ENTRIES)),
    "beside": Objective(beside),
    "batched beside": Objective(BatchedBeside(ENTRIES)),
    "structured": Objective(Structured(ENTRIES)),
    "with rows": Objective(WithRows(ENTRIES)),
}
"""Losses by name, for x of 150 entries."""


def around(entries: int = ENTRIES) -> Point:
    """A point to take gradients at; x alone varies."""
    x = np.random.default_rng(5).standard_normal(entries)
    return Point({"x": x, "k": np.array(3), "c": np.array(2.5)}, ("x",))


def gradient(items: int, scheme: str = "central", entries: int = ENTRIES) -> Gradient:
    """A gradient of large steps, so that the losses differ in how they fail."""
    coordinates = permutation(4, "coordinate", "", entries)
    return gradient_of(around(entries), coordinates, scheme, 0.25, max(2, min(items, 1 + entries)))


def deltas(items: int, scheme: str = "central", entries: int = ENTRIES) -> Deltas:
    return deltas_of(gradient(items, scheme, entries), 16)


def route_of(method: Gradient, capabilities: Capabilities, seed: int) -> Route:
    """The stages with such a gradient as the main one."""
    points = method.points
    request = GradientRequest(
        points.center,
        points.coordinates,
        method.items,
        method.scheme.name,
        method.moves.step,
        errors=method.has_errors,
        seed=seed,
    )
    return gradient_route(request, capabilities)


METHODS: dict[str, Any] = {
    "search": search,
    "constrained": lambda items: replace(search(items), points=constrained()),
    "largest": lambda items: Search(draws(), items, 4, 50, maximize=True),
    "screen": lambda items: Search(draws(), items, 4, 50, screen="rough"),
    "verification": lambda items: Verification(draws(), tuple(range(3, 3 + 2 * min(items, 40), 2))),
    "first rungs": lambda items: halved(items),
    "rung": lambda items: Rung(
        draws(), tuple(range(3, 3 + 2 * min(items, 40), 2)), Resource("epochs", 4, 2), 2, range(100, 100)
    ),
    "recheck": lambda items: Recheck(draws(), tuple(range(3, 24, 3)), -(-items // 7)),
    "agreement": lambda items: Agreement(draws(), items),
    "report": lambda items: Report(draws(), items),
    "forward": lambda items: gradient(items, "forward", 3),
    "backward": lambda items: gradient(items, "backward", 3),
    "central": lambda items: gradient(items, "central", 3),
    "four_point": lambda items: gradient(items, "four_point", 3),
    "deltas": lambda items: deltas(items, "central", 3),
    "estimate": lambda items: slopes(items),
    "orthogonal": lambda items: slopes(items, "orthogonal"),
    "coordinates": lambda items: slopes(items, "coordinates"),
    "scaled": lambda items: scaled_slopes(items),
    "shorter": lambda items: with_length(slopes(items, "gaussian"), 0.125, max(1, items - 1), Shorter),
    "again": lambda items: with_length(slopes(items), 0.125, max(1, items - 1), Again),
    "directional": lambda items: lines(items, 3).gradient(Noise(), Capabilities()),
    "adaptive": lambda items: batch_of_search(items),
    "descent": lambda items: step_of_descent(items),
    "local_search": lambda items: Generation(Around(around(3), 8, 0.5, 4), items, 5),
    "sensitivity": lambda items: Sensitivity(Saltelli(SPACE, 5), items),
    "loss at x": lambda items: LossAtX(only(around(3))),
    "trip": lambda items: LegStage(search(items), 1, "blind"),
    "own gradient": lambda items: OwnGradient(only(around(3))),
    "line search": lambda items: LineSearch(
        Along(around(3), np.array([1.0, -1.0, 0.5]), tuple(0.5**n for n in range(min(items, 60)))), 30.0, -40.0, 1e-12
    ),
    "snapshot": lambda items: Snapshot("route", 10, {"x": np.arange(3.0), "state of mean": np.ones(3)}),
    "combination": lambda items: Combination(around(3), Directions("gaussian", 4, 5, 3), np.arange(5.0), 0.25),
    "scaled combination": lambda items: Combination(
        around(3), Directions("gaussian", 4, 5, 3), np.arange(5.0), 0.25, scale=np.array([1.0, 0.5, 3.0])
    ),
    "noise": lambda items: NoiseProbe(NoiseLines(around(3), 4, 1e-8), min(items, 14)),
    "across": lambda items: AcrossProbe(Across(around(3), np.arange(3), np.array([1e-3, -1e-3, 1e-4])), min(items, 4)),
    "count": lambda items: Count(draws(), items, 12.0),
}
"""Makers by items, each run through every law; a report's only item is the candidate of that index."""


Case = tuple[Objective, Callable[[int, int], Route]]
"""An objective, and a route by items and seed."""


def search_case(loss: str, recheck: RecheckTable | None = None, **options: Any) -> Case:
    objective = LOSSES[loss]
    return objective, lambda items, seed: search_route(
        Search(draws(seed), items, 4, 50, **options), objective.capabilities, recheck=recheck
    )


def constrained_case(objective: Objective, space: Space = SPACE, **options: Any) -> Case:
    return objective, lambda items, seed: search_route(
        Search(constrained(seed, space=space, **options), items, 4, 50), objective.capabilities
    )


def screened_case(**options: Any) -> Case:
    objective = LOSSES["screened"]
    return objective, lambda items, seed: search_route(
        Search(draws(seed), items, 4, 50, screen="rough", **options), objective.capabilities
    )


def gradient_case(loss: str, scheme: str) -> Case:
    objective = WIDE_LOSSES[loss]
    return objective, lambda items, seed: route_of(gradient(items, scheme), objective.capabilities, seed)


def automatic_case(loss: str, scheme: str | None = None) -> Case:
    """A gradient with automatic steps and error estimates."""
    objective = WIDE_LOSSES[loss]
    coordinates = permutation(4, "coordinate", "", ENTRIES)

    def route(items: int, seed: int) -> Route:
        request = GradientRequest(around(), coordinates, max(2, min(items, 1 + ENTRIES)), scheme, seed=seed)
        return gradient_route(request, objective.capabilities)

    return objective, route


def slopes(items: int, kind: Kind = "rademacher", seed: int = 4) -> Slopes:
    """Slopes along so many directions less one."""
    return slopes_of(around(3), Directions(kind, seed, max(1, items - 1), 3), 0.25)


def scaled_slopes(items: int) -> Slopes:
    """Slopes with steps of their own for the entries."""
    return slopes_of(around(3), Directions("orthogonal", 4, max(1, items - 1), 3), np.array([0.25, 0.5, 0.125]))


def estimate_case(loss: str, kind: Kind, step: float | None = 0.25) -> Case:
    objective = WIDE_LOSSES[loss]

    def route(items: int, seed: int) -> Route:
        directions = Directions(kind, seed, max(1, items - 1), ENTRIES)
        return estimate_route(around(), directions, step, objective.capabilities)

    return objective, route


def lines(items: int, entries: int = ENTRIES, seed: int = 4) -> LinesRequest:
    """Derivatives along so many orthogonal directions less one."""
    through = UnitLines(around(entries), max(1, min(items, 1 + entries) - 1), seed=seed)
    along = np.arange(through.count)
    return LinesRequest(through.center, along, 1 + len(along), "central", 0.25, seed=seed, lines=through)


def directional_case(loss: str) -> Case:
    objective = WIDE_LOSSES[loss]
    return objective, lambda items, seed: gradient_route(lines(items, seed=seed), objective.capabilities)


def step_of_descent(items: int) -> Step:
    """One step of a descent along central differences of three coordinates."""
    del items
    return Differences("central", 0.25, None, 4).first(around(3), Known(Noise()), Capabilities())


def descent_case(loss: str, rule: str = "momentum", **options: Any) -> Case:
    objective = WIDE_LOSSES[loss]
    schedule = schedule_of(options.pop("rate", 1e-3))
    estimate = options.pop("kind", None)

    def route(items: int, seed: int) -> Route:
        source = Estimates(estimate, 3, 0.25, None, seed) if estimate else Differences("central", 0.25, None, seed)
        named = rule_of(rule, {}, Path())
        steps = 1 + items // 40
        descent = Descent(around(), steps, named, schedule, source, f"{loss} {rule} {seed}", seed=seed, **options)
        return descent_route(descent, objective.capabilities)

    return objective, route


def local_search_case(loss: str) -> Case:
    objective = WIDE_LOSSES[loss]

    def route(items: int, seed: int) -> Route:
        search = LocalSearch(around(), items, 12, 0.2, 2, seed, f"{loss} {seed}")
        return local_search_route(search, objective.capabilities)

    return objective, route


def adaptive_search(items: int, seed: int = 5, searcher: Any = Hill, batch: int = 8) -> AdaptiveSearch:
    """A search by a short searcher."""
    return AdaptiveSearch(Search(draws(seed), items, 4, 50), searcher_of(searcher, {}, Path()), batch)


def batch_of_search(items: int) -> Batch:
    """The first batch of a search by a short searcher."""
    items = min(items, 8)
    unit = np.random.default_rng(3).random((items, sum(SPACE.sizes.values())))
    return adaptive_search(items, batch=items).stage(unit, Told())


def adaptive_case(loss: str, searcher: Any = Hill) -> Case:
    objective = LOSSES[loss]
    return objective, lambda items, seed: adaptive_route(adaptive_search(items, seed, searcher), objective.capabilities)


TRIP: dict[str, Any] = {
    "objective": {"loss": "examples:scalar"},
    "space": {"x": {"shape": [3], "normal": [0, 1]}, "k": 3, "c": 2.5},
    "tracking": {"use": "none"},
}


def trip_case(loss: str) -> Case:
    """Three legs: a search, a local search from its best, and a descent from where that arrives."""
    objective = LOSSES[loss]

    def route(items: int, seed: int) -> Route:
        legs: list[dict[str, Any]] = [
            {"name": "blind", "use": "search", "candidates": items},
            {"name": "local", "use": "local_search", "step": 0.3, "tries": 12, "generation": 4},
            {"name": "down", "use": "descent", "rate": 1e-3, "rule": "momentum", "steps": 3},
        ]
        tables = {**TRIP, "seed": seed, "leg": legs}
        sweep = resolve(parse_draft(tables, Lines(None, ""), "trip", Path()))
        return sweep.spec.route(sweep, objective.capabilities)

    return objective, route


def sensitivity_case(loss: str) -> Case:
    """Whole rows of a design of two variables; with a dozen, a few are complete whatever fails."""
    objective = LOSSES[loss]

    def route(items: int, seed: int) -> Route:
        design = Saltelli(SPACE, seed)
        rows = max(12, items // design.width)
        return sensitivity_route(Sensitivity(design, rows * design.width), objective.capabilities)

    return objective, route


def count_case(loss: str) -> Case:
    return LOSSES[loss], lambda items, seed: count_route(Count(draws(seed), items, 12.0))


CASES: dict[str, Case] = {
    **{loss: search_case(loss) for loss in LOSSES},
    "screened by a stand-in": screened_case(),
    "the largest, screened": screened_case(maximize=True),
    "largest troubled": search_case("troubled", maximize=True),
    "rechecked": search_case("seeded", recheck=RecheckTable(best=5, repeats=3)),
    "halved": halved_case(growing),
    "halved in brackets": halved_case(growing, brackets=3),
    "the largest, halved in batches": halved_case(GrowingBatched(), maximize=True),
    "largest batched beside": search_case("batched beside", maximize=True),
    "constrained": constrained_case(Objective(partly), SOME_SPACE, redraw=False),
    "constrained batches": constrained_case(LOSSES["poisoned"], redraw=False),
    "drawn again": constrained_case(LOSSES["batched"]),
    "forward scalar": gradient_case("scalar", "forward"),
    "backward beside": gradient_case("beside", "backward"),
    "central troubled": gradient_case("troubled", "central"),
    "central batched": gradient_case("batched", "central"),
    "forward poisoned": gradient_case("poisoned", "forward"),
    "central poisoned": gradient_case("poisoned", "central"),
    "central batched beside": gradient_case("batched beside", "central"),
    "central structured": gradient_case("structured", "central"),
    "gaussian": estimate_case("scalar", "gaussian"),
    "automatic estimate": estimate_case("batched", "orthogonal", None),
    "directional batched": directional_case("batched"),
    "adaptive": adaptive_case("scalar"),
    "adaptive with troubles": adaptive_case("troubled", "cma"),
    "adaptive in batches": adaptive_case("batched beside"),
    "descent": descent_case("scalar"),
    "descent with troubles": descent_case("troubled", "adam"),
    "descent in batches": descent_case("batched beside", "nesterov", rate={"line_search": 0.01}),
    "descent by estimates": descent_case("scalar", "rmsprop", kind="orthogonal"),
    "descent on mini-batches": descent_case("with rows", "adam", rows=7),
    "local search": local_search_case("scalar"),
    "local search with troubles": local_search_case("troubled"),
    "local search in batches": local_search_case("poisoned"),
    "sensitivity": sensitivity_case("scalar"),
    "sensitivity with troubles": sensitivity_case("beside"),
    "sensitivity in batches": sensitivity_case("poisoned"),
    "trip": trip_case("scalar"),
    "trip in batches": trip_case("batched"),
    "automatic": automatic_case("scalar"),
    "automatic structured": automatic_case("structured"),
    "backward structured": gradient_case("structured", "backward"),
    "count troubled": count_case("troubled"),
    "count batched": count_case("batched"),
}
"""An objective, and a route by items and seed: every law of whole runs holds for each."""


def bits(part: Part) -> tuple[range, bytes, bytes]:
    """All that makes two parts the same."""
    return part.items, part.columns_bytes(), part.failures.to_bytes()


def result_bits(result: Any) -> bytes:
    """A result, to the bit."""
    if isinstance(result, np.ndarray):
        return result.tobytes()
    if isinstance(result, Mapping):
        return b"{%b}" % b",".join(repr(key).encode() + b":" + result_bits(result[key]) for key in sorted(result))
    if hasattr(result, "failures"):
        names = [field.name for field in fields(result)] if is_dataclass(result) else list(vars(result))
        return b"|".join(result_bits(getattr(result, name)) for name in names)  # without what was computed since
    return repr(result).encode()
