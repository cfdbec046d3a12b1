"""Mark the tests to run while editing, `pytest -m quick`: they start neither Ray, MLflow nor another process."""

from __future__ import annotations

import pytest
from hypothesis import settings

PLACES = ("tests/unit/", "tests/laws/")
SLOW = (
    "tests/laws/test_imports.py",
    "tests/laws/test_laws.py",
    "tests/laws/test_notices.py",
    "tests/laws/test_pins.py::test_contents_of_files",
    "tests/laws/test_pins.py::test_what_",
    "tests/laws/test_sides.py",
    "tests/laws/test_simulation.py",
    "tests/laws/test_toy_method.py",
    "tests/unit/api/",
    "tests/unit/app/",
    "tests/unit/config/test_read.py::test_descriptions_import_nothing",
    "tests/unit/config/test_starter.py",
    "tests/unit/driver/test_retries.py",
    "tests/unit/journal/test_journal.py::test_no_flipped_bit",
    "tests/unit/loss/test_large_points.py::test_a_picture",
    "tests/unit/methods/test_screening.py",
    "tests/unit/methods/test_stop_rule.py",
    "tests/unit/objectives/test_download.py",
    "tests/unit/output/test_figures.py",
    "tests/unit/runtime/test_clock.py",
    "tests/unit/runtime/test_own_modules.py::test_code_that_was_changed",
    "tests/unit/runtime/test_platforms.py",
    "tests/unit/runtime/test_shadowing.py::test_a_sweep_among",
    "tests/unit/runtime/test_user_state.py",
    "tests/unit/samplers/test_halton.py::test_resuming",
    "tests/unit/scheduler/test_plan.py::test_every_item_is_done_exactly_once",
    "tests/unit/scheduler/test_plan.py::test_slices_hold_whole_blocks",
    "tests/unit/store/test_shards.py",
    "tests/unit/tracking/",
)
"""Beginnings of the names of tests that take a second or more, most of them whole sweeps or processes."""
NEVER = {"ray", "daily", "thorough"}
"""Markers of tests that are never quick."""


def mark_quick(items: list[pytest.Item]) -> None:
    """Mark all tests of PLACES but the slow ones and those that use MLflow."""
    for item in items:
        marked = NEVER & {marker.name for marker in item.iter_markers()}
        uses_mlflow = "store" in getattr(item, "fixturenames", ())
        if item.nodeid.startswith(PLACES) and not (item.nodeid.startswith(SLOW) or marked or uses_mlflow):
            item.add_marker("quick")


def examples(most: int) -> settings:
    """Return settings with at most so many examples, fewer in a quick run."""
    return settings(max_examples=min(most, settings.default.max_examples if settings.default else most))
