"""Folders elsewhere: on another disk, or in a bucket. A file there is replaced as a whole or not at all."""

import errno
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any, Protocol
from urllib.parse import urlsplit

from optitrip.errors import InputError
from optitrip.runtime.files import make_private, open_new, open_regular, remove_or_move_aside, replacing

SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss")
"""Schemes of buckets that PyArrow opens."""


class Remote(Protocol):
    """Files by name, some of them in folders, e.g. `sweep-1/best.npz`. Any call may raise OSError, or take long."""

    def put(self, name: str, source: Path) -> None:
        """Copy a local file to this name."""

    def get(self, name: str, target: Path) -> None:
        """Copy to a new local file; raise FileNotFoundError if there is nothing of this name."""


class Folder(Remote):
    """A folder on a disk; new folders and files in it are their owner's alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, name: str, source: Path) -> None:
        self._check_no_link(name)
        make_private((self.path / name).parent)
        with open_regular(source) as data, replacing(self.path / name) as file:
            shutil.copyfileobj(data, file)

    def get(self, name: str, target: Path) -> None:
        with open_regular(self.path / name) as data:
            save(data, target)

    def _check_no_link(self, name: str) -> None:
        """Raise OSError if a folder of a name is a link: whoever planted it would choose what is replaced, and where.
        The folder of this object may be one, as the user named it, and a link in the place of a file is moved aside."""
        for inner in reversed(PurePath(name).parents):
            if (self.path / inner).is_symlink() and inner.parts:
                raise OSError(errno.ELOOP, "is a link, which is not followed; remove it", str(self.path / inner))


class Bucket(Remote):
    """A folder of a file system of PyArrow, opened when it is first used: that may ask the network."""

    def __init__(self, open_filesystem: Callable[[], tuple[Any, str]]) -> None:
        self._open, self._opened = open_filesystem, None

    def _at(self, name: str) -> tuple[Any, str]:
        self._opened = self._opened or self._open()
        filesystem, folder = self._opened
        return filesystem, f"{folder.rstrip('/')}/{name}"

    def put(self, name: str, source: Path) -> None:
        filesystem, path = self._at(name)
        # Under another name first: whatever interrupts a transfer, PyArrow ends it as if the file were whole.
        unfinished = f"{path}.part"
        with open_regular(source) as data, filesystem.open_output_stream(unfinished) as file:
            shutil.copyfileobj(data, file, 2**20)
        filesystem.move(unfinished, path)

    def get(self, name: str, target: Path) -> None:
        filesystem, path = self._at(name)
        with filesystem.open_input_stream(path) as data:
            save(data, target)


def save(data: Any, target: Path) -> None:
    """Write a stream to a new file, in place of what a killed command may have left there."""
    remove_or_move_aside(target)
    with open_new(target) as file:
        shutil.copyfileobj(data, file, 2**20)


def open_remote(uri: str, folder: Path) -> Remote:
    """Return what a URI names, or a path relative to `folder`; nothing is read yet. Raise InputError for others."""
    with suppress(ValueError):
        parts = urlsplit(uri)
        if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
            from urllib.request import url2pathname  # with HTTP, which takes a while; it knows Windows' drives

            return Folder(Path(url2pathname(parts.path)))
        if parts.scheme in SCHEMES and parts.netloc:
            return Bucket(lambda: filesystem_of(uri))
        if uri and "://" not in uri and parts.scheme != "file" and "\0" not in uri:
            return Folder(folder / Path(uri).expanduser())
    raise InputError(f"wanted a folder, file:///folder, or a bucket such as s3://name/folder ({', '.join(SCHEMES)})")


def filesystem_of(uri: str) -> tuple[Any, str]:
    # Imported here and not above: it takes a third of a second, which only a mirror in a bucket needs.
    from pyarrow import fs

    return fs.FileSystem.from_uri(uri)
