"""optitrip as a contestant: sweeps of a session with two workers, timed by the phases that a sweep's result tells."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import optitrip
from local_ray import WORKERS, local_ray
from rounds import SEED, Opening, Turn, Unavailable

AROUND = ("start", "other", "load", "ray", "mlflow", "report", "files", "shutdown")
"""Phases before and after the work. What is neither here nor `CHECK` counts as work: none is missed by its name."""
CHECK = "agreement"

Tables = Mapping[str, Any]
"""The tables of a sweep file, by name."""


class Sessions:
    """A session a loss, so that a loss stays with its workers from turn to turn. A context manager."""

    def __init__(self) -> None:
        self._sessions: dict[str, optitrip.Session] = {}

    def __enter__(self) -> Sessions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._sessions.values():
            session.close()

    def of(self, objective: Tables) -> optitrip.Session:
        """The session of the loss that an [objective] table describes."""
        local_ray()  # before a session would start one with room for itself alone
        key = json.dumps(objective)
        if key not in self._sessions:
            self._sessions[key] = optitrip.Session(workers=WORKERS, executor="ray")
        return self._sessions[key]

    @contextmanager
    def search(self, objective: Tables, space: Tables, **method: Any) -> Opening:
        """Random search of as many candidates as a turn has."""
        yield lambda items: self._turn(objective, space, {"use": "search", "candidates": items, **method})

    @contextmanager
    def gradient(self, objective: Tables, space: Tables, scheme: str) -> Opening:
        """The numeric gradient at the first candidate, along as many coordinates as a turn has."""
        method = {"use": "gradient", "scheme": scheme, "at": {"candidate": 0}}
        yield lambda items: self._turn(objective, space, {**method, "coordinates": items})

    def _turn(self, objective: Tables, space: Tables, method: Tables) -> Turn:
        session = self.of(objective)
        tables = {"seed": SEED, "objective": objective, "space": space, "method": method}
        # A folder for each turn: what is in a journal already would not be evaluated again.
        with tempfile.TemporaryDirectory(prefix="optitrip-benchmark-") as folder:
            try:
                session.sweep(tables, state_dir=folder)
            except optitrip.InputError as error:
                raise Unavailable(str(error).splitlines()[0]) from None
            return turn_of(Path(folder))


def turn_of(state_dir: Path) -> Turn:
    """A turn from the phases in the one result below a state directory."""
    (result,) = state_dir.glob("*/result.json")
    phases: dict[str, float] = json.loads(result.read_text())["phases"]
    apart = {"check": phases[CHECK]} if CHECK in phases else {}
    return Turn(sum(seconds for name, seconds in phases.items() if name not in (*AROUND, CHECK)), apart)
