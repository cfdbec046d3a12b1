"""Random search: the loss of a softmax classifier of images at many random weights, and the least of them."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from classifier import Array, Images, drawn, features_and_labels, softmax
from local_ray import WORKERS, local_ray, remote
from ours import Sessions
from rounds import SEED, Contestant, Opening, Unavailable, Work, needed

SCREENS = ("low_rank", "bfloat16", "float32")
WHOLE = 10_000
"""Candidates of the loop that this project started from."""


@contextmanager
def random_search(which: Images, quick: bool) -> Generator[Work]:
    few, tasks, many, most = (20, 40, 320, 4_096) if which.cifar else (1_000, 2_000, 25_000, 100_000)
    with Sessions() as sessions:
        contestants = [
            Contestant("the loop (float64)", few, partial(loop, which, "float64")),
            Contestant("the loop (float32)", few, partial(loop, which, "float32")),
            Contestant("joblib (float32)", tasks, partial(joblib_tasks, which)),
            Contestant("Ray, a task each (float32)", tasks, partial(ray_tasks, which)),
            Contestant("Ray, slices (float32)", tasks, partial(ray_slices, which)),
            Contestant("optitrip (float64)", many, partial(ours, sessions, which, "float64")),
            Contestant("optitrip (float32)", many, partial(ours, sessions, which, "float32")),
            *(Contestant(f"optitrip ({s} screen)", most, partial(screened, sessions, which, s)) for s in SCREENS),
        ]
        if quick:
            contestants = [Contestant(c.name, max(10, c.items // 5), c.open) for c in contestants]
        yield Work(f"{which.name} random search", "candidate", WHOLE, contestants)


@contextmanager
def loop(which: Images, precision: str) -> Opening:
    """The loop of the text that this project started from, but for its printing; BLAS with all cores."""
    X, y = features_and_labels(which, precision)
    classes, features = which.shape

    def take(items: int) -> None:
        np.random.seed(SEED)  # noqa: NPY002
        min_loss, min_W = float("inf"), None
        for _ in range(items):
            W = np.random.randn(classes, features) * which.spread  # noqa: NPY002
            loss = softmax(W, X, y)
            if loss < min_loss:
                min_loss, min_W = loss, W
        assert min_W is not None

    yield take


def candidate(which: Images, X: Array, y: Array, number: int) -> float:
    return softmax(drawn(which, number), X, y)


@contextmanager
def joblib_tasks(which: Images) -> Opening:
    """Two processes; the images are a file that both map into memory, as joblib's manual advises."""
    joblib = needed("joblib")
    X, y = features_and_labels(which, "float32")
    with tempfile.TemporaryDirectory() as folder, joblib.Parallel(n_jobs=WORKERS) as parallel:
        joblib.dump(X, Path(folder, "X"))
        mapped = joblib.load(Path(folder, "X"), mmap_mode="r")

        def take(items: int) -> None:
            losses = parallel(joblib.delayed(candidate)(which, mapped, y, n) for n in range(items))
            assert min(losses) < np.inf

        yield take


@contextmanager
def ray_tasks(which: Images) -> Opening:
    """Run it as Ray's first page shows: a task a candidate, the images in its store."""
    ray, task = local_ray(), remote(candidate)
    X, y = map(ray.put, features_and_labels(which, "float32"))

    def take(items: int) -> None:
        losses = ray.get([task.remote(which, X, y, n) for n in range(items)])
        assert min(losses) < np.inf

    yield take


def best_of(which: Images, X: Array, y: Array, numbers: range) -> tuple[float, int]:
    """The least loss of these candidates, and whose it is."""
    return min((candidate(which, X, y, n), n) for n in numbers)


@contextmanager
def ray_slices(which: Images) -> Opening:
    """Run it on Ray with more thought: a task takes a range of candidates and returns the best."""
    ray, task = local_ray(), remote(best_of)
    X, y = map(ray.put, features_and_labels(which, "float32"))

    def take(items: int) -> None:
        size = max(1, items // (4 * WORKERS))
        slices = [range(lo, min(lo + size, items)) for lo in range(0, items, size)]
        loss, _ = min(ray.get([task.remote(which, X, y, numbers) for numbers in slices]))
        assert loss < np.inf

    yield take


def ours(sessions: Sessions, which: Images, precision: str, **method: Any) -> Any:
    objective = {"loss": "optitrip.objectives:Softmax", "arguments": which.arguments(precision)}
    space = {"W": {"shape": list(which.shape), "normal": [0, which.spread]}}
    return sessions.search(objective, space, **method)


def screened(sessions: Sessions, which: Images, screen: str) -> Any:
    """Every candidate cheaply, the best of them again in float64."""
    from optitrip.methods.search.spec import SearchConfig

    if "screen" not in SearchConfig.model_fields:
        raise Unavailable("this version of optitrip has no screen")
    return ours(sessions, which, "float64", screen=screen)
