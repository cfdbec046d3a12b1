"""The messages about how a sweep ended."""

from __future__ import annotations

from pathlib import Path

from optitrip.core.progress import Progress
from optitrip.errors import ShardDone
from optitrip.shards import Shard
from optitrip.spec import Sweep


def shard_done(done: ShardDone, shard: Shard, folder: Path | None) -> str:
    """Return the message about a share that is evaluated."""
    items = f"items {done.items.start:,} to {done.items.stop - 1:,}" if done.items else "no items"
    return f"{shard.words}: {items} are done. `optitrip merge` joins it with the others: {folder}"


def stopped(error: BaseException, progress: Progress, sweep: Sweep, *, stored: bool) -> str:
    """Return the message about a sweep that was stopped in its middle."""
    done = f"{str(error) or 'interrupted'}: {progress.done:,} of {sweep.items:,} {sweep.unit}"
    return f"{done} are stored. The same command resumes." if stored else f"{done} were evaluated"
