"""Sessions in unusual company: threads, forks, copies, losses that use Ray, and users who shut it down."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.executors.manager import ExecutorManager
from optitrip.executors.serial import Serial

pytestmark = pytest.mark.mostly_daily(3)  # of the cases that are alike

ONE = {"x": {"normal": [0, 1]}}


def square(x: float) -> float:
    return x * x


class Alone:
    """Counts how many of its kind run at once."""

    running = most = 0

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, x: float) -> float:
        Alone.running += 1
        Alone.most = max(Alone.most, Alone.running)
        time.sleep(1e-4)
        Alone.running -= 1
        return x * x + self.number


@pytest.fixture
def session() -> Iterator[optitrip.Session]:
    with optitrip.Session(executor="serial") as one:
        yield one


def test_threads_use_a_session_one_at_a_time(session: optitrip.Session) -> None:
    """Each gets its own answer, of its own loss and seed, and no two losses run at once."""
    found: dict[int, Any] = {}
    Alone.most = 0

    def work(number: int) -> None:
        found[number] = session.search(Alone(number), ONE, candidates=30, seed=number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Alone.most == 1
    for number in range(6):
        x = found[number].candidates.values(range(30))["x"]
        assert found[number].losses.tolist() == (x * x + number).tolist()


@pytest.mark.mostly_daily
@pytest.mark.parametrize("use", ["search", "gradient", "sweep", "refresh", "close"])
def test_a_loss_cannot_use_the_session_that_evaluates_it(session: optitrip.Session, use: str) -> None:
    """It would wait for itself: the call is refused, like any exception of the loss; another session works."""
    uses: dict[str, Callable[[], Any]] = {
        "search": lambda: session.search(square, ONE, candidates=1),
        "gradient": lambda: session.gradient(square, 1.0),
        "sweep": lambda: session.sweep("absent.toml"),
        "refresh": session.refresh,
        "close": session.close,
    }

    def loss(x: float) -> float:
        optitrip.search(square, ONE, candidates=1, executor="serial")
        return float(uses[use]() is None)

    with pytest.raises(optitrip.NoAnswer, match="this session is in a call, from whose loss it cannot be used"):
        session.search(loss, ONE, candidates=3)
    assert session.search(square, ONE, candidates=3).items == 3


def test_a_session_after_an_exception_in_a_call_is_as_before(session: optitrip.Session) -> None:
    """Whatever ends a call, the next one, from another thread too, need not wait for it."""

    class Broken:
        def __call__(self, x: float) -> float:
            raise KeyboardInterrupt

        @property
        def tolerance(self) -> float:
            raise RuntimeError("broken")

    with pytest.raises((KeyboardInterrupt, optitrip.OptitripError)):
        session.search(Broken(), ONE, candidates=3)
    with pytest.raises(optitrip.InputError):
        session.search(square, {}, candidates=3)
    found = list[Any]()
    thread = threading.Thread(target=lambda: found.append(session.search(square, ONE, candidates=3)))
    thread.start()
    thread.join(60)
    assert found[0].items == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_is_refused(session: optitrip.Session) -> None:
    """Its workers are the parent's: a call says so, closing does nothing, and the parent goes on."""
    session.search(square, ONE, candidates=3)
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            session.search(square, ONE, candidates=3)
        except optitrip.InputError as error:
            os.write(write, str(error).encode())
        finally:
            session.close()
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        assert f"was opened by process {os.getpid()}" in pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    assert session.search(square, ONE, candidates=3).items == 3


@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_session_cannot_be_copied(session: optitrip.Session, how: Callable[[Any], Any]) -> None:
    """Two objects would close the same workers."""
    with pytest.raises(TypeError, match="a Session cannot be copied, pickled or sent to workers"):
        how(session)


