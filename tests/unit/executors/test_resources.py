"""Resources of a worker are honoured or refused, wherever the loss runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import optitrip as optitrip_api
from command import optitrip
from examples import Batched, search
from optitrip.config.run import RunTable
from optitrip.executors.isolated.executor import Isolated
from optitrip.executors.manager import count_of
from optitrip.executors.serial import Serial
from optitrip.loss.objective import Objective
from slices import only_outcome

SWEEP = """
[objective]
loss = "resources_lab:loss"
[space]
x = { uniform = [0, 1] }
[method]
use = "search"
candidates = 4
[tracking]
use = "none"
"""
LAB = """
from threadpoolctl import threadpool_info
import numpy


def loss(x):
    return {"loss": x, "threads": max(one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas")}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "resources_lab.py").write_text(LAB)
    (tmp_path / "lab.toml").write_text(SWEEP)
    return tmp_path


def threads_of_blas(x: np.ndarray, k: int, c: float) -> float:
    """Return the number of threads of BLAS while the loss runs."""
    return max(one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("make", [Serial, pytest.param(lambda: Isolated(1), marks=pytest.mark.daily)])
def test_blas_has_the_threads_of_a_worker(make: type[Serial], threads: int) -> None:
    """Not more, and not fewer."""
    executor = make()
    outcome = only_outcome(executor, Objective(threads_of_blas, threads=threads), search(3), range(3))
    executor.close()
    assert set(outcome.part.columns["loss"]) == {threads}  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.daily
def test_another_number_of_threads_is_another_machine(folder: Path) -> None:
    """The last bits of a matrix product may differ, so a sweep is not resumed with it."""
    words = ("sweep", "lab.toml", "--executor", "serial", "--json")
    assert optitrip(folder, *words).returncode == 0
    more = ("--set", "method.candidates=8")
    refused = optitrip(folder, *words, *more, "--set", "run.threads=2")
    assert refused.returncode != 0
    assert "threads" in refused.stderr
    assert json.loads(optitrip(folder, *words, *more).stdout)["best"]["named"]["threads"] == 1


@pytest.mark.mostly_daily
@pytest.mark.parametrize("key", ["num_gpus=1", "memory=1000000", "resources={tpu=1}"])
@pytest.mark.parametrize("how", ["run.executor=serial", "objective.isolate=true"])
def test_what_only_ray_reserves_is_refused_elsewhere(folder: Path, key: str, how: str) -> None:
    """With the line of the key where there is one, and what to do."""
    done = optitrip(folder, "sweep", "lab.toml", "--set", how, "--set", f"run.{key}")
    assert done.returncode == 2
    assert "only Ray reserves it" in done.stderr


def test_a_session_refuses_them_too() -> None:
    """The same words, by the names of the keys."""
    with pytest.raises(optitrip_api.InputError, match="num_gpus: only Ray reserves it"):
        optitrip_api.Session(executor="serial", resources={"CPU": 1, "GPU": 1})


@pytest.mark.daily
def test_an_isolated_session_has_the_same_answer() -> None:
    """The loss runs in another process, and is reused from call to call."""
    space = {"x": {"uniform": [0, 1]}}
    here = optitrip_api.search(lambda x: {"loss": x, "process": os.getpid()}, space, candidates=5)
    with optitrip_api.Session(isolate=True, workers=1) as session:

        def loss(x: float) -> dict[str, float]:
            return {"loss": x, "process": os.getpid()}

        first, second = (session.search(loss, space, candidates=5) for _ in range(2))
    assert first.loss == here.loss
    assert first.named["process"] == second.named["process"] != os.getpid()


def test_cpus_of_a_worker() -> None:
    """As many as threads, unless it says otherwise; processes on this machine are as many as have room."""
    assert RunTable().needs["CPU"] == 1
    assert RunTable(threads=4).needs["CPU"] == 4
    assert RunTable(threads=4, num_cpus=1.5).needs["CPU"] == 1.5
    processors = count_of("auto", None, 1)
    assert processors == (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    assert count_of("auto", None, processors) == 1
    assert count_of("auto", 7, 2) == 7
    assert count_of("serial", None, 1) == 1


def test_a_batch_has_its_threads_too() -> None:
    """A product of matrices is computed with them, and is near that of one thread."""
    one, two = (Objective(Batched(), threads=threads) for threads in (1, 2))
    found = [only_outcome(Serial(), objective, search(40), range(40)) for objective in (one, two)]
    np.testing.assert_allclose(*(each.part.columns["loss"] for each in found), rtol=1e-12)  # pyright: ignore[reportAttributeAccessIssue]
