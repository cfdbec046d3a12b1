"""Checks before a main stage: whether fast and plain calls agree, and in which precision losses are computed."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from optitrip.core.arrays import Array
from optitrip.core.failures import Failures, Problems
from optitrip.core.method import Points, Route, digest_of
from optitrip.core.part import Part
from optitrip.core.point import Point
from optitrip.errors import NoAnswer
from optitrip.loss.evaluation import Evaluation
from optitrip.loss.returns import DOUBLE, PRECISIONS
from optitrip.methods.shared import PointMethod, constraints
from optitrip.samplers.random import Random

MOST_COMPARED = 32
"""Largest number of points at which fast and plain calls are compared."""


class Agreed(NamedTuple):
    """The result of a comparison of fast and plain calls."""

    disagreement: str
    """Description of the first disagreement; empty if all agree."""
    unchecked: str
    """Description of a check in which a wrong fast call could have passed; empty if the check was conclusive."""
    eps: float
    """Relative precision of the losses of the fast call."""


@dataclass(frozen=True)
class Agreement(PointMethod[Points]):
    """A check that the fast call and the plain call give the same loss for the first `items` points.

    If a fast call (a batch, a structured difference) does not match the plain loss, the user's code has a bug that
    would otherwise go unnoticed; so once per sweep a few items are evaluated both ways.
    """

    points: Points
    items: int = MOST_COMPARED
    kind = "agreement"
    fast_call: ClassVar[str] = "losses"
    common_column = "batched"

    def digest(self) -> bytes:
        return digest_of(self.kind, {"points": self.points.describe()})

    def evaluate(self, context: Any, items: range) -> Part:
        feasible = constraints(self.points)
        in_batch = context.evaluate(self.points.values, items, *feasible)
        one_by_one = context.evaluate_plainly(self.points.values, items, *feasible)
        each = zip(one_by_one.losses.tolist(), in_batch.eps.tolist(), strict=True)
        allowed = [context.allowed_difference(loss, double=eps == DOUBLE) for loss, eps in each]
        return compared(items, in_batch, one_by_one, np.array(allowed))

    def evaluations(self, items: range) -> int:
        return 2 * len(items)

    def failed_part(self, items: range, problems: Problems) -> Part:
        nothing = Evaluation(items, problems=problems)
        return compared(items, nothing, nothing, np.zeros(len(items)))

    def result(self, whole: Part) -> Agreed:
        fast, plain, allowed = (whole.columns[name] for name in ("batched", "plain", "allowed"))
        eps = max(precision(fast), float(whole.columns["eps"].max()))
        # Two losses that are NaN, or the same infinity, agree.
        wrong = np.flatnonzero(~np.isclose(fast, plain, rtol=0, atol=allowed, equal_nan=True))
        if not len(wrong):
            same = f"the losses at {len(plain)} points differ by no more than rounding"
            text = f"{self.fast_call} could not be compared with plain calls: {same}"
            return Agreed("", "" if self.conclusive(whole) else text, eps)
        row = int(wrong[0])
        first = whole.failures.first()
        why = f"\n{first[1].traceback or first[1].message}" if first else ""
        text = (
            f"{self.title(whole.items[row])}: {self.fast_call} gives {float(fast[row])!r} where the plain call gives "
            f"{float(plain[row])!r}; they may differ by {allowed[row]:.3g}. Correct one of them, or give the objective "
            f"a relative `tolerance`.{why}"
        )
        return Agreed(text, "", eps)

    def conclusive(self, whole: Part) -> bool:
        """Return whether two plain losses differ by more than rounding: else a batch may have mixed up its rows."""
        plain, allowed = whole.columns["plain"], whole.columns["allowed"]
        finite = np.isfinite(plain)
        return bool(finite.any() and np.ptp(plain[finite]) > 2 * allowed[finite].max())


def compared(items: range, fast: Evaluation, plain: Evaluation, allowed: Array) -> Part:
    """Return both losses of each item; the next stage records an item that fails both ways."""
    one_way = {items[row] for row in np.flatnonzero(np.isfinite(fast.losses) != np.isfinite(plain.losses)).tolist()}
    found = [(kind, record) for way in (fast, plain) for kind, record in way.problems if record.index in one_way]
    failures = Failures.of({record.index: kind for kind, record in found}, found)
    allowed = np.nan_to_num(allowed, nan=0.0, posinf=0.0)
    columns = {"batched": fast.losses, "plain": plain.losses, "allowed": allowed, "eps": fast.eps}
    return Part(items, columns, failures)


def check_agreement(method: Agreement) -> Route:
    """Yield stages with more and more of the method's items, at first 2, until one is conclusive; return its result.

    Raise NoAnswer, with both losses, if the fast and the plain call disagree.
    """
    compared = 1
    while True:
        compared = min(2 * compared * compared, method.items)  # 2, 8, all
        agreed: Agreed = yield replace(method, items=compared)
        if agreed.disagreement:
            raise NoAnswer(agreed.disagreement)
        if not agreed.unchecked or compared == method.items:
            return agreed


NEARBY = (DOUBLE, PRECISIONS["float32"], PRECISIONS["bfloat16"])


@dataclass(frozen=True, eq=False)
class Nearby(Points):
    """Random points near x: every varied entry moves by up to eps^(1/3) max(1, |x|), the step of central differences.

    Losses at such points have no reason to be round numbers, as f(x) may have at a round x. The eps is that of float64,
    float32 and bfloat16 in turn, in case the loss does not resolve smaller moves, or exists only close to x.
    """

    center: Point
    seed: int

    def values(self, items: range) -> dict[str, Array]:
        rows = {name: np.repeat(value[np.newaxis], len(items), axis=0) for name, value in self.center.values.items()}
        sizes = {name: self.center.values[name].size for name in self.center.varied}
        for name, unit in Random(purpose="nearby").unit(self.seed, sizes, items).items():
            x = self.center.values[name]
            eps = np.maximum(np.finfo(x.dtype).eps, np.resize(NEARBY, items.stop)[items.start :])
            moves = (2 * unit - 1) * np.cbrt(eps)[:, np.newaxis] * np.maximum(1, np.abs(x.ravel().astype(np.float64)))
            with np.errstate(over="ignore"):  # a loss at infinity is not used
                rows[name][...] = x + moves.reshape(len(items), *x.shape)
        for column in rows.values():
            column.flags.writeable = False
        return rows

    def title(self, item: int, side: int | None = 0) -> str:
        return f"random point {item} near x"

    def describe(self) -> dict[str, Any]:
        return {"near": self.center.digest, "seed": self.seed}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Nearby) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash(tuple(self.describe().values()))


@dataclass(frozen=True)
class Probe(PointMethod[Points]):
    """A few losses that show the precision in which the objective computes; the result is its eps."""

    points: Points
    items: int = len(NEARBY)
    kind = "probe"

    def digest(self) -> bytes:
        return digest_of(self.kind, {"points": self.points.describe()})

    def part(self, evaluation: Evaluation) -> Part:
        return Part(evaluation.items, {"loss": evaluation.losses, "eps": evaluation.eps}, evaluation.failures)

    def result(self, whole: Part) -> float:
        return max(precision(whole.columns["loss"]), float(whole.columns["eps"].max()))


@dataclass(frozen=True)
class Repeat(PointMethod[Points]):
    """The loss of the first point once more, to see whether it is deterministic; the result is the loss."""

    points: Points
    items = 1
    kind = "repeat"
    optional = True

    def digest(self) -> bytes:
        return digest_of(self.kind, {"points": self.points.describe()})

    def part(self, evaluation: Evaluation) -> Part:
        return Part(evaluation.items, {"loss": evaluation.losses}, evaluation.failures)

    def result(self, whole: Part) -> float:
        return float(whole.columns["loss"][0])


def precision(losses: Array) -> float:
    """Return the eps of the coarsest floating-point type that holds all of these losses.

    A loss that was computed in float32 and returned as a Python float still has a significand of at most 24 bits; a
    float64 loss has so few by chance once in 2^29. Equal losses, e.g. of a constant, show nothing.
    """
    finite = losses[np.isfinite(losses)]
    if len(np.unique(finite)) < 2:
        return DOUBLE
    significands = np.abs(np.ldexp(np.frexp(finite)[0], 53)).astype(np.int64)
    coarsest = float((significands & -significands).astype(np.float64)[significands != 0].min()) * DOUBLE
    return max([DOUBLE, *(known for known in PRECISIONS.values() if known <= coarsest)])
