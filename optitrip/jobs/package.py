"""Packs files as Ray's nodes unpack them, and collects those of optitrip itself."""

import io
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import optitrip
from optitrip.errors import InputError
from optitrip.store.bundle import Bundle

MODE = 0o100755 << 16
"""Mode of each file for its owner and readers; a program beside a loss can still be run."""


def package_name(files: Mapping[str, bytes]) -> str:
    """Return the name of a package for the head: another content has another name, so it is sent once."""
    return f"_ray_pkg_{Bundle(files).digest}.zip"


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """Return a zip archive of some files, the same for the same files."""
    written = io.BytesIO()
    with ZipFile(written, "w", ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            entry = ZipInfo(name)  # of 1980
            entry.compress_type, entry.external_attr = ZIP_DEFLATED, MODE
            archive.writestr(entry, data)
    return written.getvalue()


def own_files() -> dict[str, bytes]:
    """Return the files of optitrip, as a wheel has them.

    They are sent with every sweep, though the cluster's image may have optitrip: then the driver and all workers have
    the submitter's version, to the byte, and nobody has to compare. What optitrip needs must be in the image.
    """
    root = Path(optitrip.__file__).parent
    try:
        found = {f"optitrip/{path.relative_to(root).as_posix()}": path.read_bytes() for path in own_paths(root)}
    except OSError as error:
        raise InputError(f"{root}: optitrip's own files cannot be read: {error.strerror}") from None
    try:
        metadata = distribution("optitrip").read_text("METADATA")
    except PackageNotFoundError:
        metadata = None
    if metadata:  # it names the libraries that optitrip needs
        found[f"optitrip-{optitrip.__version__}.dist-info/METADATA"] = metadata.encode()
    return dict(sorted(found.items()))


def own_paths(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
