"""Losses of every kind that a sweep file can name: on Ray workers they have the bits of the serial executor."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from driver_setup import Recording
from habits import HABITS, REPORTED, in_calls
from optitrip.app.context import Context, Options
from optitrip.app.load_objective import load
from optitrip.app.run_sweep import run_loaded
from optitrip.core.observer import Observer
from optitrip.driver.guards import LINES_SHOWN
from optitrip.errors import InputError
from optitrip.executors.manager import ExecutorManager, executors
from optitrip.methods.search.answer import SearchAnswer
from optitrip.runtime.imports import import_paths
from optitrip.store.lookup import read

pytestmark = pytest.mark.mostly_daily(3)  # of the cases that are alike

FILES = {
    "ray_losses.py": """
import functools, os, time
import numpy as np
import optitrip

def function(x, k, scale=2.0):
    return float(np.exp(scale * x).sum()) * k

class Weighted:
    def __init__(self, scale, power):
        self.weights = scale * np.arange(1.0, 4.0) ** power
    def __call__(self, x, k):
        return float(np.sin(x) @ self.weights) * k
    def valley(self, x, k):
        return float(np.square(x - 1) @ self.weights) + k

heavy = Weighted(0.3, 2)

def factory(scale):
    powers = np.arange(3) * scale
    return lambda x, k: float((np.abs(x) ** powers).sum() / k)

half = functools.partial(function, scale=0.5)

@optitrip.batched
def batch(x, k, scale):
    return np.square(x * scale).sum(axis=1) * k

@optitrip.batched(block=32)
def blocks(x, k, scale):
    assert x.shape in [(32, 3), (1, 3)], x.shape  # one at a time where batches are checked against it
    return np.square(x * scale).sum(axis=1) * k

class Beside:
    def __call__(self, x, k):
        return {"loss": float(x.sum()) * k, "first": x[0], "k": k}
    def report(self, x, k):
        return {"pid": os.getpid(), "largest": float(x.max())}

def talks(x, k):
    print(f"k is {k}")
    return float(x.sum()) * k

def chatters(x, k):
    for line in range(300):
        print(f"line {line} of many")
    return float(x.sum()) * k

def fails(x, k):
    if k > 6:
        raise ValueError(f"k is {k}")
    return float(x.sum())

def where(x, k):
    time.sleep(0.01)
    return {"loss": float(x.sum()), "pid": os.getpid()}

def hole(x, k):
    return function(x, k)
hole = functools.partial(hole)
hole.lock = __import__("threading").Lock()
""",
    "ray_deep/inner.py": "def loss(x, k): return float(x[0] * x[1]) + k * float(x[2])\n",
    "ray_habits.py": "\n".join(
        in_calls(habit, f"habit_{number}", "x, k", "float(x.sum()) * k") for number, habit in enumerate(HABITS)
    ),
    "ray_package/__init__.py": "",
    "ray_package/loss.py": "from .parts.scale import SCALE\nfrom . import shared\n"
    "def loss(x, k): return SCALE * shared.size(x) / k\n",
    "ray_package/shared.py": "def size(x): return float(x @ x)\n",
    "ray_package/parts/__init__.py": "",
    "ray_package/parts/scale.py": "SCALE = 0.1\n",
}
SWEEP = """
seed = 3
[objective]
{key} = "{reference}"
[objective.arguments]
{arguments}
[space]
x = {{ normal = [0, 1], shape = [3] }}
k = {{ integer = [1, 9] }}
[method]
use = "search"
candidates = {candidates}
[tracking]
use = "none"
"""
CANDIDATES = 700

KINDS: dict[str, tuple[str, str]] = {
    "a module in a folder": ("ray_deep.inner:loss", ""),
    "relative imports": ("ray_package.loss:loss", ""),
    "a default": ("ray_losses:function", ""),
    "a default overridden": ("ray_losses:function", "scale = 0.25"),
    "a class": ("ray_losses:Weighted", "scale = 0.5\npower = 1.5"),
    "a factory": ("ray_losses:factory", "scale = 1.5"),
    "a method of an object": ("ray_losses:heavy.valley", ""),
    "an object": ("ray_losses:heavy", ""),
    "a partial": ("ray_losses:half", ""),
    "batched": ("ray_losses:batch", "scale = 3.0"),
    "batched by blocks": ("ray_losses:blocks", "scale = 3.0"),
    "numbers beside": ("ray_losses:Beside", ""),
    "some fail": ("ray_losses:fails", ""),
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make a folder with modules of losses; sweep files go beside them, and the working directory is elsewhere."""
    folder, path, work = tmp_path_factory.mktemp("losses"), list(sys.path), Path.cwd()
    for name, code in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(code)
    os.chdir(tmp_path_factory.mktemp("work"))
    yield folder
    os.chdir(work)
    sys.path[:] = path
    for name in [
        name for name in sys.modules if name.startswith(("ray_losses", "ray_deep", "ray_package", "ray_habits"))
    ]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def workers(local_ray: None) -> Iterator[ExecutorManager]:
    """Start two Ray workers for all sweeps of this file: they look for modules where the sweep files are."""
    with executors("ray", 2) as two:
        yield two


