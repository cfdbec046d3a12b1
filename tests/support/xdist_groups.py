"""Group tests by process: those of a file run together, since they share fixtures, and so do all that use Ray.

pytest-xdist has `--dist loadgroup` for this, but reads groups from an attribute that pytest 9 no longer has. So each
process writes the groups of its tests to a file, and the scheduler reads it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

RAY = "ray"
LONGEST = (RAY, "test_cli", "test_tracking", "test_laws", "test_api")
"""Groups to start first: started last, one would keep a process busy while the other is idle."""


def group(item: pytest.Item) -> str:
    return RAY if item.get_closest_marker(RAY) else item.path.stem


class Groups(LoadScopeScheduling):
    """Assigns a group at a time to a process.

    Args:
        folder: in which the processes write their groups.
    """

    def __init__(self, config: pytest.Config, log: Any, folder: Path) -> None:
        super().__init__(config, log)
        self._folder = folder
        self._groups: dict[str, str] = {}

    def _split_scope(self, nodeid: str) -> str:
        if not self._groups:
            file = next(self._folder.iterdir())  # all processes have the same tests
            self._groups = json.loads(file.read_text())
        return self._groups[nodeid]


class Scheduling:
    """The plugin, in the process that assigns tests and in those that run them."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="optitrip-groups-"))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Groups:
        return Groups(config, log, self._folder)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["groups"] = str(self._folder)

    def pytest_unconfigure(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def arrange(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start with the longest groups, and write the group of each test to a file."""
    for item in items:
        if "local_ray" in getattr(item, "fixturenames", ()):
            item.add_marker(RAY)
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(group(item), len(rank)))
    if (worker := getattr(config, "workerinput", None)) is not None:
        groups = {item.nodeid: group(item) for item in items}
        Path(worker["groups"], worker["workerid"]).write_text(json.dumps(groups))
