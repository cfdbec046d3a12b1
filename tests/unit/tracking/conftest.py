"""Working directories with a small sweep that is tracked."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tracked import LOSS, SWEEP


@pytest.fixture
def folder(bare: Path, store: Path) -> Path:
    """Make a working directory with a sweep file and a store in it."""
    shutil.copy(store, bare)
    return bare


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a working directory with a sweep file in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delitem(sys.modules, "tracked_loss", raising=False)
    (tmp_path / "tracked.toml").write_text(SWEEP)
    (tmp_path / "tracked_loss.py").write_text(LOSS)
    return tmp_path
