"""The files of a result: written aside, then renamed, so that a reader never sees half of one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULT, SWEEP_FILE = "result.json", "sweep.toml"


def replace(path: Path, data: bytes) -> None:
    """Write a whole file, durably.

    Raises:
        OSError: if it cannot be written; the old file, if there is one, is as it was.
    """
    aside = path.with_name(path.name + ".part")
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    if hasattr(os, "O_DIRECTORY"):  # the name, too, must outlive a power cut; Windows has no such call
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def json_bytes(table: Mapping[str, Any]) -> bytes:
    return (json.dumps(table, indent=2) + "\n").encode()


def items_told(folder: Path) -> int | None:
    """How many items the result file in a folder covers; None without a readable one."""
    try:
        return json.loads((folder / RESULT).read_bytes())["items"]
    except (OSError, ValueError, KeyError):
        return None
