"""A file system that SQLite and our locks cannot rely on is refused before anything is evaluated."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command import optitrip
from optitrip.errors import StateError
from optitrip.store import probe
from optitrip.store.probe import Mount, check_file_system, mount_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has other locks, and no table of mounts")
SWEEP = """
[objective]
loss = "probed:loss"
[space]
x = { normal = [0, 1] }
[method]
use = "search"
candidates = 20
[run]
executor = "serial"
[tracking]
use = "none"
"""
LOSS = "from pathlib import Path\ndef loss(x):\n    Path(__file__).with_name('evaluated').touch()\n    return x * x\n"


def table(tmp_path: Path, kind: str, options: str = "rw") -> Path:
    """Return a table of mounts in which a test's folder is a file system of its own."""
    file, point = tmp_path / "mounts", str(tmp_path).replace(" ", "\\040")
    file.write_text(
        "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        f"40 22 0:52 / {point} rw,relatime shared:9 - {kind} server:/export {options}\n"
        "41 22 0:53 / /elsewhere rw - tmpfs tmpfs rw\nnonsense\n"
    )
    return file


def failing(number: int, call: Callable[..., Any], when: Callable[..., bool] = lambda *_: True) -> Callable[..., Any]:
    def fail(*given: Any, **more: Any) -> Any:
        if when(*given):
            raise OSError(number, os.strerror(number))
        return call(*given, **more)

    return fail


def unlink_first(source: Path, target: Path) -> Path:
    """Rename as a bucket that is mounted does: the old file goes before the new one comes."""
    target.unlink(missing_ok=True)
    time.sleep(0.002)
    os.rename(source, target)
    return target


def copy_slowly(source: Path, target: Path) -> Path:
    """Rename by copying piece by piece over the old file."""
    data = source.read_bytes()
    with target.open("r+b") as file:
        for at in range(0, len(data), 1_024):
            file.write(data[at : at + 1_024])
            file.flush()
            time.sleep(0.001)
    source.unlink()
    return target


