"""The table `halve` of a search: how much of its resource each rung gives, and where brackets begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from optitrip.core.table import Table, one_of
from optitrip.errors import Invalid
from optitrip.loss.noisy import SEED
from optitrip.loss.rung import STATE, Amount, Resource, shown
from optitrip.methods.search.method import KEEP_ALL
from optitrip.space.variables import Space

if TYPE_CHECKING:
    from optitrip.config.sweep import StopTable

Given = Annotated[
    Annotated[int, Field(gt=0, le=2**53)] | Annotated[float, Field(gt=0, allow_inf_nan=False)],
    one_of("a number above 0"),
]
NEARLY = 1 - 1e-9
"""Share of the largest amount that counts as all of it: 0.1 · 3 · 3 … is rounded."""
OWN = (SEED, STATE, "here", "self", "index", "loss", "rung", "bracket", "status", "candidates", "failed")
"""Names of parameters that have a meaning of their own."""


class HalveTable(Table):
    """The table `halve` of a search: bad candidates are stopped early."""

    argument: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]
    """Parameter of the loss that takes the resource."""
    start: Given = Field(alias="from")
    """Amount of the first rung."""
    to: Given
    """Amount of the last rung."""
    factor: Annotated[int, Field(ge=2, le=1_000)] = 3
    """Ratio of the amounts of two rungs, and of their numbers of candidates."""
    brackets: Annotated[bool | Annotated[int, Field(ge=1)], one_of("true for all, or a number of brackets")] = False
    """Number of brackets, each of which begins with more of the resource and fewer candidates; true for all."""

    @property
    def amounts(self) -> tuple[Amount, ...]:
        """Amounts of all rungs, ascending: whole numbers if both ends are."""
        whole = isinstance(self.start, int) and isinstance(self.to, int)
        first, last = (self.start, self.to) if whole else (float(self.start), float(self.to))
        found: list[Amount] = []
        while (amount := first * self.factor ** len(found)) < last * NEARLY:
            found.append(amount)
        return (*found, last)

    @property
    def wanted(self) -> int:
        """Number of brackets."""
        if isinstance(self.brackets, bool):
            return len(self.amounts) if self.brackets else 1
        return self.brackets

    @property
    def resource(self) -> Resource:
        """All of the resource."""
        return Resource(self.argument, self.amounts[-1])

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the answer, by the keys of the table."""
        off = set() if self.brackets else {"brackets"}
        return self.model_dump(by_alias=True, exclude=off)


@dataclass(frozen=True)
class Halving:
    """The rungs of a search: their amounts, and the candidates of each bracket."""

    argument: str
    amounts: tuple[Amount, ...]
    """Amounts of the resource, ascending; bracket b begins with the one of number b."""
    factor: int
    starts: tuple[int, ...]
    """First candidates of the brackets, ascending from 0; each goes up to the next, the last to the end."""

    @classmethod
    def of(cls, table: HalveTable, candidates: int) -> Halving:
        amounts = table.amounts
        counts = bracket_sizes(candidates, table.wanted, len(amounts), table.factor)
        starts = tuple(sum(counts[:number]) for number in range(len(counts)))
        return cls(table.argument, amounts, table.factor, starts)

    @property
    def last(self) -> Amount:
        """Amount of the last rungs."""
        return self.amounts[-1]

    def resource(self, level: int, *, first: bool = False) -> Resource:
        """Return what candidates get at a level, as their `first` rung or after the level before."""
        return Resource(self.argument, self.amounts[level], None if first else self.amounts[level - 1])

    def brackets(self, items: int) -> list[range]:
        """Return the candidates of each bracket, of so many in all."""
        edges = [*self.starts, items]
        return [range(lo, hi) for lo, hi in pairwise(edges)]

    def kept(self, count: int) -> int:
        """Return how many of a rung's candidates go on at most."""
        return -(-count // self.factor)


def bracket_sizes(candidates: int, brackets: int, levels: int, factor: int) -> list[int]:
    """Share candidates among brackets in the proportions of Hyperband: (s_max + 1) / (s + 1) · factor^s for bracket
    s = s_max, s_max - 1, …, which are those of equal cost (L. Li et al., JMLR 18 (2018) 185, Algorithm 1); at least one
    candidate each, remainders to the largest fractions.

    Algorithm 1 rounds numbers of candidates that go on down, this search up; and its number of candidates follows from
    the resource, which here is only their proportion.
    """
    weights = [factor**s * levels / (s + 1) for s in range(levels - 1, levels - 1 - brackets, -1)]
    shares = [candidates * weight / sum(weights) for weight in weights]
    sizes = [int(share) for share in shares]
    order = sorted(range(brackets), key=lambda number: (sizes[number] - shares[number], number))
    for number in order[: candidates - sum(sizes)]:
        sizes[number] += 1
    for number in range(brackets):
        if not sizes[number]:
            largest = max(range(brackets), key=lambda other: (sizes[other], other))
            sizes[number], sizes[largest] = 1, sizes[largest] - 1
    return sizes


def described(halve: HalveTable | None) -> str:
    """Return how candidates are stopped early, for a plan."""
    if halve is None:
        return ""
    amounts = halve.amounts
    brackets = f" in {halve.wanted} brackets" if halve.wanted > 1 else ""
    steps = f"from {shown(amounts[0])} to {shown(amounts[-1])} in {len(amounts)} rungs"
    return f"; {halve.argument} {steps}, 1 in {halve.factor} goes on{brackets}"


def check_halve(halve: HalveTable | None, given: Sequence[tuple[str, object]], space: Space, stop: StopTable) -> None:
    """Raise Invalid if a search cannot stop its candidates early as the table wants; `given` are other keys of the
    method by name, with their values: `candidates`, and those that do not go together with it."""
    if halve is None:
        return
    path = ("method", "halve")
    if halve.argument in space.names:
        raise Invalid((*path, "argument"), f"was {halve.argument!r}, a variable of the space; remove it from [space]")
    if halve.argument in OWN:
        raise Invalid((*path, "argument"), f"was {halve.argument!r}, which has a meaning of its own; choose another")
    if halve.start >= halve.to:
        raise Invalid((*path, "from"), f"was {halve.start}; wanted less than `to`, which is {halve.to}")
    if halve.wanted > len(halve.amounts):
        most = f"wanted at most {len(halve.amounts)}, one for each rung"
        raise Invalid((*path, "brackets"), f"was {halve.wanted}; {most}")
    others = dict(given)
    candidates = others.pop("candidates")
    assert isinstance(candidates, int)
    if not halve.wanted <= candidates <= KEEP_ALL:
        wanted = f"from {halve.wanted} to {KEEP_ALL:,} candidates"
        raise Invalid(("method", "candidates"), f"was {candidates:,}; wanted {wanted} to halve")
    for key, value in others.items():
        if value is not None:
            raise Invalid(("method", key), "does not go together with halve; remove one of them")
    for key in ("target_loss", "no_improvement"):
        if getattr(stop, key) is not None:
            raise Invalid(("stop", key), "would apply to losses of the first rung; remove this line, or halve")
