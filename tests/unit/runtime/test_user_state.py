"""The state in which the user's code runs is the user's, on every executor; ours is another."""

from __future__ import annotations

import decimal
import io
import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

import optitrip
import optitrip.objectives as optitrip_objectives
from optitrip.core.arrays import Array
from optitrip.loss.objective import Objective
from optitrip.methods.gradient.answer import norm
from optitrip.runtime.own_state import OwnState
from optitrip.runtime.process import stop_signals, timers_stopped
from optitrip.runtime.streams import SteadyStream, UsersStream, capture_output, hold_descriptors, lenient_prints
from optitrip.runtime.user_state import UserState

SPACE = {"x": {"uniform": [-1, 1]}}
TINY = {"x": {"log_normal": [-700, 3]}, "y": {"uniform": [-1, 1]}}


@pytest.fixture
def numpy_raises() -> Iterator[None]:
    """Have NumPy raise in this test, as after np.seterr in a notebook."""
    with np.errstate(all="raise"):
        yield


def tiny(x: float, y: float) -> float:
    return x + y * y


@pytest.mark.usefixtures("numpy_raises")
def test_our_arithmetic_ignores_what_the_user_lets_raise() -> None:
    """Draws that underflow, norms of entries far apart, and what a notebook shows of the answers."""
    answer = optitrip.search(tiny, TINY, candidates=500, executor="serial")
    assert answer.failures == {}
    assert 0 < answer.losses.min() < 1e-3
    assert "img" in answer._repr_html_()
    assert norm(np.array([1e-177, 1000.0])) == 1000
    there = optitrip.gradient(lambda a, b: 1e-177 * a + 1000.0 * b, {"a": 1.0, "b": 1.0}, executor="serial")
    assert there.norm == pytest.approx(1000)
    assert "img" in there._repr_html_()
    assert np.geterr()["under"] == "raise"


@pytest.mark.usefixtures("numpy_raises")
@pytest.mark.parametrize("plain", [True, False])
def test_our_losses_are_ours(plain: bool) -> None:
    """Softmax takes exponentials that underflow, in batches, calls and differences."""
    loss = optitrip_objectives.Softmax("digits")
    answer = optitrip.search(
        loss, {"W": {"normal": [0, 30], "shape": [10, 65]}}, candidates=5, executor="serial", plain=plain
    )
    assert answer.failures == {}
    there = optitrip.gradient(loss, answer.x, coordinates=30, executor="serial", plain=plain)
    assert there.failures == {}


def divides(x: Array) -> float:
    return float((1 / x).max())


@optitrip.batched(block=4)
def divide(x: Array) -> Array:
    return (1 / x).max(axis=1)


CALLS: dict[str, Any] = {"plain": divides, "batched": divide}


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("mode", ["raise", "ignore"])
def test_a_loss_runs_under_the_users_state(kind: str, mode: Any) -> None:
    """Where the user has NumPy raise, each call raises; else it returns infinity: also after a journey to a worker."""
    with np.errstate(all=mode):
        objective = Objective(CALLS[kind])
    for there in (objective, pickle.loads(cloudpickle.dumps(objective))):
        with np.errstate(all="ignore" if mode == "raise" else "raise"):
            found = there.evaluate(lambda items: {"x": np.zeros((len(items), 2))}, range(4))
        (kind_of_failure,) = {kind for kind, _ in found.problems}
        assert kind_of_failure == ("raised" if mode == "raise" else "infinite")


def test_the_state_travels() -> None:
    """An unpickled state sets its process, here the same one, to what was set where it was made."""
    kept = sys.getrecursionlimit(), list(warnings.filters), decimal.getcontext().copy()
    try:
        sys.setrecursionlimit(4_321)
        decimal.getcontext().prec = 3
        warnings.filterwarnings("error", "odd", DeprecationWarning, "mine")
        travels, wanted = pickle.dumps(state := UserState()), UserState().read()
        sys.setrecursionlimit(kept[0])
        decimal.setcontext(kept[2])
        warnings.filters[:] = kept[1]  # pyright: ignore[reportIndexIssue]
        assert UserState().read() != wanted
        there = pickle.loads(travels)
        assert there.read() == state.read() == wanted
        assert sys.getrecursionlimit() == 4_321
        assert decimal.getcontext().prec == kept[2].prec  # the context belongs to the user's code alone
    finally:
        sys.setrecursionlimit(kept[0])
        decimal.setcontext(kept[2])
        warnings.filters[:] = kept[1]  # pyright: ignore[reportIndexIssue]


def test_what_the_loss_changes_in_its_context_stays_there() -> None:
    """As in a process of its own: the next call finds it, and optitrip does not."""
    state, before = UserState(), np.geterr()
    state.run(np.seterr, all="raise")
    assert state.run(np.geterr)["over"] == "raise"
    assert np.geterr() == before


