"""Probes whether a file system can hold a state directory, before anything is evaluated.

SQLite and our own lock need locks that exclude others, fsync, writes in place and renames that no reader sees half of.
Local file systems have them and cost nothing but a look at the table of mounts. Others, such as network drives, are
tried out, and so is one whose type is not known.

A probe runs on one machine. Whether a lock excludes another machine is told by the type and the options of the mount.
"""

import errno
import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

from optitrip.errors import StateError
from optitrip.runtime import posix
from optitrip.runtime.background import BackgroundCall
from optitrip.runtime.files import open_new

MOUNTS = Path("/proc/self/mountinfo")
LOCAL = re.compile(
    r"apfs|bcachefs|btrfs|exfat|ext[234]|f2fs|hfs|jfs|nilfs2|ntfs3|overlay|ramfs|reiserfs|tmpfs|ufs|vfat|xfs|zfs"
)
"""Types whose locks are the kernel's own."""
ONE_MACHINE = re.compile(r"fuse\.(sshfs|s3fs|gcsfuse|goofys|geesefs|rclone|blobfuse2?|mountpoint-s3)|davfs2?")
"""Types whose locks no other machine sees, and that are often mounted by several."""
ONE_MACHINE_OPTIONS = frozenset(
    {"nolock", "local_lock=all", "local_lock=flock", "local_lock=posix", "nobrl", "localflock"}
)
"""Options of NFS, CIFS and Lustre that keep locks on this machine."""
ADVICE = "Use a --state-dir on a local disk, with --mirror to keep a copy elsewhere"
REMEDIES = {
    "nfs": "mount it as NFS 4, with hard and without nolock and local_lock",
    "cifs": "mount it without nobrl",
    "lustre": "mount it with the option flock",
}
"""Other ways out, by the beginning of the type."""
PATIENCE = 30.0
"""Seconds after which a probe without an answer has failed: a lock service that is down may never answer."""
RENAMES = 50


class Mount(NamedTuple):
    """A mounted file system."""

    point: str
    kind: str
    """Type, e.g. nfs4; empty if it is not known."""
    options: frozenset[str] = frozenset()


UNKNOWN = Mount("", "")


class Unfit(Exception):
    """A file system that lacks what a state directory needs; the message says what was seen."""


def check_file_system(folder: Path, mounts: Path = MOUNTS, patience: float = PATIENCE) -> None:
    """Raise StateError with advice if a folder, which need not exist, is on a file system unfit for a journal.

    A folder that cannot be written is not judged: its result may be complete.
    """
    if not posix.LOCKS:
        return
    mount = mount_of(folder, mounts)
    if LOCAL.fullmatch(mount.kind):
        return
    try:
        if ONE_MACHINE.fullmatch(mount.kind):
            raise Unfit("locks there do not reach other machines")
        if options := sorted(ONE_MACHINE_OPTIONS & mount.options):
            raise Unfit(f"it is mounted with {', '.join(options)}, so locks do not reach other machines")
        call = BackgroundCall(lambda: try_out(folder.absolute()))
        try:
            call.result(patience)
        except TimeoutError:
            raise Unfit(f"a lock, a write or a rename there took over {patience:g} s") from None
    except Unfit as error:
        place = f" ({mount.kind} at {mount.point})" if mount.kind else ""
        others = [f", or {text}" for kind, text in REMEDIES.items() if mount.kind.startswith(kind)]
        raise StateError(
            f"state directory {folder.absolute()}: its file system{place} cannot hold a journal safely: {error}. "
            f"Nothing was evaluated. {ADVICE}{''.join(others)}"
        ) from None


def mount_of(folder: Path, mounts: Path = MOUNTS) -> Mount:
    """Return the mount that holds a folder, or the nearest one above it that exists; `UNKNOWN` without such a table."""
    real = os.path.realpath(folder)  # resolves what exists, and keeps the rest
    found = UNKNOWN
    with suppress(OSError):
        for line in mounts.read_text("utf-8", "surrogateescape").splitlines():
            left, dash, right = line.partition(" - ")
            fields, last = left.split(" "), right.split(" ")
            if not dash or len(fields) < 6:
                continue
            point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
            if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= len(found.point):
                options = f"{fields[5]},{last[2] if len(last) > 2 else ''}"  # those of the mount, then of the system
                found = Mount(point, last[0], frozenset(options.split(",")))
    return found


