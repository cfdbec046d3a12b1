"""How one sweep is run; no part of the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from optitrip.config.sweep import Sweep
from optitrip.driver.settings import DEFAULT, Settings
from optitrip.store.shards import Shard
from optitrip.store.start_point import STATE_ROOT
from optitrip.store.state_dir import stored_items


@dataclass(frozen=True)
class Options:
    """How one sweep is run."""

    state_dir: Path | None = STATE_ROOT
    """Folder of state directories; None to write nothing."""
    address: str | None = None
    """Address of a Ray cluster to join."""
    fresh: bool = False
    """True to move stored results aside and start over."""
    accept_changes: bool = False
    """True to resume although code, data or libraries have changed."""
    retry_failed: bool = False
    """True to retry failed items once."""
    shard: Shard | None = None
    """Share of the items to evaluate, to be merged with the others; only the merged sweep is tracked in MLflow."""
    mlflow_process: bool = False
    """True to write to MLflow from a process of its own, so that a command need not wait for MLflow's import."""
    settings: Settings = DEFAULT
    """Settings of the driver; the sweep's own durations replace some of them."""
    raise_if_stopped: Callable[[], None] = lambda: None
    """Function called between slices; raises `Stopped` if a stop was requested."""

    def has_result(self, sweep: Sweep) -> bool:
        """Return whether a result file covers all items, so that most likely nothing is evaluated."""
        if self.fresh or self.retry_failed or self.state_dir is None:
            return False
        return stored_items(self.state_dir / sweep.label) == sweep.items
