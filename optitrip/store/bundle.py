"""Collects the files that travel with a sweep: the user's own modules, and the data files that the sweep file names.

Modules are found here by what the sources import, as nothing is imported on the machine that submits. A driver that has
joined a cluster adds the modules that it has imported (`executors/ray/shipment.py`), which sources do not always name:
a loss from Python has no sweep file, and imports may be computed. What may travel at all is for both in
`runtime/travelling.py`.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import all_suffixes
from pathlib import Path

from optitrip.errors import InputError
from optitrip.runtime.files import open_regular
from optitrip.runtime.shadowing import is_library
from optitrip.runtime.travelling import check_size, digest_of, is_included

FILES = ("objective", "files")
"""Path of the key with the patterns."""


@dataclass(frozen=True)
class Bundle:
    """Files by their path relative to a folder, in sorted order."""

    files: Mapping[str, bytes]
    left_out: tuple[str, ...] = ()
    """Files that match the patterns and are not included: caches, state, and what may hold a secret."""

    @property
    def digest(self) -> str:
        """Hash of the names and the contents."""
        return digest_of(self.files)


def collect(folder: Path, modules: Iterable[str], patterns: Sequence[str] = ()) -> Bundle:
    """Read the modules of these names in a folder, those beside them that they import, and the files that match.

    A package is taken whole. Modules that are not in the folder, and names of Python's and optitrip's libraries, are
    passed over: they are installed. Raise InputError if a file cannot be included: it lies outside the folder, cannot
    be read, or all of them together are too large.
    """
    try:
        root = folder.resolve()
        found = [*module_files(root, modules)]
        matched, left_out = matching_files(root, patterns)
        paths = {path.relative_to(root).as_posix(): path for path in (*found, *matched)}
        check_size({name: path.stat().st_size for name, path in paths.items()})
        return Bundle({name: contents(path, name) for name, path in sorted(paths.items())}, left_out)
    except (OSError, RuntimeError) as error:  # a link that leads to itself is a RuntimeError
        raise InputError(f"{folder}: what travels with the sweep cannot be read: {error}") from None


def module_files(root: Path, names: Iterable[str]) -> Iterator[Path]:
    """Yield the files of some modules, and of the modules in the folder that they import, directly or not."""
    waiting, seen = [name.partition(".")[0] for name in names], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or name == "optitrip" or not name.isidentifier() or is_library(name):
            continue
        seen.add(name)
        for path in files_of_module(root, name):
            yield path
            if path.suffix == ".py":
                waiting += imported(contents(path, path.name))


def files_of_module(root: Path, name: str) -> Iterator[Path]:
    """Yield the file of a module, or the files of a package; of one without `__init__`, only the modules."""
    place, suffixes = root / name, tuple(all_suffixes())
    single = [file for suffix in suffixes if (file := root / f"{name}{suffix}").is_file()]
    if any((place / f"__init__{suffix}").is_file() for suffix in suffixes):
        yield from below(root, place)
    elif single:
        yield from below(root, single[0])
    elif place.is_dir() and is_included(root, place):
        yield from (path for path in below(root, place) if path.name.endswith(suffixes))


def imported(source: bytes) -> Iterator[str]:
    """Yield the top-level names of the modules that a source imports by name; none if it is not valid Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom(module=str(module), level=0):
                names = [module]
            case ast.Call(func=ast.Name("__import__" | "import_module"), args=[ast.Constant(str(module)), *_]):
                names = [module]
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(str(module)), *_]):
                names = [module]
            case _:
                continue
        yield from (name.partition(".")[0] for name in names)


def matching_files(root: Path, patterns: Sequence[str]) -> tuple[list[Path], tuple[str, ...]]:
    """Return the files that match the patterns, and the names of what matches and is not included."""
    files, left_out = list[Path](), set[str]()
    for pattern in patterns:
        parts = re.split(r"[/\\]", pattern)
        if not pattern or ".." in parts or not parts[0] or ":" in parts[0]:
            wanted = 'wanted paths or patterns below the sweep file\'s folder, e.g. "data/*.npz"'
            raise InputError(f"was {pattern!r}; {wanted}", FILES)
        try:
            matched = sorted(root.glob(pattern))
        except (ValueError, NotImplementedError) as error:
            raise InputError(f"{pattern!r}: {error}", FILES) from None
        refused = [path.relative_to(root).as_posix() for path in matched if not is_included(root, path)]
        found = [file for path in matched if is_included(root, path) for file in below(root, path)]
        if not found:
            why = f", but for {refused[0]}, which may hold a secret or is a cache" if refused else ""
            raise InputError(f"{pattern!r} matches no file in {root}{why}", FILES)
        files += found
        left_out.update(refused)
    return files, tuple(sorted(left_out))


def below(root: Path, place: Path, seen: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield a file, or the files in a folder and the folders below it; raise InputError for a link out of the root."""
    real = place.resolve()
    if not real.is_relative_to(root):
        raise InputError(f"{place} is a link to {real}, outside {root}; what travels with a sweep must lie there")
    if not place.is_dir():
        yield place
    elif real not in seen:
        for path in sorted(place.iterdir()):
            if is_included(root, path):
                yield from below(root, path, (*seen, real))


def contents(path: Path, name: str) -> bytes:
    """Read a file; raise InputError if it cannot be read, or its name not be unpacked everywhere."""
    if not is_portable(name):
        raise InputError(f"{name!r}: a file of this name cannot be unpacked everywhere; rename it")
    try:
        with open_regular(path) as file:
            return file.read()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def is_portable(name: str) -> bool:
    """Return whether a relative path is text and means the same on all systems; Ray leaves out what does not."""
    return "\\" not in name and name[1:2] != ":" and not any("\ud800" <= letter <= "\udfff" for letter in name)
