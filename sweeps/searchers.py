"""Random, Sobol and halving beside Optuna's TPE and CMA-ES on the same budget; `searchers.md` tells what came out.

    uv run python sweeps/searchers.py --to sweeps

prints the table as Markdown and writes the picture, `searchers.png`. Searchers whose package is not installed are left
out, with a line that says so.
"""

import argparse
import io
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from digits_learner import loss as learned
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import optitrip

Array = np.ndarray[Any, Any]
Search = Callable[["Task", int], Any]

EPOCHS, FACTOR, BATCH = 27, 3, 8
"""Epochs of a candidate in full, halving's factor, and the candidates that a searcher asks for at a time."""
LOCAL = {"executor": "serial", "progress": False}
"""Options of all searches: in this process, where a candidate is cheaper than its way to a worker."""
NETWORK: dict[str, Any] = {
    "rate": {"log_uniform": [1e-2, 3]},
    "momentum": {"uniform": [0, 0.95]},
    "decay": {"log_uniform": [1e-6, 1e-2]},
    "hidden": {"integer": [8, 64]},
    "batch": {"integer": [32, 128]},  # not a choice as in halving.toml: CMA-ES takes none
}
WEIGHT = np.array([1.0, 1.2, 3.0, 3.2])
WIDTH = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8],
                  [17, 8, 0.05, 10, 0.1, 14]])  # fmt: skip
