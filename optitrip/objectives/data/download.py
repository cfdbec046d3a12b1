"""Fetches public data when a person asks for it; nothing else in optitrip goes to the network for data."""

import gzip
import shutil
import tarfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from optitrip.errors import InputError
from optitrip.objectives.data.images import FILES, PAGE, read_table
from optitrip.runtime.files import move_aside

OFFICIAL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
SHA256 = "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
"""Checksum of the official archive of 170,052,171 bytes, whose published MD5 is c32a1d4ab5d03f1284b67883e8d87530."""
NAME = "cifar-10-batches-bin"
CHUNK, PATIENCE = 1 << 20, 30
"""Bytes written at a time, and seconds without any after which a transfer has failed."""


def cifar10(folder: Path, url: str = OFFICIAL, checksum: str = SHA256) -> Path:
    """Fetch CIFAR-10's binary version to folder/cifar-10-batches-bin, unless it exists, and return that folder.

    The work is done beside it in `folder`, and the finished folder is renamed into place: a killed run leaves at most a
    folder cifar-10-batches-bin.part-*, which may be deleted. A damaged folder of this name is set aside.

    `url` is http or https, `checksum` is "sha256:" and 64 digits, and `folder` is created if it is missing. Raises
    InputError if the archive cannot be fetched, is not the expected one, or cannot be written.
    """
    target = folder / NAME
    if complete(target):
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f"{NAME}.part-", dir=folder) as aside:
            archive = download(url, checksum, Path(aside))
            unpack(archive, url, Path(aside) / NAME)
            # Checked again, since another run may have been faster.
            if not complete(target):
                if target.exists():  # it may hold a person's own files
                    move_aside(target)
                (Path(aside) / NAME).rename(target)
    except OSError as error:
        raise InputError(
            f"{folder.absolute()}: cannot be written: {error.strerror or error}; fetching CIFAR-10 takes 360 MB there "
            "at first, 184 MB in the end"
        ) from None
    return target


def complete(folder: Path) -> bool:
    """Return whether a folder holds all six files, all of them readable."""
    try:
        for name in FILES:
            read_table(folder / name)
    except InputError:
        return False
    return True


def download(url: str, checksum: str, folder: Path) -> Path:
    """Fetch the archive and check its checksum. Raises InputError if it cannot be fetched or has another checksum, and
    OSError if it cannot be written."""
    # Imported here and not above: they take a third of a second, which importing this module should not.
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    by_hand = f"Try again, or fetch the binary version by hand from {PAGE} and unpack it to {folder.parent.absolute()}"

    def get(url: str, file: str, _: object) -> None:
        # Not pooch's own downloader: it leaves the connection open when a transfer fails, and flushes each 1,024 bytes.
        with requests.get(url, stream=True, timeout=PATIENCE) as response, Path(file).open("wb") as copy:
            response.raise_for_status()
            for chunk in response.iter_content(CHUNK):
                copy.write(chunk)

    downloader: Any = get  # pooch's type hint for downloaders does not match how pooch calls them
    try:
        return Path(pooch.retrieve(url, checksum, fname="archive.tar.gz", path=folder, downloader=downloader))
    except requests.exceptions.RequestException as error:  # itself an OSError, so it comes before those of the disk
        raise InputError(f"{url}: cannot be fetched: {error}. {by_hand}") from None
    except ValueError as error:
        raise InputError(f"{url}: {error} {by_hand}") from None


def unpack(archive: Path, url: str, folder: Path) -> None:
    """Unpack the six files of an archive, and nothing else, into a new folder, and delete the archive.

    Raises InputError if the archive does not hold them, and OSError if they cannot be written.
    """
    folder.mkdir()
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                place, _, name = member.name.partition("/")
                # Copied under our own names: `extractall` would write wherever the archive says, and its filters,
                # which forbid that, came with Python 3.11.4 only.
                if place == NAME and name in FILES and member.isfile() and (source := tar.extractfile(member)):
                    with source, (folder / name).open("wb") as copy:
                        shutil.copyfileobj(source, copy, CHUNK)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{url}: is not a complete archive: {error}. CIFAR-10's binary version is at {PAGE}") from None
    archive.unlink()
    if not complete(folder):
        raise InputError(
            f"{url}: does not hold CIFAR-10, wanted {NAME}/{FILES[0]} and the five others in full. The binary version "
            f"of CIFAR-10 is at {PAGE}"
        )
