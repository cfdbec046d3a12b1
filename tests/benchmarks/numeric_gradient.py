"""The numeric gradient of a linear classifier's loss: a small step along each weight, and how the loss changes."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from classifier import Array, Images, Loss, drawn, features_and_labels, hinge, softmax
from local_ray import WORKERS
from ours import Sessions
from rounds import Contestant, Opening, Work, needed

STEP = 1e-6


@contextmanager
def softmax_gradient(which: Images, quick: bool) -> Generator[Work]:
    coordinates, few, fewest = (50, 20, 1) if which.cifar else (which.size, which.size, 20)
    if quick:
        coordinates, few, fewest = coordinates // 5, few // 5, max(1, fewest // 5)
    with Sessions() as sessions:
        contestants = [
            Contestant("the plain loop", coordinates, partial(loop, which, softmax)),
            Contestant("SciPy approx_derivative", few, partial(scipy_serial, which)),
            Contestant("SciPy with workers=", few, partial(scipy_workers, which)),
            Contestant("numdifftools", fewest, partial(numdifftools_gradient, which)),
            *ours(sessions, which, "Softmax"),
        ]
        yield Work(f"{which.name} softmax gradient", "coordinate", which.size, contestants)


@contextmanager
def hinge_gradient(which: Images, quick: bool) -> Generator[Work]:
    coordinates = (50 if which.cifar else which.size) // (5 if quick else 1)
    with Sessions() as sessions:
        contestants = [
            Contestant("the plain loop", coordinates, partial(loop, which, hinge)),
            *ours(sessions, which, "Hinge"),
        ]
        yield Work(f"{which.name} hinge gradient", "coordinate", which.size, contestants)


@contextmanager
def loop(which: Images, loss: Loss) -> Opening:
    """The whole loss for each coordinate, every turn going on from where the last one stopped; BLAS with all cores."""
    X, y = features_and_labels(which, "float64")
    W = drawn(which, 0)
    coordinates = itertools.cycle(range(W.size))

    def take(items: int) -> None:
        gradient = np.zeros(W.size)
        before = loss(W, X, y)
        for i in itertools.islice(coordinates, items):
            stepped = W.copy()
            stepped.flat[i] += STEP
            gradient[i] = (loss(stepped, X, y) - before) / (stepped.flat[i] - W.flat[i])
        assert np.isfinite(gradient).all()

    yield take


def along(which: Images, values: Array) -> float:
    """The softmax loss as a function of its first weights alone, in any process."""
    X, y = features_and_labels(which, "float64")
    W = drawn(which, 0)
    W.flat[: len(values)] = values
    return softmax(W, X, y)


def first_weights(which: Images, items: int) -> Array:
    return drawn(which, 0).ravel()[:items]


@contextmanager
def scipy_serial(which: Images, workers: Callable[..., Any] | None = None) -> Opening:
    """SciPy's forward differences; BLAS with all cores, unless `workers`, a map, takes the points elsewhere."""
    derivative = needed("scipy.optimize._numdiff").approx_derivative

    def take(items: int) -> None:
        x = first_weights(which, items)
        assert np.isfinite(derivative(partial(along, which), x, method="2-point", workers=workers)).all()

    yield take


@contextmanager
def scipy_workers(which: Images) -> Opening:
    """Run SciPy's differences with two processes of one thread."""
    fresh = multiprocessing.get_context("spawn")  # a fork would take a running Ray's threads for its own
    with (
        ProcessPoolExecutor(WORKERS, fresh, one_thread) as pool,
        scipy_serial(which, pool.map) as take,
    ):
        yield take


def one_thread() -> None:
    threadpool_limits(1)


@contextmanager
def numdifftools_gradient(which: Images) -> Opening:
    """As its manual begins: central differences of several steps for each coordinate, extrapolated."""
    numdifftools = needed("numdifftools")
    gradient = numdifftools.Gradient(partial(along, which))

    def take(items: int) -> None:
        assert np.isfinite(gradient(first_weights(which, items))).all()

    yield take


def ours(sessions: Sessions, which: Images, loss: str) -> list[Contestant]:
    objective = {"loss": f"optitrip.objectives:{loss}", "arguments": which.arguments("float64")}
    space = {"W": {"shape": list(which.shape), "normal": [0, which.spread]}}
    return [
        Contestant(f"optitrip ({scheme})", which.size, partial(sessions.gradient, objective, space, scheme))
        for scheme in ("forward", "central")
    ]
