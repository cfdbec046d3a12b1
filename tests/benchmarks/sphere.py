"""A cheap loss: the sphere of ten variables, where what is around the loss is all that there is to be fast at."""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from typing import Any

import numpy as np

from classifier import Array, Images
from local_ray import WORKERS, local_ray, remote
from ours import Sessions
from rounds import SEED, Contestant, Opening, Unavailable, Work, needed

NAMES = "abcdefghij"
WHOLE = 10_000_000
BATCH = 4_096
LOW, HIGH = -5.0, 5.0
DRAWS = {"uniform": [LOW, HIGH], "normal": [0.0, 1.0]}
"""In the words of a sweep file."""


def sphere(a: float, b: float, c: float, d: float, e: float, f: float, g: float, h: float, i: float, j: float) -> float:
    return a * a + b * b + c * c + d * d + e * e + f * f + g * g + h * h + i * i + j * j


def spheres(x: Array) -> Array:
    """Return the loss of each row of x, shape (n, 10)."""
    return np.square(x).sum(axis=1)


def draw(kind: str, generator: np.random.Generator, rows: int) -> Array:
    shape = (rows, len(NAMES))
    return generator.standard_normal(shape) if kind == "normal" else generator.uniform(LOW, HIGH, shape)


@contextmanager
def uniform(which: Images, quick: bool) -> Generator[Work]:
    """Every contestant, with uniform variables; the images are of no use here."""
    with Sessions() as sessions:
        contestants = [
            *loops("uniform"),
            Contestant("joblib, a task each", 50_000, joblib_tasks),
            Contestant("Ray, a task each", 2_000, ray_tasks),
            Contestant("Optuna (memory)", 1_000, partial(optuna_trials, None)),
            Contestant("Optuna (SQLite)", 50, partial(optuna_trials, "sqlite")),
            Contestant("Ray Tune", 8, too_slow if quick else ray_tune),
            Contestant("EvoTorch (batches)", 2_000_000, evotorch_batches),
            *ours("uniform", sessions),
        ]
        yield Work("sphere, uniform", "candidate", WHOLE, scaled(contestants, quick))


@contextmanager
def normal(which: Images, quick: bool) -> Generator[Work]:
    """With normal variables those whose time is not all bookkeeping."""
    with Sessions() as sessions:
        contestants = [*loops("normal"), *ours("normal", sessions)]
        yield Work("sphere, normal", "candidate", WHOLE, scaled(contestants, quick))


