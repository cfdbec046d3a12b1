"""Tells which files may travel to the nodes of a cluster, how large they may be together, and what their content is."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from optitrip.errors import InputError

LARGEST = 256 * 2**20
"""Maximum number of bytes of all files together. Ray refuses 512 MiB, and every node gets a copy."""
NAMED = 5
"""Number of large files that a message names."""
CACHES = {"__pycache__", "node_modules", "mlruns", "mlartifacts", "venv"}
SECRET = re.compile(
    r"(?i)id_(rsa|dsa|ecdsa|ed25519)(_sk)?|auth_token|credentials(\.(json|ya?ml|toml|ini|csv|txt))?"
    r"|secrets?\.(?!py)\w+|.*\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk|tfstate)|service[_-]account.*\.json"
)
"""Names of files that usually hold a secret, beside those that begin with a dot."""
MARKS = ("journal.sqlite", "pyvenv.cfg")
"""Files whose folder is a store or an installation."""


def is_included(root: Path, path: Path) -> bool:
    """Return whether a path may travel: nothing that is hidden, a cache or a store, or has the name of a secret.

    The names of what a link leads to count, too. One that leads out of the root is for the caller to refuse.
    """
    places = [place.relative_to(root) for place in (path, path.resolve()) if place.is_relative_to(root)]
    names = {name for place in places for name in place.parts}
    folders = {root / place for inner in places for place in (inner, *inner.parents)} - {root}
    return not (
        any(name.startswith(".") or name in CACHES or SECRET.fullmatch(name) for name in names)
        or path.name.startswith("mlflow.db")
        or path.suffix in {".pyc", ".pyo"}
        or any((folder / mark).exists() for folder in folders for mark in MARKS)
    )


def check_size(sizes: Mapping[str, int]) -> None:
    """Raise InputError if files are too large together, and name the largest."""
    if (total := sum(sizes.values())) <= LARGEST:
        return
    largest = sorted(sizes, key=lambda name: -sizes[name])[:NAMED]
    listed = ", ".join(f"{name} ({sizes[name] / 2**20:,.0f} MiB)" for name in largest)
    raise InputError(
        f"what would travel with the sweep has {total / 2**20:,.0f} MiB, more than {LARGEST // 2**20}: {listed}. Put "
        "large data where all nodes see it, and give the loss its absolute path",
        ("objective",),
    )


def digest_of(files: Mapping[str, bytes]) -> str:
    """Return a hash of the names and the contents of some files, in any order."""
    total = hashlib.blake2b(digest_size=16)
    for name, data in sorted(files.items()):
        for part in (name.encode(), data):
            total.update(len(part).to_bytes(8, "little"))
            total.update(part)
    return total.hexdigest()