def run(
    here: Path,
    workers: ExecutorManager,
    reference: str,
    arguments: str = "",
    watch: Observer | None = None,
    candidates: int = CANDIDATES,
) -> SearchAnswer:
    """Run a sweep file that names this loss on these executors, and return its answer."""
    path = here / "sweep.toml"
    key = "make" if reference.endswith("factory") else "loss"
    path.write_text(SWEEP.format(key=key, reference=reference, arguments=arguments, candidates=candidates))
    sweep = read(path)
    observer = watch or Observer()
    outcome = run_loaded(Context(sweep, load(sweep), import_paths(here), workers, Options(None), observer))
    assert isinstance(outcome.answer, SearchAnswer), outcome.message
    return outcome.answer


def numbers(answer: SearchAnswer) -> dict[str, Any]:
    """Return all of an answer that must be the same everywhere, to the bit."""
    result, x = answer.result, {name: np.asarray(value).tobytes() for name, value in answer.x.items()}
    return {
        "best": (answer.loss.hex(), answer.index, x),
        "losses": result.loss.tobytes(),
        "few": (result.best_index.tobytes(), result.best_loss.tobytes()),
        "beside": {name: column.tobytes() for name, column in result.named.items()},
        "failures": (answer.failures, result.failures.to_bytes()),
    }


def expected(case: str, x: Any, k: int) -> float:
    """Compute a loss once more, by hand."""
    match case:
        case "a module in a folder":
            return x[0] * x[1] + k * x[2]
        case "relative imports":
            return 0.1 * float(x @ x) / k
        case "a default":
            return float(np.exp(2 * x).sum()) * k
        case "a default overridden":
            return float(np.exp(0.25 * x).sum()) * k
        case "a class":
            return float(np.sin(x) @ (0.5 * np.array([1, 2**1.5, 3**1.5]))) * k
        case "a factory":
            return float((np.abs(x) ** np.array([0, 1.5, 3])).sum() / k)
        case "a method of an object":
            return float((x - 1) ** 2 @ np.array([0.3, 1.2, 2.7])) + k
        case "an object":
            return float(np.sin(x) @ np.array([0.3, 1.2, 2.7])) * k
        case "a partial":
            return float(np.exp(0.5 * x).sum()) * k
        case "batched" | "batched by blocks":
            return float((9 * x**2).sum()) * k
        case "some fail":
            return float(x.sum()) if k <= 6 else np.nan
        case _:
            return float(x.sum()) * k


@pytest.mark.mostly_daily
@pytest.mark.mostly_daily
@pytest.mark.parametrize("case", KINDS)
def test_a_loss_gives_the_serial_bits_on_ray(here: Path, workers: ExecutorManager, case: str) -> None:
    """Law 1 for every kind of loss that a file can name; and the numbers are those of the formula."""
    reference, arguments = KINDS[case]
    on_ray = run(here, workers, reference, arguments)
    with executors("serial") as serial:
        in_here = run(here, serial, reference, arguments)
    assert numbers(on_ray) == numbers(in_here)
    xs = on_ray.candidates.values(range(CANDIDATES))
    by_hand = [expected(case, x, k) for x, k in zip(xs["x"], xs["k"].tolist(), strict=True)]
    np.testing.assert_allclose(on_ray.losses, by_hand, rtol=1e-12)
    assert on_ray.index == int(np.nanargmin(by_hand))
    assert on_ray.failures == ({"raised": int(np.isnan(by_hand).sum())} if case == "some fail" else {})


