"""Tells how far a running sweep is, from its journal: what is stored, the best, the pace, failures, what runs now."""

from dataclasses import dataclass
from pathlib import Path

from optitrip.config.sweep import Sweep
from optitrip.core.observer import Running
from optitrip.journal.facts import RunningNow
from optitrip.output.line import duration, running_words
from optitrip.store.runs import main_stage, state_of, stored_leaders
from optitrip.store.state_dir import open_journal


@dataclass(frozen=True)
class Progress:
    """A sweep as its journal shows it at one moment."""

    state: str
    """State of the sweep, e.g. "running"."""
    text: str
    """Line of text."""


def progress(sweep: Sweep, folder: Path, now: float) -> Progress:
    """Return how far a sweep is; `now` is in seconds since 1970."""
    with open_journal(folder) as journal:
        state, stage = state_of(folder, journal), main_stage(journal)
        if stage is None:
            return Progress(state, "nothing is stored yet")
        tiles = journal.tiling(stage.number, stage.digest, stage.items)
        failed = journal.failures(stage.number, stage.digest, stage.items).count
        leaders, rate = stored_leaders(sweep, journal), journal.recent_rate()
        noted = journal.fact(RunningNow)
    done = stage.before + sum(map(len, tiles))
    words = [f"{done:,} of {max(sweep.items, done):,} {sweep.unit}"]
    words += [leaders[0].verdict()] if leaders else []
    words += [f"{failed:,} failed"] if failed else []
    if state == "running":
        left = (sweep.items - done) / rate if rate else 0.0
        words += [f"{rate:.3g}/s", f"{duration(left)} left"] if rate and left > 0 else []
        slices = [Running(range(lo, hi), since / 1000) for lo, hi, since in noted.slices] if noted else []
        slices = [one for one in slices if not any(one.items.start in tile for tile in tiles)]  # done since
        words += [running_words(slices, now, 3)] if slices else []
    return Progress(state, " | ".join(words))
