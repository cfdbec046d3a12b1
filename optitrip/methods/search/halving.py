"""Successive halving: all candidates get a little of a resource, such as epochs, the best of them more and more.

Rungs are synchronous: each is a stage on all that go on, so that who goes on is a function of the losses alone. With
brackets it is Hyperband (L. Li et al., JMLR 18 (2018) 185): each has candidates of its own, and begins with more.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, joined
from optitrip.core.failures import Failures
from optitrip.core.method import Method, digest_of, merged
from optitrip.core.part import Part
from optitrip.loss.objective import Objective
from optitrip.loss.rung import Amount, Resource
from optitrip.methods.search.halving_table import Halving
from optitrip.methods.search.method import INFEASIBLE, Search, SearchResult
from optitrip.methods.search.screening import Chosen, failed_candidates
from optitrip.methods.search.status import none_of, status_of
from optitrip.methods.shared import no_answer
from optitrip.methods.wrapped import Wrapped


@dataclass(frozen=True)
class FirstRungs(Search):
    """The main stage: all candidates, each with as much of the resource as its bracket begins with."""

    halving: Halving = field(kw_only=True)

    @property
    def first(self) -> list[Resource]:
        """Resources of the candidates of each bracket in its first rung."""
        return [self.halving.resource(level, first=True) for level in range(len(self.halving.starts))]

    def digest(self) -> bytes:
        # Nothing of where it goes on to: a search of more candidates finds these losses, if it has one bracket.
        starts = {"starts": self.halving.starts} if len(self.halving.starts) > 1 else {}
        return digest_of(self.kind, {"search": super().digest().hex(), "resource": facts(self.first), **starts})

    def prepare(self, objective: Objective) -> Any:
        return [objective.with_resource(resource) for resource in self.first]

    @property
    def preparation(self) -> bytes:
        return json.dumps(["first rungs", facts(self.first)]).encode()

    def evaluate(self, context: Any, items: range) -> Part:
        parts: list[Part] = []
        for objective, bracket in zip(context, self.halving.brackets(max(self.items, items.stop)), strict=True):
            if within := range(max(items.start, bracket.start), min(items.stop, bracket.stop)):
                parts.append(super().evaluate(objective, within))
        return merged(parts, self.merge)

    def resource_of(self, item: int) -> Resource:
        """Return what a candidate gets."""
        return self.first[sum(start <= item for start in self.halving.starts) - 1]

    def title(self, item: int, side: int | None = 0) -> str:
        return f"{super().title(item, side)} with {self.resource_of(item).text}"


@dataclass(frozen=True)
class Rung(Chosen):
    """A later rung: the candidates `indices`, of all brackets that have begun, get more of the resource."""

    resource: Resource
    level: int
    """Number of the amount, from 0."""
    waiting: range
    """Candidates whose brackets begin with this amount or more."""
    kind = "rung"

    @property
    def items(self) -> int:
        return len(self.indices)

    def digest(self) -> bytes:
        fields = {"draws": self.points.describe(), "candidates": list(self.indices)}
        return digest_of(self.kind, {**fields, "resource": facts([self.resource])})

    def prepare(self, objective: Objective) -> Objective:
        return objective.with_resource(self.resource)

    @property
    def preparation(self) -> bytes:
        return json.dumps(facts([self.resource])).encode()

    def title(self, item: int, side: int | None = 0) -> str:
        return f"{super().title(item, side)} with {self.resource.text}"


@dataclass(frozen=True)
class AtFirst(Wrapped):
    """A check before the main stage, with as little of the resource as that begins with."""

    resource: Resource
    kind = "agreement"

    def digest(self) -> bytes:
        return digest_of(self.kind, {"inner": self.inner.digest().hex(), "resource": facts([self.resource])})

    def prepare(self, objective: Objective) -> Any:
        return self.inner.prepare(objective.with_resource(self.resource))

    @property
    def preparation(self) -> bytes:
        return json.dumps(facts([self.resource])).encode()


def facts(resources: Sequence[Resource]) -> list[list[Any]]:
    return [[resource.argument, resource.amount, resource.before] for resource in resources]


@dataclass(frozen=True, eq=False)
class RungResult:
    """The losses of one rung of one bracket."""

    bracket: int
    """Number of the bracket, from 0."""
    level: int
    """Number of the amount, from 0; the bracket began with the amount of its own number."""
    amount: Amount
    index: Array
    """Candidates, int64, ascending."""
    loss: Array
    """Losses of these candidates, float64; NaN or infinite where one failed."""
    named: Mapping[str, Array]
    """Other numbers that the objective returned, by name, beside `loss`."""
    sign: int
    """+1 to minimise, -1 to maximise."""
    most: int
    """Most candidates that go on."""
    infeasible: int = 0
    """Number of candidates that violate a constraint, and were not evaluated."""

    @property
    def number(self) -> int:
        """Number of the rung in its bracket, from 1."""
        return self.level - self.bracket + 1

    @property
    def failed(self) -> int:
        """Number of candidates that were evaluated, and have no finite loss."""
        return int((~np.isfinite(self.loss)).sum()) - self.infeasible

    @property
    def order(self) -> Array:
        """Rows of the finite losses, the best first; ties to the lower index."""
        key = np.where(np.isfinite(self.loss), self.sign * self.loss, np.inf)
        return np.argsort(key, kind="stable")[: int(np.isfinite(self.loss).sum())]

    @property
    def survivors(self) -> Array:
        """Candidates that go on, ascending: the best with a finite loss."""
        return np.sort(self.index[self.order[: self.most]])


def halved(method: FirstRungs) -> Generator[Method, Any, tuple[SearchResult, list[RungResult], Failures]]:
    """Yield the first rungs and all later ones; return the result of the first, all rungs, and the failures of later
    ones by candidate. Raises NoAnswer if no loss of the first rungs, or none of the last ones, is finite."""
    found: SearchResult = yield method
    if not len(found.best_index):
        raise no_answer(none_of(found), found.failures, method)
    halving, brackets = method.halving, method.halving.brackets(found.items)
    now = {b: rung_of(method, b, b, found.index[rows], found, rows) for b, rows in enumerate(map(as_slice, brackets))}
    rungs, later = list(now.values()), list[tuple[Chosen, Part]]()
    for level in range(1, len(halving.amounts)):
        going_on = {b: now[b].survivors for b in now if b < level and now[b].level == level - 1}
        indices = np.concatenate([np.empty(0, np.int64), *going_on.values()])
        if not len(indices):
            continue
        waiting = range(brackets[level].start if level < len(brackets) else found.items, found.items)
        stage = Rung(method.points, tuple(indices.tolist()), halving.resource(level), level, waiting)
        part: Part = yield stage
        later.append((stage, part))
        columns = joined([part.columns], "loss", "")
        edges = np.cumsum([0, *map(len, going_on.values())]).tolist()
        for b, (lo, hi) in zip(going_on, pairwise(edges), strict=True):
            if hi > lo:
                own = {name: column[lo:hi] for name, column in columns.items()}
                loss = own.pop("loss")
                now[b] = RungResult(
                    b, level, halving.amounts[level], indices[lo:hi], loss, own, method.sign, halving.kept(hi - lo)
                )
                rungs.append(now[b])
    failures = failed_candidates(later)
    furthest = [rung for rung in rungs if rung.amount == max(one.amount for one in rungs)]
    if not any(rung.amount == halving.last and len(rung.order) for rung in furthest):
        count, what = sum(len(rung.index) for rung in furthest), halving.resource(furthest[0].level).text
        reason = f"none of the {count:,} candidates that got to {what} has a finite loss"
        raise no_answer(reason, found.failures if failures.first() is None else failures, method.points)
    return found, rungs, failures


def as_slice(items: range) -> slice:
    return slice(items.start, items.stop)


def rung_of(method: FirstRungs, bracket: int, level: int, index: Array, found: SearchResult, rows: slice) -> RungResult:
    """Return the first rung of a bracket from the result of the main stage."""
    named = {name: column[rows] for name, column in found.named.items()}
    amount, most = method.halving.amounts[level], method.halving.kept(len(index))
    told = status_of(found)
    infeasible = sum(told.words[code] == INFEASIBLE for code in told.codes[rows].tolist()) if found.infeasible else 0
    return RungResult(bracket, level, amount, index, found.loss[rows], named, method.sign, most, infeasible)


def at_first(method: Method, check: Method) -> Method:
    """Return a check before the main stage as that stage wants it."""
    return AtFirst(check, method.first[0]) if isinstance(method, FirstRungs) else check


def with_rungs(search: Search, halving: Halving) -> FirstRungs:
    """Return the main stage of a search that stops bad candidates early."""
    fields = {name: value for name, value in vars(search).items() if name in Search.__dataclass_fields__}
    return FirstRungs(**fields, halving=halving)
