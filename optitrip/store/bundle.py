"""Collects the files that travel with a sweep: the user's own modules, and the data files that the sweep file names."""

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import all_suffixes
from pathlib import Path

from optitrip.errors import InputError
from optitrip.runtime.files import open_regular
from optitrip.runtime.shadowing import is_library
from optitrip.store.state_dir import JOURNAL

LARGEST = 256 * 2**20
"""Maximum number of bytes of a bundle. Ray refuses 512 MiB, and every node gets a copy."""
NAMED = 5
"""Number of large files that a message names."""
FILES = ("objective", "files")
"""Path of the key with the patterns."""
CACHES = {"__pycache__", "node_modules", "mlruns", "mlartifacts", "venv"}
SECRET = re.compile(
    r"(?i)id_(rsa|dsa|ecdsa|ed25519)(_sk)?|auth_token|credentials(\.(json|ya?ml|toml|ini|csv|txt))?"
    r"|secrets?\.(?!py)\w+|.*\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk|tfstate)|service[_-]account.*\.json"
)
"""Names of files that usually hold a secret, beside those that begin with a dot."""


@dataclass(frozen=True)
class Bundle:
    """Files by their path relative to a folder, in sorted order."""

    files: Mapping[str, bytes]
    left_out: tuple[str, ...] = ()
    """Files that match the patterns and are not included: caches, state, and what may hold a secret."""

    @property
    def digest(self) -> str:
        """Hash of the names and the contents."""
        total = hashlib.blake2b(digest_size=16)
        for name, data in self.files.items():
            for part in (name.encode(), data):
                total.update(len(part).to_bytes(8, "little"))
                total.update(part)
        return total.hexdigest()


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


def is_included(root: Path, path: Path) -> bool:
    """Return whether a path may travel: nothing that is hidden, a cache or a store, or has the name of a secret.

    The names of what a link leads to count, too. One that leads out of the root is for `below` to refuse.
    """
    places = [place.relative_to(root) for place in (path, path.resolve()) if place.is_relative_to(root)]
    names = {name for place in places for name in place.parts}
    folders = {root / place for inner in places for place in (inner, *inner.parents)} - {root}
    return not (
        any(name.startswith(".") or name in CACHES or SECRET.fullmatch(name) for name in names)
        or path.name.startswith("mlflow.db")
        or path.suffix in {".pyc", ".pyo"}
        or any((folder / mark).exists() for folder in folders for mark in (JOURNAL, "pyvenv.cfg"))
    )


def check_size(sizes: Mapping[str, int]) -> None:
    """Raise InputError if files are too large together, and name the largest."""
    if (total := sum(sizes.values())) <= LARGEST:
        return
    largest = sorted(sizes, key=lambda name: -sizes[name])[:NAMED]
    listed = ", ".join(f"{name} ({sizes[name] / 2**20:,.0f} MiB)" for name in largest)
    raise InputError(
        f"what would travel with the sweep has {total / 2**20:,.0f} MiB, more than {LARGEST // 2**20}: {listed}. Put "
        "large data where all nodes see it, and give the loss its absolute path"
    )


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
