"""The options of one run: how it is run, no part of the answer."""

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
    """The folder of state directories; None to write nothing."""
    address: str | None = None
    """The address of a Ray cluster to join."""
    fresh: bool = False
    """Whether to set what is stored aside and start over."""
    accept_changes: bool = False
    """Whether to resume although code, data or libraries have changed."""
    retry_failed: bool = False
    """Whether to retry once what failed."""
    shard: Shard | None = None
    """The share of the items to evaluate, to be merged with the others; MLflow hears of the whole only."""
    mlflow_process: bool = False
    """Whether MLflow is given a process of its own: a command need not wait for its import, many sweeps share one."""
    settings: Settings = DEFAULT
    """Settings of the driver; the sweep's own durations replace some of them."""
    raise_if_stopped: Callable[[], None] = lambda: None
    """Called between slices; raises `Stopped` if someone asked to stop."""

    def has_result(self, sweep: Sweep) -> bool:
        """Return whether a result file covers all that is asked for, so that most likely nothing is evaluated."""
        if self.fresh or self.retry_failed or self.state_dir is None:
            return False
        return stored_items(self.state_dir / sweep.label) == sweep.items
