"""Tests of the start of a local Ray: by which command workers start, and waiting for the raylet."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ray")

from optitrip.errors import Stopped
from optitrip.executors.ray import raylet
from optitrip.executors.ray.raylet import await_raylet, raylet_first
from optitrip.executors.ray.start import RayPool

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its sockets have no paths there")


def node(path: Path, *command: str) -> Any:
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    return SimpleNamespace(raylet_socket_name=str(path), all_processes={"raylet": [SimpleNamespace(process=process)]})


def test_a_raylet_that_dies_before_it_listens_is_told(tmp_path: Path) -> None:
    """Ray itself would end the process with status 1."""
    starting = node(tmp_path / "raylet", sys.executable, "-c", "")
    with pytest.raises(Stopped, match="its raylet ended"):
        await_raylet(starting)
    starting.all_processes["raylet"][0].process.communicate()


def test_a_raylet_that_listens_late_is_awaited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray connects after that, with the arguments that it was given, and is as before afterwards."""
    waiting = node(tmp_path / "raylet", sys.executable, "-c", "input()")
    called: list[Any] = []
    connect = lambda *args, **kwargs: called.append((args, kwargs))  # noqa: E731
    monkeypatch.setattr(raylet.WORKER, "connect", connect)
    with socket.socket(socket.AF_UNIX) as listening:
        late = Timer(0.3, lambda: (listening.bind(waiting.raylet_socket_name), listening.listen()))
        late.start()
        with raylet_first():
            raylet.WORKER.connect(waiting, "name", mode=0)
        late.join()
    assert called == [((waiting, "name"), {"mode": 0})]
    assert raylet.WORKER.connect is connect
    waiting.all_processes["raylet"][0].process.communicate(b"end\n")


def test_a_ray_that_is_imported_already_starts_no_worker_by_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has read its switch by then; under `uv run`, each worker would build the environment anew. A user's stays."""
    from ray._private import ray_constants

    for given, uses_uv in ((None, False), ("1", True)):
        monkeypatch.setattr(ray_constants, "RAY_ENABLE_UV_RUN_RUNTIME_ENV", True)
        monkeypatch.delenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", raising=False)
        if given:
            monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", given)
        RayPool().prepare()
        assert ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV is uses_uv
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
