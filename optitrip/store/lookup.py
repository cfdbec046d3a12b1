"""Which state directory someone means who names a sweep: by its file, its name, its identity or its MLflow run."""

from __future__ import annotations

import json
import re
from pathlib import Path

from optitrip.store.state_dir import JOURNAL, RESULT


def is_sweep_file(path: Path) -> bool:
    return path.suffix == ".toml" and path.exists()


def state_directories(given: str, root: Path) -> list[Path]:
    """The directories with a journal that a word names, the one that was finished or written last first."""
    named: list[Path] = []
    if re.fullmatch(r"[\w.-]+", given):  # else it could not be part of a pattern of file names
        named = [root / given, *root.glob(f"*-{given}"), *root.glob(f"{given}-{'[0-9a-f]' * 8}")]
        named = [path for path in dict.fromkeys(named) if (path / JOURNAL).exists()]
    found = named or [path.parent for path in root.glob(f"*/{RESULT}") if run_of(path) == given]
    return sorted(found, key=newest, reverse=True)


def newest(folder: Path) -> tuple[bool, float]:
    """Finished ones go before others."""
    result, journal = folder / RESULT, folder / JOURNAL
    if result.exists():
        return True, result.stat().st_mtime
    return False, journal.stat().st_mtime if journal.exists() else 0.0


def run_of(result: Path) -> str | None:
    """The MLflow run that a result file tells of."""
    try:
        return (json.loads(result.read_bytes())["mlflow"] or {}).get("run_id")
    except (OSError, ValueError, KeyError):
        return None
