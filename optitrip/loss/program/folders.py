"""The folders of runs that are kept, each under a name that depends on the parameters of its run alone."""

import hashlib
import math
import shutil
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from optitrip.loss.noisy import SEED, canonical
from optitrip.runtime.nanny import remove

FAILED, BEST, OTHERS = "failed", "best", "others"
"""Kinds of runs."""
COPIED = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
"""Kinds of files that are kept."""


class StateFolder(str):
    """The path of a folder that a call gets from optitrip: it is another one each time, and tells no runs apart."""

    __slots__ = ()


class Folders:
    """Keeps the folders of some runs of a sweep.

    Args:
        place: folder for them.
        kinds: kinds of runs that are kept, of `FAILED`, `BEST` and `OTHERS`.
        label: label of the sweep; its best runs so far are apart from those of others.
        maximize: True if larger is better.
        whole: parameters that a run must have to be the best, e.g. all of its epochs.
    """

    def __init__(
        self,
        place: Path,
        kinds: Iterable[str] = (),
        label: str = "",
        *,
        maximize: bool = False,
        whole: Mapping[str, Any] | None = None,
    ) -> None:
        self.whole = dict(whole or {})
        self.place, self.kinds, self._label, self._sign = place, frozenset(kinds), label, -1 if maximize else 1
        self._best, self._best_place = math.inf, Path()

    @property
    def best_place(self) -> Path:
        """Folder of the best runs so far, one for each process or thread that runs programs."""
        return self.place / f"best-{self._label}"

    def failed(self, folder: Path, values: Mapping[str, Any]) -> Path | None:
        """Keep the folder of a run that failed, if wanted; return where it is."""
        return copied(folder, self.place / name_of(values)) if FAILED in self.kinds else None

    def finished(self, folder: Path, values: Mapping[str, Any], loss: float) -> None:
        """Keep the folder of a run, if it is the best of this process so far, or if all are kept."""
        if OTHERS in self.kinds:
            copied(folder, self.place / name_of(values))
        elif BEST in self.kinds and self.whole.items() <= values.items() and self._sign * loss < self._best:
            before, self._best = self._best_place, self._sign * loss
            self._best_place = copied(folder, self.best_place / name_of(values)) or Path()
            if before.name and before != self._best_place:
                remove(str(before))

    def conclude(self, values: Mapping[str, Any], target: Path) -> bool | None:
        """Move the folder of the best run to where the answer's files are, and delete those of others that were the
        best for a while; return whether it is there, None if it was not to be kept."""
        if not {BEST, OTHERS} & self.kinds:
            return None
        name = name_of({name: value for name, value in values.items() if name != SEED} | self.whole)
        found = sorted(self.best_place.glob(f"{name}*")) or sorted(self.place.glob(f"{name}*"))
        if found and (made := copied(found[0], target / name)) is not None:
            for old in target.glob("run-*"):
                if old != made:
                    remove(str(old))
        remove(str(self.best_place))
        return (target / name).is_dir()


def name_of(values: Mapping[str, Any]) -> str:
    """Return the name of a folder: a hash of the parameters, and the seed if there is one."""
    hashed = hashlib.blake2b(digest_size=6)
    for name in sorted(name for name, value in values.items() if name != SEED and not isinstance(value, StateFolder)):
        hashed.update(name.encode() + b"\0" + canonical(values[name]))
    return f"run-{hashed.hexdigest()}" + (f"-{values[SEED]}" if SEED in values else "")


def copied(folder: Path, place: Path) -> Path | None:
    """Copy the folder of a run; return where it is, None if it cannot be copied."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        remove(str(place))
        shutil.copytree(folder, place, symlinks=True, ignore=special)
    except OSError:  # the disk is full, or this is another machine: the failure itself is told
        remove(str(place))  # a part of a folder would be taken for all of it
        return None
    return place


def special(folder: str, names: list[str]) -> list[str]:
    """Return the names in a folder that cannot be copied: sockets, pipes and devices."""
    return [name for name in names if stat.S_IFMT((Path(folder) / name).lstat().st_mode) not in COPIED]