def try_out(folder: Path) -> None:
    """Use a new folder inside a folder, or the nearest one above it, as a sweep would; raise Unfit if that fails."""
    above = next(path for path in (folder, *folder.parents) if os.path.isdir(path))
    try:
        place = Path(mkdtemp(prefix=".probe-", dir=above))
    except OSError:
        return
    try:
        for name, trial in TRIALS.items():
            try:
                trial(place)
            except (OSError, sqlite3.Error) as error:
                raise Unfit(f"{name}: {getattr(error, 'strerror', None) or error}") from None
    finally:
        shutil.rmtree(place, ignore_errors=True)


def new_files(folder: Path) -> None:
    """Create, write, sync, list and read a file; only one of two commands may create it."""
    with open_new(folder / "new") as file:
        file.write(b"new")
        file.flush()
        os.fsync(file.fileno())
    if (folder / "new").read_bytes() != b"new" or "new" not in os.listdir(folder):
        raise Unfit("a file that was written cannot be read back, or is not listed")
    with suppress(FileExistsError):
        open_new(folder / "new").close()
        raise Unfit("two commands can create the same new file")
    posix.sync_folder(folder)


def locks(folder: Path) -> None:
    """Take the lock of a state directory twice, then that of SQLite."""
    with (folder / "lock").open("wb") as first, (folder / "lock").open("r+b") as second:
        posix.lock(first)
        if not excluded(lambda: posix.lock(second)):
            raise Unfit("two commands can hold the same lock (flock)")
        posix.unlock(first)
        posix.lock(second)
        posix.unlock(second)
        posix.lock_bytes(first)
        # SQLite's locks exclude other processes only, but also the locks of an open file, which Linux has.
        if posix.LOCKS_OF_OPENINGS and not excluded(lambda: posix.lock_opening(second)):
            raise Unfit("two commands can hold the same lock (fcntl)")


def excluded(lock: Callable[[], object]) -> bool:
    """Return whether a lock is refused because another one is held."""
    try:
        lock()
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK):
            raise
        return True
    return False


def renames(folder: Path) -> None:
    """Replace a file again and again, while a thread reads it: it must always be there, and whole."""
    file, done, faults = folder / "renamed", threading.Event(), list[str]()

    def read() -> None:
        while not done.is_set() and not faults:
            try:
                if len(set(file.read_bytes())) != 1:
                    faults.append("a reader sees half of a file that replaces another")
            except FileNotFoundError:
                faults.append("a file is missing for a moment while another replaces it")
            except OSError as error:
                if error.errno != errno.ESTALE:  # NFS says so of a file that was replaced; opened again, it is there
                    raise

    (folder / "renamed").write_bytes(bytes(4_096))
    reader = BackgroundCall(read)
    try:
        for number in range(1, RENAMES):
            with open_new(folder / "next") as new:
                new.write(bytes([number]) * 4_096)
            (folder / "next").replace(file)
    finally:
        done.set()
    reader.result()
    if faults:
        raise Unfit(faults[0])
    if file.read_bytes() != bytes([RENAMES - 1]) * 4_096 or (folder / "next").exists():
        raise Unfit("a file that replaces another is not at its place afterwards")


def database(folder: Path) -> None:
    """Write to a small database in place, and read it by another connection."""
    with closing(sqlite3.connect(folder / "database", isolation_level=None)) as writer:
        writer.execute("PRAGMA synchronous=EXTRA")
        writer.execute("CREATE TABLE part (bytes BLOB)")
        for number in range(3):
            writer.execute("INSERT INTO part VALUES (?)", (bytes([number]) * 20_000,))
        with closing(sqlite3.connect(folder / "database")) as reader:
            rows = [row for (row,) in reader.execute("SELECT bytes FROM part ORDER BY rowid")]
            sound = reader.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
    if rows != [bytes([number]) * 20_000 for number in range(3)] or not sound:
        raise Unfit("a database that was written cannot be read back")


TRIALS = {"new files": new_files, "locks": locks, "renames": renames, "SQLite": database}
