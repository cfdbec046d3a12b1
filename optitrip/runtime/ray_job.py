"""Tells which job of Ray this process belongs to, and what goes when the cluster goes."""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

SESSION = re.compile(r"session_(latest|\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d+_\d+)")
"""Name of the folder that a Ray cluster makes on each node, with the working directories of its jobs in it."""
JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Variable that Ray sets for the command of a job."""


def vanishes(path: Path) -> bool:
    """Return whether a path lies in Ray's session folder, which is for one cluster and is lost with its node."""
    return any(SESSION.fullmatch(part) for part in path.absolute().parts)


def folders_of_job(path: Path, environment: Mapping[str, str] = os.environ) -> frozenset[Path]:
    """Return the working directory and all folders above it, if this process is a job in Ray's session folder, and a
    path without links lies in that directory; otherwise none."""
    with suppress(FileNotFoundError):  # the working directory was removed
        here = Path.cwd()
        if submission_id(environment) is not None and vanishes(here) and path.is_relative_to(here):
            return frozenset((here, *here.parents))
    return frozenset()


def submission_id(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the submission id of the Ray job that this process belongs to; None if it belongs to none."""
    with suppress(ValueError, LookupError, TypeError):
        found = json.loads(environment[JOB])["metadata"]["job_submission_id"]
        return found if isinstance(found, str) else None
    return None
