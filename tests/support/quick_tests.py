"""Mark the tests to run while editing, `pytest -m quick`: they start neither Ray, MLflow nor another process."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).parents[1]
FOLDERS = (TESTS / "unit", TESTS / "laws")
SLOW = {
    "unit/api",
    "unit/app",
    "unit/config/test_starter.py",
    "unit/driver/test_retries.py",
    "unit/methods/test_screening.py",
    "unit/methods/test_stop_rule.py",
    "unit/store/test_shards.py",
    "unit/tracking",
    "laws/test_imports.py",
    "laws/test_laws.py",
    "laws/test_notices.py",
    "laws/test_sides.py",
    "laws/test_simulation.py",
    "laws/test_toy_method.py",
}
"""Folders and files that run whole sweeps or processes."""
OTHER = {"ray", "daily", "thorough"}
"""Markers of tests that are never quick."""


def mark_quick(items: list[pytest.Item]) -> None:
    """Mark all tests of FOLDERS that are not known to be slow."""
    slow = [TESTS / place for place in SLOW]
    for item in items:
        if not any(item.path.is_relative_to(folder) for folder in FOLDERS):
            continue
        marked = OTHER & {marker.name for marker in item.iter_markers()}
        uses_mlflow = "store" in getattr(item, "fixturenames", ())
        if not (marked or uses_mlflow or any(item.path.is_relative_to(place) for place in slow)):
            item.add_marker("quick")


def examples(most: int) -> settings:
    """Return settings with at most so many examples, fewer in a quick run."""
    return settings(max_examples=min(most, settings.default.max_examples if settings.default else most))
