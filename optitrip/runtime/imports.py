"""Where modules are looked up, and whether the one loaded is the one meant."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optitrip.errors import InputError


def import_paths(folder: Path) -> tuple[str, ...]:
    """Where modules are looked up before the installed packages: the sweep file's folder, the working directory."""
    return tuple(dict.fromkeys([str(folder), str(Path.cwd())]))


def use_import_paths(paths: Sequence[str]) -> None:
    """Put the paths first in this process, as the interpreter does with a script's folder."""
    sys.path[:] = [*paths, *(entry for entry in sys.path if entry not in paths)]
    importlib.invalidate_caches()


def check_same_module(reference: str, name: str, paths: Sequence[str]) -> None:
    """Go on unless this process holds another module of this name: one from another folder, or one since edited.

    Raises:
        InputError: with what differs; Python would go on with what it holds.
    """
    loaded = getattr(sys.modules.get(name), "__file__", None)
    places = [Path(path, *name.split(".")) for path in paths]
    found = [file for place in places for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()]
    if loaded and found and Path(loaded).resolve() != found[0].resolve():
        raise InputError(
            f"objective {reference}: its module is {found[0]}, but this process has imported {name} from {loaded}; "
            "rename one of them, or use another process"
        )
    if loaded and source_hash(sys.modules[name]) is None:
        raise InputError(
            f"objective {reference}: {loaded} has changed since this process imported it; restart, or importlib.reload"
        )


def source_hash(module: Any) -> str | None:
    """A hash of a module's source, the same as when this was first asked of it; None if the file has changed since."""
    now = hashlib.blake2b(Path(module.__file__).read_bytes(), digest_size=8).hexdigest()
    # Kept on the module itself: a module that is imported anew starts anew.
    first = vars(module).setdefault("__optitrip_source__", now)
    return now if first == now else None


def python_paths() -> tuple[str, ...]:
    """Where this process looks for modules, the installed packages apart: workers are to find the same."""
    own = [str(Path(entry or ".").resolve()) for entry in sys.path]
    installed = (sys.prefix, sys.base_prefix, sys.exec_prefix)
    kept = [entry for entry in own if not entry.startswith(installed) and Path(entry).is_dir()]
    return tuple(dict.fromkeys([*kept, str(Path.cwd())]))
