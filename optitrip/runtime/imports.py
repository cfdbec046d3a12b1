"""Import paths, and a check that a loaded module is the intended one."""

import hashlib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optitrip.errors import InputError


def import_paths(folder: Path) -> tuple[str, ...]:
    """Return the paths searched before installed packages: the sweep file's folder, then the working directory."""
    return tuple(dict.fromkeys([str(folder), str(Path.cwd())]))


def python_paths() -> tuple[str, ...]:
    """Return the paths that this process searches, without installed packages, so that workers can search them too."""
    paths = [str(Path(entry or ".").resolve()) for entry in sys.path]
    installed = (sys.prefix, sys.base_prefix, sys.exec_prefix)
    own = [path for path in paths if not path.startswith(installed) and Path(path).is_dir()]
    return tuple(dict.fromkeys([*own, str(Path.cwd())]))


def use_import_paths(paths: Sequence[str]) -> None:
    """Put the paths first in `sys.path`, as the interpreter does with a script's folder."""
    sys.path[:] = [*paths, *(entry for entry in sys.path if entry not in paths)]
    importlib.invalidate_caches()


def check_same_module(reference: str, name: str, paths: Sequence[str]) -> None:
    """Raise InputError if this process has loaded a different module of this name, which Python would silently use."""
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
    """Return a hash of a module's source, or None if the file has changed since the first call."""
    now = hashlib.blake2b(Path(module.__file__).read_bytes(), digest_size=8).hexdigest()
    # Stored on the module itself, so that reimporting the module discards it.
    first = vars(module).setdefault("__optitrip_source__", now)
    return now if first == now else None
