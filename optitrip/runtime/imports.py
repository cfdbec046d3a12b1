"""Import paths, which modules are the user's own, and a check that a loaded module is the intended one."""

import hashlib
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from operator import itemgetter
from pathlib import Path
from types import ModuleType
from typing import Any
from zipfile import BadZipFile, ZipFile

import optitrip
from optitrip.errors import InputError
from optitrip.runtime.files import working_folder
from optitrip.runtime.interrupts import no_failures
from optitrip.runtime.libraries import FINDER, search_path


def import_paths(folder: Path) -> tuple[str, ...]:
    """Return the paths searched before installed packages: the sweep file's folder, then the working directory."""
    return tuple(dict.fromkeys([str(folder), str(working_folder())]))


def python_paths() -> tuple[str, ...]:
    """Return the paths that this process searches, without installed packages, so that workers can search them too."""
    paths = [str((working_folder() / entry).resolve()) for entry in search_path()]
    own = [path for path in paths if not in_folders(path, installed_folders()) and Path(path).exists()]
    return tuple(dict.fromkeys([*own, str(working_folder())]))


SCRIPT = ("__main__", "__mp_main__")
"""Names of the module that is run as a script, such as the command `optitrip` itself."""


@cache
def installed_folders() -> tuple[str, ...]:
    """Return the real paths of the folders for installed packages and the standard library.

    All below `sys.prefix` would be too much: a project may lie there, e.g. after `python -m venv .` in its folder, or
    in the folder of an image whose Python is its own.
    """
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    names = ("purelib", "platlib", "stdlib", "platstdlib")
    found = [sysconfig.get_path(name, vars=variables) for variables in (None, base) for name in names]
    found += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple(dict.fromkeys(os.path.realpath(folder) for folder in found))


def in_folders(path: str, folders: Sequence[str]) -> bool:
    """Return whether a path is one of the folders or lies in one; /env2 is not in /env."""
    return any(path == folder or path.startswith(folder + os.sep) for folder in folders)


@lru_cache(4_096)
def is_installed(folder: str) -> bool:
    """Return whether the modules in a folder are installed ones, or optitrip's. Links are followed: an editable install
    may be a link among the installed packages. Another environment's packages are installed, too, and so is the folder
    in which a job of Ray gets optitrip: it holds nothing else, and must come before an optitrip of the image."""
    real = os.path.realpath(folder)
    own = os.path.dirname(os.path.realpath(optitrip.__file__))
    own = os.path.dirname(own) if "py_modules_files" in own.split(os.sep) else own
    packages = {"site-packages", "dist-packages"} & set(real.split(os.sep))
    return bool(packages) or in_folders(real, (own, *installed_folders()))


def own_modules() -> Iterator[tuple[str, ModuleType]]:
    """Yield the imported modules, by name, that are neither installed nor built in, have a file, and are not the
    script, which a process that multiprocessing has started has under both names."""
    for name, module in sorted(sys.modules.items(), key=itemgetter(0)):
        file = file_of(module)
        if file is not None and not is_installed_file(file) and name not in SCRIPT:
            yield name, module


@lru_cache(8_192)
def is_installed_file(file: str) -> bool:
    """Return whether a file is that of an installed module, or of optitrip."""
    return is_installed(os.path.dirname(file))


def file_of(module: object) -> str | None:
    """Return the file of an entry of `sys.modules`, which may be any object, and raise when it is looked at."""
    file: Any = None
    if type(module) is ModuleType:  # nearly all; nothing of anyone's runs, and each call of a session looks at all
        file = vars(module).get("__file__")
    else:
        with no_failures():
            file = getattr(module, "__file__", None)
    return file if isinstance(file, str) else None


def check_same_module(reference: str, name: str, paths: Sequence[str]) -> None:
    """Raise InputError if this process would silently use a different module of this name: one that it has loaded, or
    that of a library."""
    loaded = file_of(sys.modules.get(name))
    places = [Path(path, *name.split(".")) for path in paths]
    found = [file for place in places for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()]
    if found and (top := name.partition(".")[0]) in FINDER.names:
        raise InputError(
            f"objective {reference}: its module is {found[0]}, but {top} is also a module of Python or of a library "
            "that optitrip needs; rename yours"
        )
    if loaded and found and Path(loaded).resolve() != found[0].resolve():
        raise InputError(
            f"objective {reference}: its module is {found[0]}, but this process has imported {name} from {loaded}; "
            "rename one of them, or use another process"
        )
    if loaded and source_hash(sys.modules[name]) is None:
        raise InputError(
            f"objective {reference}: {loaded} has changed since this process imported it; restart, or importlib.reload"
        )


SOURCES: dict[int, tuple[Any, Any, str]] = {}
"""Modules by id, for some take no attributes; each with its spec, which importlib.reload replaces, and the first hash
of its source."""


def source_hash(module: Any) -> str | None:
    """Return a hash of a module's source, or None if the file has changed since the first call."""
    spec: Any = None
    with no_failures():
        spec = getattr(module, "__spec__", None)
    _, known, first = SOURCES.get(id(module), (module, None, ""))
    try:
        now = hashlib.blake2b(source_bytes(Path(file_of(module) or "")), digest_size=8).hexdigest()
    except (OSError, ValueError, KeyError, BadZipFile):  # it cannot be read any more, so nothing shows a change
        now = first
    if id(module) not in SOURCES or known is not spec:
        first = now
    SOURCES[id(module)] = module, spec, first
    return now if first == now else None


def check_sources(modules: Iterable[str]) -> None:
    """Raise InputError if the file of one of these modules, the user's own, has changed since it was imported."""
    wanted = set(modules)
    for name, module in own_modules() if wanted else ():
        if name in wanted and source_hash(module) is None:
            raise InputError(
                f"{file_of(module)} has changed since it was imported; restart, or use importlib.reload on {name}"
            )


def loaded_sources() -> dict[str, tuple[int, str]]:
    """Return the id of the spec, which a reload replaces, and the hash of the source of each own module by name."""
    own = list(own_modules())
    for _, module in own:
        source_hash(module)
    found = {name: SOURCES[id(module)] for name, module in own if id(module) in SOURCES}
    return {name: (id(spec), source) for name, (_, spec, source) in found.items()}


def source_bytes(file: Path) -> bytes:
    """Return the contents of a module's file, which may be in a zip archive; none if there is no such file."""
    if file.is_file():
        return file.read_bytes()
    archive = next((folder for folder in file.parents if folder.is_file()), None)
    if archive is None:
        return b""
    with ZipFile(archive) as zipped:
        return zipped.read(file.relative_to(archive).as_posix())