CENTRE = 1e-4 * np.array([[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
                          [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]])  # fmt: skip
LEAST = -3.322368
"""Least value of Hartmann's function, at (0.2017, 0.1500, 0.4769, 0.2753, 0.3117, 0.6573)."""


def hartmann(x: Array) -> float:
    """Return how far Hartmann's function of six numbers is above its least value: smooth, with several minima (L. C. W.
    Dixon and G. P. Szegő, Towards Global Optimisation 2, 1978)."""
    return float(-WEIGHT @ np.exp(-(WIDTH * (x - CENTRE) ** 2).sum(axis=1))) - LEAST


@dataclass(frozen=True)
class Task:
    """A loss, where its candidates are drawn, and how many of them are paid for."""

    title: str
    loss: Any
    space: dict[str, Any]
    candidates: int
    """Number of candidates in full."""
    cost: int = 1
    """Cost of a candidate in full."""
    unit: str = "evaluations"
    arguments: dict[str, Any] = field(default_factory=dict)
    """Arguments of a candidate in full."""
    resource: str = ""
    """Argument that halving rations; empty if there is none."""


def tasks(networks: int, points: int) -> list[Task]:
    """Return the network that learns digits, and Hartmann's function."""
    full = {"epochs": EPOCHS}
    cube = {"x": {"shape": [6], "uniform": [0, 1]}}
    return [
        Task("digits: validation loss", learned, NETWORK, networks, EPOCHS, "epochs", full, "epochs"),
        Task("Hartmann, 6 numbers: above the minimum", hartmann, cube, points),
    ]


@dataclass(frozen=True)
class Run:
    """One search: the best so far at each cost, its answer, and its processor time."""

    costs: Array
    best: Array
    answer: float
    seconds: float


def drawn(sampler: str, task: Task, seed: int) -> Any:
    """Search with candidates that do not depend on the losses."""
    options: dict[str, Any] = {"sampler": sampler, "arguments": task.arguments, **LOCAL}
    return optitrip.search(task.loss, task.space, candidates=task.candidates, seed=seed, **options)


def halved(task: Task, seed: int) -> Any:
    """Search with random candidates, and stop bad ones early. Each of the four rungs costs a quarter of the budget, so
    that 9 candidates can begin for each that is paid for in full."""
    halve = {"argument": task.resource, "from": EPOCHS // FACTOR**3, "to": EPOCHS, "factor": FACTOR}
    count = task.candidates // FACTOR * FACTOR**3
    return optitrip.search(task.loss, task.space, candidates=count, seed=seed, halve=halve, **LOCAL)


def asked(searcher: str, task: Task, seed: int) -> Any:
    """Search with a searcher that learns from the losses of each batch."""
    options: dict[str, Any] = {"batch": BATCH, "arguments": task.arguments, **LOCAL}
    return optitrip.ask_tell(task.loss, task.space, searcher=searcher, candidates=task.candidates, seed=seed, **options)


SEARCHES: dict[str, tuple[str, str, Search]] = {
    "random": ("", "#7f7f7f", partial(drawn, "random")),
    "Sobol": ("", "#2f79b5", partial(drawn, "sobol")),
    "halving": ("", "#b6212f", halved),
    "TPE (Optuna)": ("optuna", "#e08b00", partial(asked, "optuna")),
    "CMA-ES": ("cma", "#2e8b57", partial(asked, "cma")),
}
"""Package that each needs, colour, and search, by name."""


def run(search: Search, task: Task, seed: int) -> Run:
    """Search, and return the best so far at each cost: for halving, the best network that has been trained so far,
    however few its epochs."""
    start = time.process_time()
    answer = search(task, seed)
    seconds = time.process_time() - start
    costs, losses = np.full(len(answer.losses), float(task.cost)), answer.losses
    if answer.halved:
        rungs, amounts = answer.halved.rungs, answer.halved.halving.amounts
        grown = [rung.amount - (amounts[rung.level - 1] if rung.level else 0) for rung in rungs]
        costs = np.concatenate([np.full(len(rung.index), float(more)) for rung, more in zip(rungs, grown, strict=True)])
        losses = np.concatenate([rung.loss for rung in rungs])
    return Run(costs.cumsum(), np.fmin.accumulate(losses), float(answer.loss), seconds)


def compared(task: Task, seeds: Sequence[int]) -> dict[str, list[Run]]:
    """Return the runs of each searcher that is installed and suits the task, one a seed."""
    found: dict[str, list[Run]] = {}
    for name, (package, _, search) in SEARCHES.items():
        if (search is halved and not task.resource) or (package and find_spec(package) is None):
            continue
        search(task, seeds[0])  # not counted: imports of the libraries
        found[name] = [run(search, task, seed) for seed in seeds]
    return found


def markdown(task: Task, found: dict[str, list[Run]]) -> str:
    """Return the table of a task: quartiles of the answers, in how many seeds each was the best, and CPU seconds."""
    answers = np.array([[run.answer for run in runs] for runs in found.values()])
    first = np.bincount(answers.argmin(axis=0), minlength=len(found))
    lines = [f"| {task.title} | {task.unit} | median | quartiles | best in | CPU seconds |", "|---" * 6 + "|"]
    for row, (name, runs) in enumerate(found.items()):
        low, median, high = np.quantile(answers[row], [0.25, 0.5, 0.75])
        seconds = np.median([run.seconds for run in runs])
        spent = f"{runs[0].costs[-1]:,.0f}"
        wins = f"{first[row]} of {len(runs)}"
        lines.append(f"| {name} | {spent} | {median:.3g} | {low:.3g} to {high:.3g} | {wins} | {seconds:.1f} |")
    return "\n".join(lines)


def picture(results: list[tuple[Task, dict[str, list[Run]]]]) -> bytes:
    """Draw the median of the best so far against the cost, with the quartiles as a band, as a PNG."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (task, found) in zip(figure.subplots(1, len(results)), results, strict=True):
        for name, runs in found.items():
            costs = runs[0].costs
            low, median, high = np.quantile([run.best for run in runs], [0.25, 0.5, 0.75], axis=0)
            colour = SEARCHES[name][1]
            axes.plot(costs, median, color=colour, label=name, linewidth=1.8, drawstyle="steps-post")
            axes.fill_between(costs, low, high, color=colour, alpha=0.15, linewidth=0, step="post")
        axes.set(xlabel=task.unit, yscale="log", title=task.title)
        axes.grid(visible=True, which="both", alpha=0.2)
        axes.legend(frameon=False, fontsize=9)
        if task.resource:
            axes.set_ylim(top=1)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def main() -> None:
    """Compare, print the tables, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="number of searches by each searcher")
    parser.add_argument("--networks", type=int, default=64, help="number of networks whose epochs are the budget")
    parser.add_argument("--points", type=int, default=256, help="number of evaluations of the analytic function")
    parser.add_argument("--to", type=Path, default=Path(), help="folder of the picture")
    given = parser.parse_args()
    start = time.perf_counter()
    results = [(task, compared(task, range(given.seeds))) for task in tasks(given.networks, given.points)]
    for task, found in results:
        sys.stdout.write(markdown(task, found) + "\n\n")
    for name, (package, _, _) in SEARCHES.items():
        if package and find_spec(package) is None:
            sys.stdout.write(f"{name} is left out; install {package}, or optitrip[{package}]\n")
    (given.to / "searchers.png").write_bytes(picture(results))
    seconds = f"{time.perf_counter() - start:.0f} s in all, {time.process_time():.0f} CPU seconds"
    sys.stdout.write(f"{given.seeds} seeds, {seconds}\n")


if __name__ == "__main__":
    main()