class Lost(Serial):
    """An executor whose workers are lost after one sweep."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        Lost.made += 1
        self.closed = False

    def reuse(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


def test_an_executor_that_is_lost_is_replaced() -> None:
    """It is closed, and the next call makes another one."""
    manager = ExecutorManager(Lost)
    objective = object()
    manager.use(objective, (), lambda _: None)
    first: Any = manager.executor()
    manager.use(objective, (), lambda _: None)
    assert first.closed
    assert manager.executor() is not first


def test_a_state_directory_is_trusted_if_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by `--trust`: of a call, or of a session."""
    monkeypatch.setattr("optitrip.store.state_dir.distrust", lambda _: "it belongs to another user")
    with pytest.raises(optitrip.StateError, match="could have been planted"):
        optitrip.search(square, ONE, candidates=3, executor="serial", state_dir=tmp_path)
    assert optitrip.search(square, ONE, candidates=3, executor="serial", state_dir=tmp_path, trust=True).items == 3
    with optitrip.Session(executor="serial", state_dir=tmp_path, trust=True) as trusting:
        assert trusting.search(square, ONE, candidates=3).items == 3


# How often the loss was computed

CALLS: list[Any] = []


def counted(x: float) -> float:
    CALLS.append(x)
    return x * x


class CountedBatches:
    """Counts its points, each of which is given in copies to fill a block."""

    block = 4

    def __call__(self, x: float) -> float:
        CALLS.append(x)
        return float(np.sin(x))

    def losses(self, x: Any) -> Any:
        CALLS.extend(set(x.tolist()))
        return np.sin(x)


COUNTED: dict[str, Callable[[optitrip.Session], Any]] = {
    "search": lambda session: session.search(counted, ONE, candidates=50),
    "forward": lambda session: session.gradient(counted, 2.0),
    "central": lambda session: session.gradient(counted, 2.0, scheme="central"),
    "batches": lambda session: session.search(CountedBatches(), ONE, candidates=50),
    "some fail": lambda session: session.search(lambda x: counted(x) / (x > 0), ONE, candidates=50),
}


@pytest.mark.parametrize("case", COUNTED)
def test_an_answer_says_how_often_the_loss_was_computed(session: optitrip.Session, case: str) -> None:
    """As a counter in the loss says where it is called in this process."""
    CALLS.clear()
    assert COUNTED[case](session).evaluations == len(CALLS) > 0


@pytest.fixture(scope="module")
def workers(local_ray: None) -> Iterator[optitrip.Session]:
    with optitrip.Session(1, executor="ray") as one:
        yield one


@pytest.mark.parametrize("case", ["search", "central", "batches"])
@pytest.mark.daily
def test_evaluations_on_workers_count_too(session: optitrip.Session, workers: optitrip.Session, case: str) -> None:
    """A counter in the loss stays as it is here; the answer has the same number as in this process."""
    here = COUNTED[case](session).evaluations
    CALLS.clear()
    assert COUNTED[case](workers).evaluations == here
    assert CALLS == []


def test_stored_results_are_no_evaluations(tmp_path: Path) -> None:
    """A resumed search counts the rest, and the one candidate that shows whether the loss is still the same."""
    options: Any = {"executor": "serial", "state_dir": tmp_path}
    assert optitrip.search(counted, ONE, candidates=20, **options).evaluations == 20
    assert optitrip.search(counted, ONE, candidates=20, **options).evaluations == 0
    CALLS.clear()
    assert optitrip.search(counted, ONE, candidates=50, **options).evaluations == len(CALLS) == 31


# Ray, which the user and the loss may use as well


