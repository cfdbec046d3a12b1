"""Losses in processes of their own: they share the objective's memory, and end when they must."""

from __future__ import annotations

import math
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples import search
from optitrip.core.arrays import Array
from optitrip.core.executor import Done, Failed
from optitrip.errors import InputError
from optitrip.executors.isolated.executor import Isolated
from optitrip.executors.isolated.objective_file import read_objective, write_objective
from optitrip.loss.objective import Objective
from slices import only_outcome

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the losses send signals")


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files, in which nothing is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.glob("optitrip-*")) == []


def hangs(x: Array, k: int, c: float) -> float:
    if k > 4:
        time.sleep(300)
    return float(x.sum()) + c


def crashes(x: Array, k: int, c: float) -> float:
    if k > 4:
        os.kill(os.getpid(), signal.SIGSEGV)
    return float(x.sum()) + c


def forks(x: Array, k: int, c: float) -> float:
    """Leave a daemon behind."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 3)
            time.sleep(300)
        os._exit(0)
    return float(x.sum()) + k + c


def test_an_objective_goes_through_a_file(tmp_path: Path) -> None:
    """Its arrays are read-only views of one mapping, all else is as it was."""
    arrays = {"a": np.arange(7.0), "empty": np.empty(0), "b": np.arange(6, dtype=np.int32).reshape(2, 3)}
    write_objective(arrays, tmp_path / "objective")
    found = read_objective(tmp_path / "objective")
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert not array.size or not found[name].flags.writeable
    with pytest.raises(InputError, match="process of its own"):
        write_objective({"lock": threading.Lock()}, tmp_path / "objective")


@pytest.mark.daily
@pytest.mark.parametrize(("loss", "kind", "words"), [(hangs, "timed out", "0.5 s"), (crashes, "died", "SIGSEGV")])
def test_a_slice_that_does_not_return(loss: Any, kind: str, words: str) -> None:
    """Its process ends, with how it ended; the next slice has another."""
    method = search(60)
    bad = next(item for item in range(60) if method.point(item)["k"][0] > 4)
    good = next(item for item in range(60) if method.point(item)["k"][0] <= 4)
    with closing(Isolated(1)) as executor:
        executor.set_time_limit(0.5)
        outcome = only_outcome(executor, Objective(loss), method, range(bad, bad + 1))
        assert isinstance(outcome, Failed)
        assert outcome.kind == kind
        assert words in outcome.message
        executor.submit(8, 0, range(good, good + 1), executor.slots[0])
        while not (found := executor.wait(1)):
            pass
        assert isinstance(found[0], Done)
        assert math.isfinite(found[0].part.columns["loss"][0])


@pytest.mark.daily
def test_close_ends_what_runs_and_what_it_has_left() -> None:
    """A hung slice, and daemons of slices before it."""
    executor = Isolated(2)
    before = processes()
    outcome = only_outcome(executor, Objective(forks), search(3), range(3))
    assert isinstance(outcome, Done)
    assert len(processes() - before) >= 3
    executor.close()
    until = time.monotonic() + 5
    while processes() - before and time.monotonic() < until:
        time.sleep(0.02)
    assert processes() - before == set()


def processes() -> set[int]:
    """Return the processes of this user that carry the mark of these tests, by their working directory or command."""
    found: set[int] = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if b"optitrip.executors.isolated.worker" in words or b"nanny.py" in words:
            found.add(int(entry.name))
    return found


def test_a_hung_slice_that_was_cancelled_is_not_waited_for() -> None:
    """The executor cannot be used again, and says so."""
    executor = Isolated(1)
    executor.load(Objective(hangs))
    executor.stage(0, search(60))
    executor.submit(1, 0, range(60), executor.slots[0])
    time.sleep(0.2)
    executor.cancel(1)
    assert not executor.reuse()
    executor.close()