def test_another_state_of_the_notebook_reaches_the_next_call() -> None:
    """A session evaluates under the state that it finds, though it knows the loss already."""

    def divides(x: float) -> float:
        return float(np.float64(1) / np.float64(0 * x))

    with optitrip.Session(executor="serial") as trip:
        for mode, kind in (("raise", "raised"), ("ignore", "infinite"), ("raise", "raised")):
            with np.errstate(all=mode), pytest.raises(optitrip.NoAnswer) as caught:  # pyright: ignore[reportArgumentType]
                trip.search(divides, SPACE, candidates=3)
            assert caught.value.failures is not None
            assert caught.value.failures.counts() == {kind: 3}


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call works without it, e.g. after one whose loss has removed it."""
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    answer = optitrip.search(lambda x: x, SPACE, candidates=9, executor="serial")
    assert answer.failures == {}


def test_handlers_of_signals_are_put_back() -> None:
    """They are reported once, and those from before are there afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGPIPE)}
    with stop_signals() as stop:
        assert stop.put_back() == []
        for expected in (["SIGTERM", "SIGPIPE"], []):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            assert stop.put_back() == expected
            assert signal.getsignal(signal.SIGTERM) == stop.handle
    assert {number: signal.getsignal(number) for number in before} == before


def test_own_settings_are_restored_for_our_work_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's code finds its own again."""
    own, began = OwnState(), Path.cwd()
    monkeypatch.setenv("OPTITRIP_TEST", "new")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(sys, "path", [])
    before = os.umask(0o777)
    try:
        with own.restored():
            assert Path.cwd() == began
            assert os.environ["OPTITRIP_TEST"] == "new"
            assert "HOME" in os.environ
            assert sys.path
            (tmp_path / "readable").write_text("yes")
        assert (tmp_path / "readable").stat().st_mode & 0o400
        assert (Path.cwd(), sys.path, "HOME" in os.environ) == (tmp_path, [], False)
    finally:
        assert os.umask(before) == 0o777


@pytest.mark.parametrize("stream", [None, lambda: io.TextIOWrapper(io.BytesIO(), encoding="ascii")])
def test_prints_in_this_process_never_fail(stream: Callable[[], Any] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A character that cannot be encoded, or no stream at all: from Python as on workers."""

    def talks(x: float) -> float:
        print("→", x)
        sys.stderr.write("→")
        return x

    before: Any = stream() if stream else None
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, before)
    answer = optitrip.search(talks, SPACE, candidates=20, executor="serial", progress=True)
    assert sys.stdout is sys.stderr is before
    monkeypatch.undo()
    assert answer.failures == {}
    assert before is None or (before.errors == "strict" and b"\\u2192" in before.buffer.getvalue())


def test_messages_in_python_need_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is closed or missing is no reason to end a sweep."""
    closed = io.StringIO()
    closed.close()
    for stream in (closed, None, object()):
        monkeypatch.setattr(sys, "stderr", stream)
        quiet = UsersStream()
        assert quiet.write("→") == 1
        quiet.flush()
        assert not quiet.isatty()
        with lenient_prints():
            pass
    monkeypatch.undo()


def test_closed_descriptors_are_held() -> None:
    """A file that is opened later gets none of the three numbers that prints go to."""
    kept = os.dup(0)
    try:
        os.close(0)
        hold_descriptors()
        assert os.fstat(0).st_rdev == os.stat(os.devnull).st_rdev
        assert os.get_inheritable(0)
    finally:
        os.dup2(kept, 0)
        os.close(kept)
    assert threading.current_thread() is threading.main_thread()


def test_a_timer_that_the_loss_leaves_running_is_stopped() -> None:
    """Its signal would interrupt something else; a timer of the caller's goes on."""
    for before in (0, 50):
        signal.setitimer(signal.ITIMER_REAL, before)
        try:
            with timers_stopped():
                signal.setitimer(signal.ITIMER_REAL, 40)
            assert (signal.getitimer(signal.ITIMER_REAL)[0] > 0) == (before > 0)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def test_the_output_of_a_loss_is_captured_whatever_it_does_to_its_streams() -> None:
    """It may detach one, wrap its buffer, close it, or be strict about another encoding."""
    with capture_output() as output:
        print("one")
        assert isinstance(sys.stdout, SteadyStream)
        wrapped = io.TextIOWrapper(sys.stdout.detach(), encoding="utf-8", write_through=True)
        print("two", file=wrapped)
        print("three", file=sys.stderr)
        wrapped.close()
        print("lost")
        assert isinstance(sys.stderr, SteadyStream)
        sys.stderr.reconfigure(encoding="ascii", errors="strict")
        with pytest.raises(UnicodeEncodeError):
            print("→", file=sys.stderr)
        sys.stderr.buffer.close()
        print("lost", file=sys.stderr)
    assert set(output.text.split()) == {"one", "two", "three"}
