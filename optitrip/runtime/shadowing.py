"""Finds files of the user that have the name of a library, and would be imported in its place."""

import os
import re
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.machinery import PathFinder, all_suffixes
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions

from optitrip.runtime.files import working_folder
from optitrip.runtime.imports import file_of as module_file
from optitrip.runtime.imports import is_installed
from optitrip.runtime.libraries import hide, put_first, search_path

FILES_NAMED = 5
"""Number of files that a message names."""


def shadowing_files(folders: Sequence[str]) -> dict[str, str]:
    """Return the files in some folders, by module, that have the name of a module of Python or of a library that
    optitrip needs, unless this process has imported the file already."""
    # PYTHONPATH is left as Python has it: who sets it may want its modules before the libraries.
    chosen = {*os.environ.get("PYTHONPATH", "").split(os.pathsep)} - {str(working_folder())}
    found: dict[str, str] = {}
    for folder in folders:
        for name in modules_in(folder) - found.keys() if folder not in chosen else ():
            file = file_of(name, [folder])
            loaded = module_file(sys.modules.get(name))
            if file and is_library(name) and not (loaded and os.path.realpath(loaded) == os.path.realpath(file)):
                found[name] = file
    return found


def use_import_paths(paths: Sequence[str]) -> dict[str, str]:
    """Put the paths first in `sys.path`, but not before the libraries that optitrip needs; return the files there that
    have their names."""
    files = shadowing_files(paths)
    put_first(paths, files)
    return files


@contextmanager
def added_paths_checked(files: dict[str, str]) -> Generator[None]:
    """Treat the folders that the body, the import of the user's modules, puts on `sys.path` like the user's folders;
    add their files named like libraries to `files`."""
    before = set(search_path())
    try:
        yield
    finally:
        added = [entry for entry in search_path() if entry not in before and not is_installed(entry)]
        files |= (found := shadowing_files(added))
        hide(added, found)


def modules_in(folder: str) -> set[str]:
    """Return the names of what may be modules and packages in a folder."""
    try:
        entries = os.listdir(folder)
    except OSError:  # e.g. a zip archive
        return set()
    return {entry.partition(".")[0] for entry in entries if "." not in entry or entry.endswith(tuple(all_suffixes()))}


def file_of(name: str, path: Sequence[str]) -> str | None:
    """Return the file of a top-level module on a path, if there is one; a folder without `__init__` has none."""
    spec = PathFinder.find_spec(name, path)
    return spec.origin if spec and spec.loader else None


def is_library(name: str) -> bool:
    """Return whether a name is that of a module of Python, or of an installed one that optitrip may import."""
    if name in sys.stdlib_module_names:  # those of other systems, too: libraries try to import them
        return True
    installed = PathFinder.find_spec(name, [entry for entry in search_path() if is_installed(entry)])
    return installed is not None and name in needed_modules()


@cache
def needed_modules() -> frozenset[str]:
    """Return the top-level modules of the packages that optitrip needs, directly or not, and of its extras."""
    needed, pending = set[str](), ["optitrip"]
    while pending:
        name = canonical(pending.pop())
        if name in needed:
            continue
        needed.add(name)
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        wanted = [line for line in requirements if name == "optitrip" or "extra ==" not in line]
        pending += [match[0] for line in wanted if (match := re.match(r"[\w.-]+", line))]
    owners = packages_distributions().items()
    return frozenset(module for module, names in owners if not needed.isdisjoint(map(canonical, names)))


def canonical(name: str) -> str:
    """Return the name of a package as all of its spellings are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def described(files: Mapping[str, str]) -> str:
    """Return a message about files named like libraries."""
    names = sorted(files)
    listed = ", ".join(files[name] for name in names[:FILES_NAMED])
    more = f" and {len(names) - FILES_NAMED} more" if len(names) > FILES_NAMED else ""
    return (
        f"named like a module of Python or of a library that optitrip needs: {listed}{more}. `import {names[0]}` finds "
        "the library's module, here and on workers; rename the file to use it"
    )