def test_the_losses_are_computed_by_the_workers(here: Path, workers: ExecutorManager) -> None:
    """Two processes evaluate, neither of which is this one."""
    answer = run(here, workers, "ray_losses:where", candidates=300)
    pids = set(answer.result.named["pid"].tolist())
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_numbers_beside_a_loss_come_back_with_it(here: Path, workers: ExecutorManager) -> None:
    """They are those of the winner and of every stored loss; the report is made by a worker, too."""
    answer = run(here, workers, "ray_losses:Beside")
    xs = answer.candidates.values(range(CANDIDATES))
    assert answer.result.named.keys() == {"first", "k"}
    np.testing.assert_array_equal(answer.result.named["first"], xs["x"][:, 0])
    np.testing.assert_array_equal(answer.result.named["k"], xs["k"])
    assert answer.named == {"first": float(answer.x["x"][0]), "k": answer.x["k"]}
    assert answer.report["largest"] == answer.x["x"].max()
    assert answer.report["pid"] != os.getpid()


def test_what_a_loss_prints_on_workers_is_shown(here: Path, workers: ExecutorManager) -> None:
    """Every line is shown once where they are few, and the answer is right."""
    watch = Recording()
    answer = run(here, workers, "ray_losses:talks", watch=watch, candidates=40)
    shown = [
        line
        for message in [notice.text for notice in watch.notices]
        for line in message.splitlines()
        if line.startswith("k is")
    ]
    xs = answer.candidates.values(range(40))
    assert sorted(shown) == sorted(f"k is {k}" for k in xs["k"].tolist())
    assert answer.loss == min(float(x.sum()) * k for x, k in zip(xs["x"], xs["k"].tolist(), strict=True))


def test_a_loss_that_prints_much_is_cut_short(here: Path, workers: ExecutorManager) -> None:
    """After so many lines one line says that the rest is not shown, and the answer is right."""
    watch = Recording()
    answer = run(here, workers, "ray_losses:chatters", watch=watch, candidates=60)
    lines = [line for text in watch.texts("loss-output") for line in text.splitlines()]
    assert sum(line.startswith("line ") for line in lines) == LINES_SHOWN
    assert [line for line in lines if "the rest is not shown" in line] == [
        f"(the loss prints more than {LINES_SHOWN} lines; the rest is not shown)"
    ]
    xs = answer.candidates.values(range(60))
    assert answer.loss == min(float(x.sum()) * k for x, k in zip(xs["x"], xs["k"].tolist(), strict=True))


def test_what_a_loss_prints_in_this_process_goes_where_prints_go(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The serial executor leaves printing alone."""
    watch = Recording()
    with executors("serial") as serial:
        answer = run(here, serial, "ray_losses:talks", watch=watch, candidates=40)
    ks = answer.candidates.values(range(40))["k"].tolist()
    assert capsys.readouterr().out == "".join(f"k is {k}\n" for k in ks)
    assert watch.notices == []


def test_a_failure_on_a_worker_has_the_message_of_the_loss(here: Path, workers: ExecutorManager) -> None:
    """Law 10: the message, the user's own line, and the parameters of the first that failed."""
    answer = run(here, workers, "ray_losses:fails")
    ks = answer.candidates.values(range(CANDIDATES))["k"].tolist()
    first = next(index for index, k in enumerate(ks) if k > 6)
    record = answer.result.failures.records["raised"][0]
    assert (record.index, record.message) == (first, f"k is {ks[first]}")
    assert re.search(r'File ".*ray_losses\.py", line \d+, in fails', record.traceback)
    assert "optitrip" not in record.traceback
    assert f"candidate {first} (raised)" in answer.message()


def test_a_loss_that_cannot_be_sent_is_refused_and_the_next_one_works(here: Path, workers: ExecutorManager) -> None:
    """A loss with a lock is refused before anything is evaluated, and the workers stay usable."""
    with pytest.raises(InputError, match=r"toml:\d+: objective: the objective cannot be sent to Ray workers"):
        run(here, workers, "ray_losses:hole")
    assert run(here, workers, "ray_losses:function", candidates=5).items == 5


@pytest.mark.daily
def test_habits_of_losses_on_workers(here: Path, workers: ExecutorManager) -> None:
    """What a loss does to its worker harms neither the sweep nor those that follow on the same worker.

    Settings that travel with the objective are set anew for each, and their changes reported each time.
    """
    again = {"NumPy raises", "decimals of two digits", "locale", "little recursion"}
    for number, habit in enumerate(HABITS):
        watch = Recording()
        answer = run(here, workers, f"ray_habits:habit_{number}", watch=watch, candidates=40)
        xs = answer.candidates.values(range(40))
        by_hand = [float(x.sum()) * k for x, k in zip(xs["x"], xs["k"].tolist(), strict=True)]
        assert answer.losses.tolist() == by_hand, habit
        said = watch.texts("process-changed")
        assert len(said) <= (habit in REPORTED), habit
        assert all(REPORTED[habit] in text for text in said)
        assert said or habit not in again, habit
