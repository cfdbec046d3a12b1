"""The user's files on their way to workers on other hosts, and the proof that a worker loaded what the driver has.

A loss travels by the name of its module. Imported on another host from a copy that is older, it would give other
numbers, without a word; so the files themselves are sent, by content, and put first on the import path.

Modules are found here by what this process has imported, and those that sources name come as data (`store/bundle.py`):
neither knows all.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import all_suffixes
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import optitrip
from optitrip.runtime.imports import file_of, is_installed, loaded_sources, own_modules, source_bytes
from optitrip.runtime.interrupts import no_failures
from optitrip.runtime.libraries import FINDER, put_first
from optitrip.runtime.travelling import check_size, digest_of, is_included


@dataclass(frozen=True)
class Shipment:
    """Files of the user by path relative to the folder that workers put first on their import path."""

    files: Mapping[str, bytes]
    replaces: tuple[str, ...] = ()
    """Folders of the driver that workers no longer search: their copies there may be others."""
    has_data: bool = False
    """True if there are files other than modules, for which workers change into the folder."""
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", digest_of(self.files))


def shipment(replaces: Sequence[str], data: Mapping[str, bytes]) -> Shipment:
    """Collect the user's modules and data files; raise InputError if they are too large to send to every worker."""
    files = {**module_files(), **data}
    check_size({name: len(content) for name, content in files.items()})
    has_data = any(not name.endswith(tuple(all_suffixes())) for name in data)
    return Shipment(files, tuple(replaces), has_data)


def module_files() -> dict[str, bytes]:
    """Return the files of the user's imported modules, of their packages, and of modules beside them, which may be
    imported later, except those that may not travel.

    A module that is imported travels wherever it is from: workers have nothing else to load it from.
    """
    files = dict[str, bytes]()
    for name, module in own_modules():
        file = Path(file_of(module) or "")
        parents = name.split(".") if file.stem == "__init__" else name.split(".")[:-1]
        base = PurePosixPath(*parents)
        files[str(base / file.name)] = source_bytes(file)
        for beside in sorted(file.parent.glob("*.py")):
            if beside.is_file() and os.access(beside, os.R_OK) and stays_inside(file.parent.resolve(), beside.name):
                files.setdefault(str(base / beside.name), beside.read_bytes())
    return files


def stays_inside(folder: Path, name: str) -> bool:
    """Return whether a module beside another one may travel: nothing private, and no link out of their folder."""
    path = folder / name
    return is_included(folder, path) and path.resolve().is_relative_to(folder)


def unpack(sent: Shipment) -> None:
    """Write a shipment into a folder of this host, named by its content, and search modules there first."""
    folder = Path(session_folder()) / "optitrip" / sent.digest
    if not is_complete(folder, sent):
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f"{sent.digest}-", dir=folder.parent))
        for name, content in sent.files.items():
            file = fresh / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        try:
            fresh.rename(folder)
        except OSError:  # another worker of this host was first, or a file was damaged
            folder = folder if is_complete(folder, sent) else fresh
    sys.path[:] = [entry for entry in sys.path if entry not in sent.replaces]
    put_first([str(folder)], FINDER.names)
    if sent.has_data:
        os.chdir(folder)


def is_complete(folder: Path, sent: Shipment) -> bool:
    """Return whether a folder holds the files of a shipment, unchanged."""
    try:
        return all((folder / name).read_bytes() == content for name, content in sent.files.items())
    except OSError:
        return False


def session_folder() -> str:
    """Return the folder of this node that ends with Ray's session."""
    import ray._private.worker as worker

    return str(worker.global_worker.node.get_session_dir_path())  # pyright: ignore


@dataclass(frozen=True)
class Proof:
    """The code and libraries behind a loaded objective in one process."""

    modules: Mapping[str, str]
    """Hashes of the sources of the user's own modules, by name."""
    libraries: Mapping[str, str]
    """Versions of the libraries that the user's modules use; "absent" where one is not installed."""
    code: str
    """Hash of optitrip's own sources."""

    def differences(self, there: "Proof") -> list[str]:
        """Describe what another process has loaded differently; a module that only one has loaded does not count."""
        found = [
            f"module {name} has other code there ({module_place(name)} here)"
            for name, source in self.modules.items()
            if there.modules.get(name, source) != source
        ]
        for name, here in self.libraries.items():
            if (other := there.libraries.get(name, here)) != here:
                found.append(f"{name} is {other} there and {here} here")
        if there.code != self.code:
            found.append("optitrip has other code there, though its version is the same")
        return found


def module_place(name: str) -> str:
    return file_of(sys.modules.get(name)) or name


def prove(libraries: Iterable[str]) -> Proof:
    """Return what this process has loaded, with the versions of some libraries."""
    modules = {name: source for name, (_, source) in loaded_sources().items()}
    return Proof(modules, {name: version_of(name) for name in libraries}, own_code())


def libraries_used() -> tuple[str, ...]:
    """Return the top-level names of the installed libraries that the user's modules and script refer to."""
    found = set[str]()
    for module in (sys.modules["__main__"], *(module for _, module in own_modules())):
        for value in list(vars(module).values()):
            name: Any = None
            with no_failures():  # whatever the user's objects raise
                name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(name, str):
                found.add(name.partition(".")[0])
    return tuple(sorted(name for name in found if is_library(name)))


def is_library(name: str) -> bool:
    file = file_of(sys.modules.get(name))
    known = name in sys.stdlib_module_names or name == "optitrip"
    return not known and file is not None and is_installed(os.path.dirname(file))


@cache
def version_of(name: str) -> str:
    """Return the version of the package that a top-level module belongs to, or "absent"."""
    for package in (name, *packages_distributions().get(name, ())):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "absent"


@cache
def own_code() -> str:
    """Return a hash of optitrip's sources."""
    digest, folder = hashlib.blake2b(digest_size=8), Path(optitrip.__file__).parent
    for file in sorted(folder.rglob("*.py")):
        digest.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return digest.hexdigest()
