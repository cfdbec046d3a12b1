"""The rungs of a search that stops bad candidates early: who got how far, and at what cost."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, Coded, Column, ours
from optitrip.core.failures import Failures
from optitrip.loss.rung import Amount, Resource, shown
from optitrip.methods.search.halving import RungResult
from optitrip.methods.search.halving_table import Halving
from optitrip.methods.search.method import SearchResult, improvements
from optitrip.methods.search.status import status_of
from optitrip.output.outcome import Rows, Table
from optitrip.output.tables import status
from optitrip.output.text import finite


@dataclass(frozen=True, eq=False)
class Halved:
    """The rungs of a search."""

    halving: Halving
    first: SearchResult
    """Losses of the first rungs."""
    rungs: tuple[RungResult, ...]
    """Rungs by amount, and of each amount by bracket."""
    failures: Failures
    """Failures of later rungs, by candidate."""
    resumes: bool
    """True if the loss goes on from the rung before, so that a rung costs only the difference."""

    @property
    def items(self) -> int:
        return self.first.items

    @property
    def sign(self) -> int:
        """+1 to minimise, -1 to maximise."""
        return -1 if self.first.maximize else 1

    @cached_property
    def last_rungs(self) -> dict[str, Array]:
        """Figures of each candidate's last rung: `loss`, `amount`, `rung`, `bracket`, and numbers beside the loss by
        "named " and their names."""
        found = {"loss": np.full(self.items, np.nan), "amount": np.zeros(self.items, type(self.halving.last))}
        found |= {name: np.zeros(self.items, np.int64) for name in ("rung", "bracket")}
        for rung in self.rungs:
            named = {f"named {name}": column for name, column in rung.named.items()}
            found |= {name: np.full(self.items, np.nan) for name in named if name not in found}
            for name in found:
                if name.startswith("named "):
                    found[name][rung.index] = named.get(name, np.nan)
            found["loss"][rung.index], found["amount"][rung.index] = rung.loss, rung.amount
            found["rung"][rung.index], found["bracket"][rung.index] = rung.number, 1 + rung.bracket
        return found

    @property
    def named(self) -> dict[str, Array]:
        """Other numbers of each candidate's last rung, by name."""
        prefix = "named "
        return {name.removeprefix(prefix): c for name, c in self.last_rungs.items() if name.startswith(prefix)}

    @cached_property
    @ours()
    def order(self) -> Array:
        """Candidates whose last loss is finite: those that got furthest first, then the best; ties to the lower
        index."""
        loss, amount = self.last_rungs["loss"], self.last_rungs["amount"]
        order = np.lexsort((np.where(np.isfinite(loss), self.sign * loss, np.inf), -amount))
        return order[np.isfinite(loss[order])]

    @property
    def finalists(self) -> Array:
        """Candidates with a finite loss in a last rung, the best first."""
        return self.order[self.last_rungs["amount"][self.order] == self.halving.last]

    def result(self) -> SearchResult:
        """Return the search's result with the best of the last rungs; the losses of all stay those of the first."""
        best, loss = self.finalists, self.last_rungs["loss"]
        ascending = np.sort(best)
        incumbents = ascending[improvements(self.sign * loss[ascending])]
        return replace(
            self.first,
            best_index=best,
            best_loss=loss[best],
            best_named={name: column[best] for name, column in self.named.items()},
            incumbent_index=incumbents,
            incumbent_loss=loss[incumbents],
        )

    def ranked(self, count: int) -> tuple[Array, Array, dict[str, Array]]:
        """Return index, last loss and other numbers of the first few in `order`."""
        index = self.order[: max(count, 0)]
        named = {name: column[index] for name, column in self.named.items()}
        return index, self.last_rungs["loss"][index], named

    def reached(self, index: Array) -> dict[str, Column]:
        """Return how far some candidates got: the amount of the resource, and the rung."""
        figures = {self.halving.argument: "amount", "rung": "rung"}
        figures |= {"bracket": "bracket"} if self.brackets > 1 else {}
        return {name: self.last_rungs[figure][index] for name, figure in figures.items()}

    def status(self) -> Coded:
        """Return "ok" or the kind of failure for each candidate, which fails once at most."""
        found = status_of(self.first)
        later = status(self.failures, self.first.index)
        words = [*found.words, *later.words[1:]]
        codes = np.where(later.codes > 0, later.codes + len(found.words) - 1, found.codes)
        return Coded(codes.astype(np.int32), words)

    @property
    def brackets(self) -> int:
        return len(self.halving.starts)

    @cached_property
    def cost(self) -> float:
        """Resource that all evaluations took, without repeated ones."""
        amounts = self.halving.amounts
        total: float = 0
        for rung in self.rungs:
            done = amounts[rung.level - 1] if self.resumes and rung.number > 1 else 0
            total += len(rung.index) * (rung.amount - done)
        return total

    @property
    def full_cost(self) -> float:
        """Resource that all candidates would take in full."""
        return self.items * self.halving.last

    @property
    def saved(self) -> float:
        """Share of the full cost that was saved."""
        return 1 - self.cost / self.full_cost

    def table(self) -> dict[str, Column]:
        """Return a row for each rung, bracket by bracket: candidates, resource, failures, the best loss and whose it
        is."""
        rungs = sorted(self.rungs, key=lambda rung: (rung.bracket, rung.level))
        pairs = [(rung, rung.order[:1]) for rung in rungs]
        table: dict[str, Column] = {"bracket": np.array([1 + r.bracket for r in rungs])}
        return (table if self.brackets > 1 else {}) | {
            "rung": np.array([r.number for r in rungs]),
            self.halving.argument: np.array([r.amount for r in rungs]),
            "candidates": np.array([len(r.index) for r in rungs]),
            "failed": np.array([r.failed for r in rungs]),
            "best_loss": np.array([r.loss[row[0]] if len(row) else np.nan for r, row in pairs]),
            "best_candidate": np.array([r.index[row[0]] if len(row) else -1 for r, row in pairs]),
        }

    def printed(self) -> Table:
        """Return the table for a terminal."""
        table = self.table()
        argument = self.halving.argument
        columns: list[list[str]] = []
        for name, column in table.items():
            if name == argument:
                columns.append([shown(amount) for amount in column.tolist()])
            elif name == "best_loss":
                columns.append([f"{loss:.8g}" for loss in column.tolist()])
            else:
                columns.append([f"{number:,}" if number >= 0 else "" for number in column.tolist()])
        return [name.replace("_", " ") for name in table], [list(row) for row in zip(*columns, strict=True)]

    def fields(self) -> dict[str, Any]:
        """Return the fields for `--json`."""
        table = {name: column.tolist() for name, column in self.table().items()}
        rungs: list[dict[str, Any]] = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        rungs = [{**rung, **finite({"best_loss": rung["best_loss"]})} for rung in rungs]
        cost = {"cost": self.cost, "full_cost": self.full_cost, "saved": self.saved, "resumes": self.resumes}
        return {"argument": self.halving.argument, "brackets": self.brackets, **cost, "rungs": rungs}

    def metrics(self) -> dict[str, float]:
        found = {"cost": self.cost, "full_cost": self.full_cost, "saved": self.saved}
        rungs = {"rungs": len(self.halving.amounts), "finalists": len(self.finalists)}
        return {f"halving/{name}": float(value) for name, value in {**found, **rungs}.items()}

    def rows(self) -> Rows:
        """Return the lines of the short table."""
        return [("halved", self.cost_words())]

    def cost_words(self) -> str:
        """Return what was evaluated, beside what all candidates would have cost."""
        total, unit = self.full_cost, self.halving.argument
        return f"{number(self.cost)} of the {number(total)} {unit} of all in full ({100 * self.cost / total:.3g} %)"

    def words(self) -> list[str]:
        """Return how sure the best is, and what was seen of the others."""
        best, full = self.finalists, Resource(self.halving.argument, self.halving.last).text
        loss = self.last_rungs["loss"]
        lines = [f"it alone got to {full}"]
        if len(best) > 1:
            behind = abs(float(loss[best[1]] - loss[best[0]]))
            lines = [f"the best of {len(best):,} candidates that got to {full}"]
            lines.append(f"the runner-up (candidate {int(best[1]):,}) is {behind:.3g} behind")
        lines.append(self.cost_words())
        if self.brackets == 1:
            lines.append("one that is late to improve was stopped: brackets = true begins some with more")
        return lines


def number(amount: Amount) -> str:
    """Return an amount, with its decimals only if it has any."""
    return shown(int(amount)) if amount == int(amount) else shown(amount)
