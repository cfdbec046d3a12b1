"""The path of a descent so far: where it is, the best point on it, and its history."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from optitrip.core.arrays import Array
from optitrip.methods.descent.rule import State

HISTORY = ("losses", "norms", "rates", "evaluations")
"""Columns of the history: the loss at the beginning of each step, the norm of its gradient, its rate, and the number of
evaluations of the loss until then."""
STATE, FAILED = "state of ", "failed "
"""Prefixes of columns of a snapshot: the state of the rule, and numbers of failures by kind."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A descent after some steps.

    Arrays of the history are float64 of shape (steps,).
    """

    x: Array
    """Coordinates after the last step, float64."""
    state: State
    best_x: Array
    """Coordinates with the best loss so far, float64."""
    best_loss: float = np.nan
    best_step: int = 0
    """Number of steps before the best loss."""
    evaluations: int = 0
    """Number of evaluations of the loss so far."""
    history: Mapping[str, Array] = field(default_factory=lambda: {name: np.zeros(0) for name in HISTORY})
    failures: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def steps(self) -> int:
        """Number of steps so far."""
        return len(self.history["losses"])

    def seen(self, loss: float, sign: int) -> "Trajectory":
        """Return the path with the loss at x, which may be the best."""
        if np.isfinite(loss) and not sign * loss >= sign * self.best_loss:
            return replace(self, best_x=self.x, best_loss=loss, best_step=self.steps)
        return self

    def counted(self, evaluations: int, failures: Mapping[str, int]) -> "Trajectory":
        """Return the path with more evaluations and failures."""
        total = Counter(self.failures)
        total.update(failures)
        return replace(self, evaluations=self.evaluations + evaluations, failures=dict(total))

    def stepped(self, x: Array, state: State, loss: float, norm: float, rate: float) -> "Trajectory":
        """Return the path after a step, of which loss and norm are those at its beginning."""
        row = {"losses": loss, "norms": norm, "rates": rate, "evaluations": float(self.evaluations)}
        history = {name: np.append(column, row[name]) for name, column in self.history.items()}
        return replace(self, x=x, state=state, history=history)

    def columns(self, since: int) -> dict[str, Array]:
        """Return everything but the history before a step, for a snapshot."""
        best = np.array([self.best_loss, self.best_step, self.evaluations])
        found = {"x": self.x, "best x": self.best_x, "best": best}
        found |= {STATE + name: value for name, value in self.state.items()}
        found |= {FAILED + kind: np.array([count]) for kind, count in self.failures.items()}
        return found | {name: self.history[name][since:] for name in HISTORY}

    def continued(self, columns: Mapping[str, Array]) -> "Trajectory":
        """Return the path of a snapshot, which continues this one."""
        best_loss, best_step, evaluations = columns["best"].tolist()
        return Trajectory(
            x=columns["x"],
            state={name.removeprefix(STATE): value for name, value in columns.items() if name.startswith(STATE)},
            best_x=columns["best x"],
            best_loss=best_loss,
            best_step=int(best_step),
            evaluations=int(evaluations),
            history={name: np.concatenate([self.history[name], columns[name]]) for name in HISTORY},
            failures={
                name.removeprefix(FAILED): int(value[0]) for name, value in columns.items() if name.startswith(FAILED)
            },
        )