def is_folder(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


FAULTS: dict[str, tuple[str, Any, str]] = {
    "a lock that excludes nobody": ("fcntl.flock", lambda *_: None, "flock"),
    "no lock service": ("fcntl.flock", failing(errno.ENOLCK, fcntl.flock), "No locks available"),
    "no flock": ("fcntl.flock", failing(errno.ENOSYS, fcntl.flock), "not implemented"),
    "SQLite's lock excludes nobody": ("fcntl.lockf", lambda *_: None, "fcntl"),
    "no lock of SQLite": ("fcntl.lockf", failing(errno.EOPNOTSUPP, fcntl.lockf), "not supported"),
    "fsync fails": ("os.fsync", failing(errno.EIO, os.fsync), "Input/output"),
    "fsync of folders fails": ("os.fsync", failing(errno.EINVAL, os.fsync, is_folder), "Invalid"),
    "a rename in two steps": ("pathlib.Path.replace", unlink_first, "missing for a moment"),
    "a rename by copying": ("pathlib.Path.replace", copy_slowly, "half of a file"),
    "no rename": ("pathlib.Path.replace", failing(errno.EPERM, os.replace), "not permitted"),
    "files are not listed": ("os.listdir", lambda _: [], "not listed"),
    "a folder that cannot be read": ("os.listdir", failing(errno.EACCES, os.listdir), "Permission denied"),
    "no writes in place": ("sqlite3.connect", failing(errno.EIO, sqlite3.connect), "Input/output"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_doubtful_file_system_is_refused(tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what was seen and where, and what else there is; nothing is left there."""
    name, stand_in, seen = FAULTS[fault]
    mounts = table(tmp_path, "nfs4")
    monkeypatch.setattr(name, stand_in)
    with pytest.raises(StateError) as refused:
        check_file_system(tmp_path / "root" / "sweep-1", mounts)
    monkeypatch.undo()
    assert seen in str(refused.value)
    assert f"nfs4 at {tmp_path}" in str(refused.value)
    assert "--state-dir on a local disk, with --mirror" in str(refused.value)
    assert os.listdir(tmp_path) == ["mounts"]


def test_one_creation_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drive where O_EXCL means nothing."""
    opened = os.open
    monkeypatch.setattr(os, "open", lambda path, flags, *mode: opened(path, flags & ~os.O_EXCL, *mode))
    with pytest.raises(StateError, match="can create the same new file"):
        check_file_system(tmp_path, table(tmp_path, "fuse.odd"))


def test_a_lock_service_that_never_answers_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that asks it is left behind."""
    monkeypatch.setattr(fcntl, "flock", lambda *_: time.sleep(1))
    with pytest.raises(StateError, match="took over"):
        check_file_system(tmp_path, table(tmp_path, "nfs"), patience=0.05)


@pytest.mark.parametrize(
    ("kind", "options", "remedy"),
    [
        ("nfs", "rw,vers=3,nolock,local_lock=all", "without nolock"),
        ("nfs4", "rw,local_lock=flock", "without nolock"),
        ("cifs", "rw,nobrl", "without nobrl"),
        ("lustre", "rw,localflock", "option flock"),
        ("fuse.sshfs", "rw", "--mirror"),
        ("fuse.s3fs", "rw", "--mirror"),
    ],
)
def test_locks_that_other_machines_do_not_see(tmp_path: Path, kind: str, options: str, remedy: str) -> None:
    """One machine cannot try it out: the type and the options of the mount say so."""
    with pytest.raises(StateError, match=f"do not reach other machines.*{remedy}"):
        check_file_system(tmp_path / "state", table(tmp_path, kind, options))


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.juicefs", "9p", "virtiofs", "beegfs", "unheard-of"])
def test_one_that_can_do_all_is_used(tmp_path: Path, kind: str) -> None:
    """It is the folder of the test that is tried out, and found good."""
    mounts = table(tmp_path, kind, "rw,local_lock=none,hard")
    check_file_system(tmp_path / "state", mounts)
    assert os.listdir(tmp_path) == ["mounts"]


def test_a_local_one_is_not_tried_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its type is enough."""
    monkeypatch.setattr(probe, "try_out", lambda _: pytest.fail("it was tried out"))
    for kind in ("ext4", "xfs", "btrfs", "tmpfs", "overlay"):
        check_file_system(tmp_path / "state", table(tmp_path, kind))


def test_one_that_cannot_be_written_is_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens the directory says so, or shows its result."""
    monkeypatch.setattr(probe, "mkdtemp", failing(errno.EROFS, os.mkdir))
    check_file_system(tmp_path, table(tmp_path, "nfs"))


def test_the_mount_of_a_folder(tmp_path: Path) -> None:
    """The nearest above it counts, the later of two at one place, and a link to a folder is where the folder is."""
    folder = tmp_path / "with space"
    folder.mkdir()
    mounts = table(folder, "nfs4", "ro,soft")
    assert mount_of(folder / "a" / "b", mounts) == Mount(
        str(folder), "nfs4", frozenset({"rw", "relatime", "ro", "soft"})
    )
    assert mount_of(tmp_path / "with space too", mounts).kind == "ext4"
    (tmp_path / "link").symlink_to(folder)
    assert mount_of(tmp_path / "link" / "a", mounts).kind == "nfs4"
    mounts.write_text(mounts.read_text() + mounts.read_text().replace("nfs4", "cifs"))
    assert mount_of(folder, mounts).kind == "cifs"
    assert mount_of(folder, tmp_path / "missing") == probe.UNKNOWN


def test_a_sweep_is_refused_before_it_evaluates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit status 2; the result of a finished sweep is still shown."""
    (tmp_path / "probed.py").write_text(LOSS)
    (tmp_path / "probed.toml").write_text(SWEEP)
    monkeypatch.setattr(check_file_system, "__defaults__", (table(tmp_path, "nfs", "rw,nolock"), 30.0))
    refused = optitrip(tmp_path, "sweep", "probed.toml")
    assert refused.returncode == 2
    assert "nolock" in refused.stderr
    assert not (tmp_path / "evaluated").exists()
    assert not (tmp_path / ".optitrip").exists()
    monkeypatch.undo()
    assert optitrip(tmp_path, "sweep", "probed.toml").returncode == 0
    monkeypatch.setattr(check_file_system, "__defaults__", (table(tmp_path, "nfs", "rw,nolock"), 30.0))
    assert optitrip(tmp_path, "sweep", "probed.toml").returncode == 0


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can mount a file system")
def test_a_real_odd_file_system_is_refused(tmp_path: Path) -> None:
    """One of huge pages has folders and files, but no writes."""
    if subprocess.run(["mount", "-t", "hugetlbfs", "none", str(tmp_path)], check=False).returncode:
        pytest.skip("no such file system can be mounted here")
    try:
        with pytest.raises(StateError, match=r"hugetlbfs at .*new files: Invalid argument"):
            check_file_system(tmp_path / "state")
        assert os.listdir(tmp_path) == []
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
