"""Records the code, data, libraries and machine behind a sweep's parts, and compares them when it is resumed."""

import hashlib
import platform
import time
from dataclasses import replace
from typing import Any

from threadpoolctl import threadpool_info

from optitrip.config.sweep import Sweep
from optitrip.core.differences import differences
from optitrip.errors import InputError, StateError
from optitrip.journal.facts import Accepted, Provenance
from optitrip.loss.objective import Objective
from optitrip.loss.offers import method_of_nothing
from optitrip.runtime.fingerprint import VERSIONS
from optitrip.runtime.imports import check_sources, loaded_sources
from optitrip.runtime.interrupts import failure
from optitrip.runtime.tracebacks import with_trace
from optitrip.space.candidates import Candidates
from optitrip.store.state_dir import StateDir

HASHED_CANDIDATES = (0, 1, 999_983)
"""Indices of candidates that are hashed, for any N, to detect a changed sampler or distribution."""


def provenance(sweep: Sweep, objective: Objective) -> Provenance:
    """Collect the block, library versions, type of machine, and hashes of modules, data and a few candidates."""
    pools = threadpool_info()
    return Provenance(
        block=objective.capabilities.block,
        data=data_digest(objective.loss, f"objective {objective.name}"),
        modules=module_hashes(),
        versions=VERSIONS,
        machine={
            # Left out if it is one, as it has always been: else older sweeps would seem to have another.
            **({"threads": objective.threads} if objective.threads > 1 else {}),
            "processor": platform.machine(),
            # OpenMP is left out: it does not affect the bits, and only some processes may have loaded it.
            "blas": sorted({f"{i['internal_api']} {i['architecture']}" for i in pools if "architecture" in i}),
        },
        witness=hash_of_candidates(sweep.candidates) if sweep.space.drawable else None,
    )


def data_digest(loss: Any, name: str) -> str | None:
    """Return the digest of a loss's data, if it has one; raise InputError with the loss's name if `digest` raises."""
    digest = method_of_nothing(loss, "digest", [])
    try:
        return None if digest is None else str(digest())
    except BaseException as error:
        raise InputError(with_trace(f"{name}: its digest raised", failure(error))) from None


def digested(sweep: Sweep) -> str:
    """Return what the digest of a sweep's data is of: of a program, the files beside the sweep file that it names."""
    return f"files of the program ({', '.join(sweep.objective.files)})" if sweep.program is not None else "data"


def module_hashes() -> dict[str, str]:
    """Hash the sources of the user's own imported modules; raise InputError if one has changed since."""
    sources = loaded_sources()
    check_sources(sources)
    return {name: source for name, (_, source) in sources.items()}


def hash_of_candidates(candidates: Candidates) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for index in HASHED_CANDIDATES:
        for name, values in sorted(candidates.point(index).items()):
            digest.update(name.encode())
            digest.update(repr(values.tolist()).encode() if values.dtype == object else values.tobytes())
    return digest.hexdigest()


def check_provenance(state: StateDir, now: Provenance, *, accept_changes: bool, data: str = "data") -> None:
    """Store the provenance of a sweep; raise StateError if it differs from the stored one, unless that is accepted.
    `data` says in its message what the digest of the data is of."""
    if not accept_changes and not state.journal.empty():
        before = state.journal.fact(Provenance)
        if before is None:
            raise StateError(
                f"{state.path}: the record of the code, data and libraries behind the stored parts is damaged, so "
                "changes cannot be detected; --fresh starts over, --accept-changes resumes with the stored parts"
            )
        # Modules that only one of the two processes imported do not count as changes.
        known = {**now.to_json(), "modules": {n: now.modules.get(n, was) for n, was in before.modules.items()}}
        tables = before.to_json(), known
        if changed := differences(*({data if key == "data" else key: table[key] for key in table} for table in tables)):
            listed = "\n".join(f"  {line}" for line in changed)
            raise StateError(
                f"{state.path}: what the answer depends on has changed since the first part was evaluated:\n{listed}\n"
                "--fresh, or another --state-dir, starts over; --accept-changes resumes with the stored parts"
            )
        now = replace(now, modules={**before.modules, **now.modules})
    # Parts stored before the changes were accepted may not be reproducible now.
    accepted = [Accepted(time.time_ns() // 1_000_000)] if accept_changes else []
    if state.writable:
        state.journal.note(now, *accepted)