def scaled(contestants: list[Contestant], quick: bool) -> list[Contestant]:
    return [Contestant(c.name, max(2, c.items // 10), c.open) for c in contestants] if quick else contestants


def loops(kind: str) -> list[Contestant]:
    return [
        Contestant("the plain loop", 300_000, partial(loop, kind, best_of)),
        Contestant("NumPy (batches)", 20_000_000, partial(loop, kind, best_of_batches)),
        Contestant("Ray, slices", 600_000, partial(ray_slices, kind, best_of)),
        Contestant("Ray, slices (batches)", 40_000_000, partial(ray_slices, kind, best_of_batches)),
    ]


def ours(kind: str, sessions: Sessions) -> list[Contestant]:
    scalar = {"loss": f"{sphere.__module__}:{sphere.__name__}"}, {name: {kind: DRAWS[kind]} for name in NAMES}
    batched = {"loss": "optitrip.objectives:Sphere"}, {"x": {kind: DRAWS[kind], "shape": [len(NAMES)]}}
    return [
        Contestant("optitrip (scalar)", 3_000_000, partial(sessions.search, *scalar)),
        Contestant("optitrip (batches)", 50_000_000, partial(sessions.search, *batched)),
    ]


def best_of(kind: str, numbers: range) -> float:
    """The least loss of these candidates, drawn and computed one at a time; the first number seeds the draws."""
    generator = np.random.default_rng((SEED, numbers.start))
    least = float("inf")
    for _ in numbers:
        loss = sphere(*draw(kind, generator, 1)[0].tolist())
        least = min(least, loss)
    return least


def best_of_batches(kind: str, numbers: range) -> float:
    """Return the least loss of these candidates, in batches that fit the cache."""
    generator = np.random.default_rng((SEED, numbers.start))
    sizes = [min(BATCH, numbers.stop - lo) for lo in range(numbers.start, numbers.stop, BATCH)]
    return min(float(spheres(draw(kind, generator, size)).min()) for size in sizes)


@contextmanager
def loop(kind: str, best: Callable[[str, range], float]) -> Opening:
    """In one process."""

    def take(items: int) -> None:
        assert best(kind, range(items)) < np.inf

    yield take


@contextmanager
def ray_slices(kind: str, best: Callable[[str, range], float]) -> Opening:
    """A task takes a range of candidates and returns its least loss."""
    ray, task = local_ray(), remote(best)

    def take(items: int) -> None:
        size = -(-items // (4 * WORKERS))
        slices = [range(lo, min(lo + size, items)) for lo in range(0, items, size)]
        assert min(ray.get([task.remote(kind, numbers) for numbers in slices])) < np.inf

    yield take


def candidate(number: int) -> float:
    return best_of("uniform", range(number, number + 1))


@contextmanager
def joblib_tasks() -> Opening:
    joblib = needed("joblib")
    with joblib.Parallel(n_jobs=WORKERS) as parallel:

        def take(items: int) -> None:
            assert min(parallel(joblib.delayed(candidate)(n) for n in range(items))) < np.inf

        yield take


@contextmanager
def ray_tasks() -> Opening:
    ray, task = local_ray(), remote(candidate)

    def take(items: int) -> None:
        assert min(ray.get([task.remote(n) for n in range(items)])) < np.inf

    yield take


def optuna_loss(trial: Any) -> float:
    return sphere(*(trial.suggest_float(name, LOW, HIGH) for name in NAMES))


@contextmanager
def optuna_trials(storage: str | None) -> Opening:
    """Its random sampler, a new study a turn."""
    optuna = needed("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:

        def take(items: int) -> None:
            sampler = optuna.samplers.RandomSampler(seed=SEED)
            where = f"sqlite:///{folder}/optuna.db" if storage else None
            study = optuna.create_study(storage=where, sampler=sampler)
            study.optimize(optuna_loss, n_trials=items)
            assert study.best_value < np.inf

        yield take


def tune_loss(config: dict[str, float]) -> dict[str, float]:
    return {"loss": sphere(**config)}


@contextmanager
def ray_tune() -> Opening:
    """Two trials at a time, in workers that stay from trial to trial."""
    local_ray()
    tune = needed("ray.tune")
    space = {name: tune.uniform(LOW, HIGH) for name in NAMES}
    with tempfile.TemporaryDirectory() as folder:

        def take(items: int) -> None:
            config = tune.TuneConfig(
                num_samples=items, max_concurrent_trials=WORKERS, reuse_actors=True, metric="loss", mode="min"
            )
            run = tune.RunConfig(storage_path=folder, verbose=0)
            with redirect_stdout(io.StringIO()):  # it prints two boxes even when told to print nothing
                results = tune.Tuner(tune_loss, param_space=space, tune_config=config, run_config=run).fit()
            assert results.get_best_result().metrics["loss"] < np.inf

        yield take


def too_slow() -> Any:
    raise Unavailable("two of its trials take five seconds, too long for --quick")


@contextmanager
def evotorch_batches() -> Opening:
    """Its vectorised problem with all cores: a batch of 100,000 at a time."""
    evotorch = needed("evotorch")
    logging.getLogger("evotorch").setLevel(logging.WARNING)
    vectorized = evotorch.decorators.vectorized(lambda x: x.square().sum(dim=-1))
    problem = evotorch.Problem("min", vectorized, solution_length=len(NAMES), initial_bounds=(LOW, HIGH), seed=SEED)

    def take(items: int) -> None:
        for lo in range(0, items, 100_000):
            problem.evaluate(problem.generate_batch(min(100_000, items - lo)))
        assert problem.status["best_eval"] < np.inf

    yield take
