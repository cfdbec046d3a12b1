"""What the answer depends on beside the sweep file: recorded with a sweep, compared when it is resumed."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from threadpoolctl import threadpool_info

import optitrip
from optitrip.config.sweep import Sweep
from optitrip.core.differences import differences
from optitrip.errors import InputError, StateError
from optitrip.journal.facts import Accepted, Provenance
from optitrip.loss.objective import Objective
from optitrip.runtime.fingerprint import library_versions
from optitrip.runtime.imports import source_hash
from optitrip.runtime.tracebacks import with_trace
from optitrip.space.candidates import Candidates
from optitrip.store.state_dir import StateDir

WITNESSES = (0, 1, 999_983)
"""Candidates whose values are hashed: a sampler or distribution that changed shows here. Their number is free of N."""


def provenance(sweep: Sweep, objective: Objective, paths: Sequence[str]) -> Provenance:
    """Collect block, hashes of the user's modules, data and witness points, library versions and kind of machine."""
    pools = threadpool_info()
    return Provenance(
        block=objective.capabilities.block,
        data=data(objective),
        modules=modules(paths),
        versions=library_versions(),
        machine={
            "processor": platform.machine(),
            # OpenMP alone decides no bits, and one process may have loaded it and another not yet.
            "blas": sorted({f"{i['internal_api']} {i['architecture']}" for i in pools if "architecture" in i}),
        },
        witness=witness(sweep.candidates) if sweep.space.drawable else None,
    )


def data(objective: Objective) -> str | None:
    """What the objective says of its data.

    Raises:
        InputError: if its digest raised.
    """
    digest = getattr(objective.loss, "digest", None)
    try:
        return str(digest()) if callable(digest) else None
    except Exception as error:
        raise InputError(with_trace(f"objective {objective.name}: its digest raised", error)) from None


def modules(paths: Sequence[str]) -> dict[str, str]:
    """Hashes of the sources of imported modules below the import paths, installed packages and optitrip excepted.

    Raises:
        InputError: if one of them was edited after it was imported.
    """
    roots = [Path(path).resolve() for path in paths]
    excluded = [Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), Path(optitrip.__file__).resolve().parent]
    installed = tuple(f"{folder}{os.sep}" for folder in (sys.prefix, sys.base_prefix))
    hashes: dict[str, str] = {}
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        # The first test is of words alone: to look at each of a thousand files takes a tenth of a second.
        if name == "__main__" or not file or file.startswith(installed) or not Path(file).is_file():
            continue
        source = Path(file).resolve()
        ours = any(source.is_relative_to(root) for root in roots) and "site-packages" not in source.parts
        if ours and not any(source.is_relative_to(other) for other in excluded):
            found = source_hash(module)
            if found is None:
                raise InputError(f"{source} has changed since this process imported it; restart, or importlib.reload")
            hashes[name] = found
    return hashes


def witness(draws: Candidates) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for index in WITNESSES:
        for name, values in sorted(draws.point(index).items()):
            digest.update(name.encode())
            digest.update(repr(values.tolist()).encode() if values.dtype == object else values.tobytes())
    return digest.hexdigest()


def compare(state: StateDir, now: Provenance, *, accept_changes: bool) -> None:
    """Record the provenance of a new sweep; hold that of an old one against it.

    Raises:
        StateError: if it changed and the command does not accept that.
    """
    before = state.journal.fact(Provenance)
    if before is None and not state.journal.empty() and not accept_changes:
        raise StateError(
            f"{state.path}: what its parts were evaluated with cannot be told, for that record is damaged; "
            "--fresh starts over, --accept-changes goes on with what is there"
        )
    if before is not None and not state.journal.empty():
        # A module that was not there before is no change of one that was.
        known = {**now.to_json(), "modules": {name: now.modules.get(name) for name in before.modules}}
        changed = differences(before.to_json(), known)
        if changed and not accept_changes:
            listed = "\n".join(f"  {line}" for line in changed)
            raise StateError(
                f"{state.path}: what the answer depends on has changed since its first part:\n{listed}\n"
                "--fresh, or another state directory, starts over; --accept-changes goes on with what is there."
            )
    # What was evaluated before need not be as it is now.
    accepted = [Accepted(time.time_ns() // 1_000_000)] if accept_changes else []
    state.journal.note(now, *accepted)
