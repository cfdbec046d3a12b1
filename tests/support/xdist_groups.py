"""Which tests one process runs: those of a file, since what they share is made once, and all that use Ray.

pytest-xdist has `--dist loadgroup` for this, but tells groups by an attribute that pytest 9 has no longer. So each
process writes down the groups of its tests, and the scheduler reads them.
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
"""Groups that would otherwise be begun last, by one process, while the other has nothing left to do."""


def group(item: pytest.Item) -> str:
    return RAY if item.get_closest_marker(RAY) else item.path.stem


class Groups(LoadScopeScheduling):
    """Hands out a group at a time.

    Args:
        folder: where the processes write down their groups.
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
    """The plugin, in the process that hands out and in those that run tests."""

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
    """Begin with the longest groups, and write down which test is in which."""
    for item in items:
        if "local_ray" in getattr(item, "fixturenames", ()):
            item.add_marker(RAY)
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(group(item), len(rank)))
    if (worker := getattr(config, "workerinput", None)) is not None:
        groups = {item.nodeid: group(item) for item in items}
        Path(worker["groups"], worker["workerid"]).write_text(json.dumps(groups))
