"""Working directories with a small sweep that is tracked."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from optitrip.tracking.mlflow_client import InProcessClient
from tracked import LOSS, SWEEP


@pytest.fixture
def folder(bare: Path, store: Path) -> Path:
    """Make a working directory with a sweep file and a store in it."""
    shutil.copy(store, bare)
    return bare


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a working directory with a sweep file in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delitem(sys.modules, "tracked_loss", raising=False)
    (tmp_path / "tracked.toml").write_text(SWEEP)
    (tmp_path / "tracked_loss.py").write_text(LOSS)
    yield tmp_path
    sys.modules.pop("tracked_loss", None)  # its file may be gone, which other sweeps would refuse


@pytest.fixture
def mlflow_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands run MLflow in this process, which has imported it."""
    monkeypatch.setattr("optitrip.app.run_sweep.SubprocessClient", lambda: nullcontext(InProcessClient()))