def fresh(folder: Path, code: str) -> list[str]:
    """Run a script in a process of its own; return the lines that it prints."""
    (folder / "script.py").write_text(textwrap.dedent(code))
    words = [sys.executable, "script.py"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


SCRIPT = """
import _thread, os, sys, threading, time
import optitrip
ONE = {"x": {"normal": [0, 1]}}
def loss(x): return {"loss": x * x, "pid": os.getpid()}
def pids(found): return set(found.result.named["pid"])
"""


@pytest.mark.thorough
def test_ray_that_is_shut_down_between_calls_is_started_again(tmp_path: Path) -> None:
    """Also where the user starts another one, which is left running."""
    code = """
        import ray
        session = optitrip.Session(1, executor="ray")
        first = session.search(loss, ONE, candidates=50)
        ray.shutdown()
        second = session.search(loss, ONE, candidates=50)
        ray.shutdown()
        ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
        third = session.search(loss, ONE, candidates=50)
        session.close()
        print(ray.is_initialized())
        print(first.losses.tobytes() == second.losses.tobytes() == third.losses.tobytes())
        print(len(pids(first) | pids(second) | pids(third)))
    """
    assert fresh(tmp_path, SCRIPT + textwrap.dedent(code)) == ["True", "True", "3"]


@pytest.mark.thorough
def test_after_ctrl_c_the_next_call_is_not_kept_waiting(tmp_path: Path) -> None:
    """Workers that hang in the interrupted call are replaced, those that do not are kept; no old part is taken."""
    code = """
        def hangs(x):
            if x > 1: time.sleep(1000)
            return x * x
        with optitrip.Session(2, executor="ray") as session:
            first = session.search(loss, ONE, candidates=400)
            threading.Timer(6, _thread.interrupt_main).start()
            try:
                session.search(hangs, ONE, candidates=400)
            except optitrip.Interrupted as error:
                best = error.outcome.best
                print(best.loss == first.losses[best.index] == best.x["x"] ** 2)
            second = session.search(loss, ONE, candidates=400)
            print(second.losses.tobytes() == first.losses.tobytes())
    """
    assert fresh(tmp_path, SCRIPT + textwrap.dedent(code)) == ["True", "True"]


@pytest.mark.thorough
@pytest.mark.parametrize("workers", [None, 1])
def test_a_loss_may_use_ray_itself(tmp_path: Path, workers: int | None) -> None:
    """A CPU is left for its tasks, which would otherwise wait for ever."""
    (tmp_path / "nesting.py").write_text(
        "import ray\n@ray.remote\ndef task(x): return x * x\ndef loss(x): return ray.get(task.remote(x))\n"
    )
    code = f"""
        import nesting
        found = optitrip.search(nesting.loss, ONE, candidates=5, executor="ray", workers={workers})
        print(found.losses.tolist() == (found.candidates.values(range(5))["x"] ** 2).tolist())
    """
    assert fresh(tmp_path, SCRIPT + textwrap.dedent(code)) == ["True"]


@pytest.mark.thorough
def test_a_process_forked_beside_ray_does_not_hang(tmp_path: Path) -> None:
    """Ray is refused there, the serial executor works, and its end leaves the parent's workers alone."""
    code = """
        with optitrip.Session(1, executor="ray") as session:
            first = session.search(loss, ONE, candidates=5)
            if (pid := os.fork()) == 0:
                optitrip.search(loss, ONE, candidates=5, executor="serial")
                try:
                    optitrip.search(loss, ONE, candidates=5, executor="ray")
                except optitrip.InputError as error:
                    print("forked from one that uses Ray" in str(error), flush=True)
                os._exit(0)
            print(os.waitpid(pid, 0)[1])
            print(pids(session.search(loss, ONE, candidates=5)) == pids(first))
    """
    assert fresh(tmp_path, SCRIPT + textwrap.dedent(code)) == ["True", "0", "True"]


def test_a_full_ray_is_reported_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the loss may be waiting for tasks that cannot start."""
    from optitrip.executors.ray import shared

    free = {"CPU": 0.0}
    monkeypatch.setattr(shared.ray, "available_resources", lambda: free)
    assert shared.holds_all_cpus(9.0) == ""
    assert "a slice has run for 11 s, and all CPUs of Ray are in use" in shared.holds_all_cpus(11.0)
    free["CPU"] = 1.0
    assert shared.holds_all_cpus(11.0) == ""


def test_modules_that_import_ray_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the user, wherever they import it; a word in a comment is not an import."""
    from optitrip.executors.ray import shared

    for code, wanted in (("# import ray\nx = 'import ray'", False), ("def f():\n    from ray.util import queue", True)):
        name = f"user_of_ray_{wanted}"
        (tmp_path / f"{name}.py").write_text(code)
        module = type(sys)(name)
        module.__file__ = str(tmp_path / f"{name}.py")
        monkeypatch.setattr(shared, "own_modules", lambda module=module: iter([(module.__name__, module)]))
        assert shared.user_imports_ray() is wanted
