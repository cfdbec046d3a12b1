"""Puts the user's folders first on the import path, but not before libraries that optitrip needs.

A worker imports this file before those libraries, so it imports nothing that a user's file could stand in for.
"""

import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any


class LibraryFinder:
    """Finds some modules as if the user's folders were not on the import path."""

    def __init__(self) -> None:
        self.names, self.folders = set[str](), set[str]()

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name not in self.names:
            return None
        others = [entry for entry in search_path() if os.path.abspath(entry) not in self.folders]
        if (found := PathFinder.find_spec(name, others)) is None:  # a module of another system
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return found


FINDER = LibraryFinder()


def search_path() -> list[str]:
    """Return `sys.path` without what the user's code has put there that names no folder: Python, too, ignores it."""
    return [entry for entry in sys.path or () if isinstance(entry, str)]  # pyright: ignore[reportUnnecessaryIsInstance]


def make_path_a_list() -> None:
    """Make `sys.path` a list again, if the user's code has made it something else."""
    if not isinstance(sys.path, list):  # pyright: ignore[reportUnnecessaryIsInstance]
        sys.path = search_path()


def hide(folders: Iterable[str], names: Iterable[str]) -> None:
    """Have modules of these names no longer imported from some folders on the import path."""
    FINDER.names.update(names)
    FINDER.folders.update(map(os.path.abspath, folders))
    if FINDER.names and FINDER not in sys.meta_path:
        finders: list[Any] = sys.meta_path
        finders.insert(finders.index(PathFinder) if PathFinder in finders else 0, FINDER)


def put_first(paths: Sequence[str], libraries: Iterable[str]) -> None:
    """Put paths first in `sys.path`, as the interpreter does with a script's folder; the modules `libraries` are still
    not imported from there."""
    hide(paths, libraries)
    make_path_a_list()
    sys.path[:] = [*paths, *(entry for entry in search_path() if entry not in paths)]
    importlib.invalidate_caches()
