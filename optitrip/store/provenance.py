"""Records everything besides the sweep file that the answer depends on, and compares it when a sweep is resumed."""

import hashlib
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from optitrip.space.variables import Candidates
from optitrip.store.state_dir import StateDir

HASHED_CANDIDATES = (0, 1, 999_983)
"""Indices of candidates that are hashed, for any N, to detect a changed sampler or distribution."""


def provenance(sweep: Sweep, objective: Objective, paths: Sequence[str]) -> Provenance:
    """Collect the block, library versions, type of machine, and hashes of modules, data and a few candidates."""
    pools = threadpool_info()
    return Provenance(
        block=objective.capabilities.block,
        data=data_digest(objective.loss, f"objective {objective.name}"),
        modules=module_hashes(paths),
        versions=library_versions(),
        machine={
            "processor": platform.machine(),
            # OpenMP is left out: it does not affect the bits, and only some processes may have loaded it.
            "blas": sorted({f"{i['internal_api']} {i['architecture']}" for i in pools if "architecture" in i}),
        },
        witness=hash_of_candidates(sweep.candidates) if sweep.space.drawable else None,
    )


def data_digest(loss: Any, name: str) -> str | None:
    """Return the digest of a loss's data, if it has one; raise InputError with the loss's name if `digest` raises."""
    digest = getattr(loss, "digest", None)
    try:
        return str(digest()) if callable(digest) else None
    except Exception as error:
        raise InputError(with_trace(f"{name}: its digest raised", error)) from None


def module_hashes(paths: Sequence[str]) -> dict[str, str]:
    """Hash the sources of imported modules below the import paths, except installed packages and optitrip."""
    roots = [Path(path).resolve() for path in paths]
    excluded = [Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), Path(optitrip.__file__).resolve().parent]
    installed = tuple(f"{folder}{os.sep}" for folder in (sys.prefix, sys.base_prefix))
    hashes: dict[str, str] = {}
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        # Names are tested first: calling is_file() on a thousand modules takes a tenth of a second.
        if name == "__main__" or not file or file.startswith(installed) or not Path(file).is_file():
            continue
        source = Path(file).resolve()
        below_paths = any(source.is_relative_to(root) for root in roots) and "site-packages" not in source.parts
        if below_paths and not any(source.is_relative_to(other) for other in excluded):
            if (module_hash := source_hash(module)) is None:
                raise InputError(f"{source} has changed since it was imported; restart, or use importlib.reload")
            hashes[name] = module_hash
    return hashes


def hash_of_candidates(candidates: Candidates) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for index in HASHED_CANDIDATES:
        for name, values in sorted(candidates.point(index).items()):
            digest.update(name.encode())
            digest.update(repr(values.tolist()).encode() if values.dtype == object else values.tobytes())
    return digest.hexdigest()


def check_provenance(state: StateDir, now: Provenance, *, accept_changes: bool) -> None:
    """Store the provenance of a sweep; raise StateError if it differs from the stored one, unless that is accepted."""
    if not accept_changes and not state.journal.empty():
        before = state.journal.fact(Provenance)
        if before is None:
            raise StateError(
                f"{state.path}: the record of the code, data and libraries behind the stored parts is damaged, so "
                "changes cannot be detected; --fresh starts over, --accept-changes resumes with the stored parts"
            )
        # Modules that were not imported before do not count as changes.
        known = {**now.to_json(), "modules": {name: now.modules.get(name) for name in before.modules}}
        if changed := differences(before.to_json(), known):
            listed = "\n".join(f"  {line}" for line in changed)
            raise StateError(
                f"{state.path}: what the answer depends on has changed since the first part was evaluated:\n{listed}\n"
                "--fresh, or another --state-dir, starts over; --accept-changes resumes with the stored parts"
            )
    # Parts stored before the changes were accepted may not be reproducible now.
    accepted = [Accepted(time.time_ns() // 1_000_000)] if accept_changes else []
    if state.writable:
        state.journal.note(now, *accepted)
