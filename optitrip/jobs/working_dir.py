"""Collects the working directory of a job: the sweep file, the modules that its objective needs, and files it names."""

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from optitrip.config.locations import KeyPath
from optitrip.config.sweep import Draft
from optitrip.errors import InputError
from optitrip.runtime.files import working_folder
from optitrip.runtime.imports import is_installed
from optitrip.store.bundle import collect, imported, is_portable

LARGE = 10 * 2**20
"""Size of a file, in bytes, that is worth a message."""
ELSEWHERE = "sweep"
"""Folder of the sweep file in the job's working directory, if it is not below this one's, or has an odd name."""


@dataclass(frozen=True)
class WorkingDir:
    """Files by their path in the job's working directory."""

    files: Mapping[str, bytes]
    file: str
    """Path of the sweep file there."""
    notes: tuple[str, ...] = ()


def working_dir(draft: Draft) -> WorkingDir:
    """Collect what a sweep needs, laid out as here: modules and files are looked up in the sweep file's folder, then in
    the working directory. Raise InputError if something cannot be sent.

    The text of the sweep file is sent as it is, with the overrides as options beside it, so that the job has the same
    sweep, to the identity.
    """
    folder, here = draft.folder.resolve(), working_folder().resolve()
    inside = folder.relative_to(here).as_posix() if folder.is_relative_to(here) else ELSEWHERE
    prefix = "" if inside == "." else f"{inside if is_portable(inside) else ELSEWHERE}/"
    key, start = table_of_points(draft)
    start_here = start if start and not (folder / start).exists() else None
    names = modules_of(draft, folder, here)
    try:
        beside = collect(folder, names, draft.objective.files)
        others = collect(here, names if folder != here else ())
    except InputError as error:
        raise draft.mistake(error.key, str(error)) if error.key else error from None
    try:
        point = collect(here if start_here else folder, [], [escape(start)] if start else [])
    except InputError as error:
        raise draft.mistake(("method", *key), str(error)) from None
    found = {
        **others.files,
        **{prefix + name: data for name, data in beside.files.items()},
        **{("" if start_here else prefix) + name: data for name, data in point.files.items()},
    }
    file = f"{prefix}{draft.name}.toml"  # a file without a name of its own gets it from its stem
    notes = [f"{name} matches [objective] files, and is not sent: it may hold a secret" for name in beside.left_out]
    return WorkingDir(
        {**found, file: draft.text.encode()}, file, (*notes, *remarks(draft, found, prefix, folder, here))
    )


def table_of_points(draft: Draft) -> tuple[KeyPath, str | None]:
    """Return the relative name of the file that holds the start point, or all points, and its key; None without one."""
    at, given = draft.spec.start(draft.method), draft.spec.given(draft.method)
    key, file = (("at", "file"), at.file) if at else (("points",), given.points if given else None)
    relative = isinstance(file, str) and not Path(file).expanduser().is_absolute()
    return key, file if relative else None


def modules_of(draft: Draft, folder: Path, here: Path) -> set[str]:
    """Return the names of the modules that the file names, and of all that modules in the two folders import by
    name."""
    names, before = {module.partition(".")[0] for module in draft.modules}, set[str]()
    while names != before:
        before = set(names)
        for root in dict.fromkeys((folder, here)):
            sources = [data for name, data in collect(root, names).files.items() if name.endswith(".py")]
            names |= {name for source in sources for name in imported(source)}
    return names


def remarks(draft: Draft, found: Mapping[str, bytes], prefix: str, folder: Path, here: Path) -> Iterator[str]:
    """Yield messages about what is large, and what the sweep seems to need and does not travel."""
    large = [f"{name} ({len(data) / 2**20:,.0f} MiB)" for name, data in found.items() if len(data) > LARGE]
    if large:
        yield f"every node gets a copy of {', '.join(large)}"
    for key, value in draft.objective.arguments.items():
        if not isinstance(value, str) or not value or Path(value).is_absolute():
            continue
        for root, start in ((folder, prefix), (here, "")):
            inside = [name for name in found if f"{name}/".startswith(f"{start}{Path(value).as_posix()}/")]
            if exists(root / value) and not inside:
                yield (
                    f"objective.arguments.{key} is {value!r}, which is here and is not sent; if the loss reads it, "
                    'add it to files = [...] in [objective], e.g. files = ["data/*.npz"]'
                )
                break
    top = draft.objective.reference.partition(":")[0].partition(".")[0]
    starts = tuple(f"{start}{top}{end}" for start in {prefix, ""} for end in "./")
    if top != "optitrip" and not any(name.startswith(starts) for name in found):
        spec = importlib.util.find_spec(top)
        if spec is not None and spec.origin and not is_installed(str(Path(spec.origin).parent)):
            yield f"the module {top} is in {spec.origin}, from where it is not sent; install it in the cluster's image"


def exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
