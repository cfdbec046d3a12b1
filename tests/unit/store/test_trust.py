"""State that others could have planted is neither imported nor written to, unless it is trusted on purpose."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from command import optitrip
from optitrip.errors import StateError
from optitrip.journal.journal import Journal
from optitrip.runtime.files import lock_folder, write_atomically
from optitrip.store import ownership
from optitrip.store.ownership import distrust

SWEEP = """
[objective]
loss = "trusted_loss:loss"
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
LOSS = """
from pathlib import Path
Path("imported").touch()
def loss(x):
    return x * x
"""
STRANGER = 54_321
pytestmark = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two shards and a finished sweep, whose state directory is `.optitrip/t-…`."""
    (tmp_path / "trusted_loss.py").write_text(LOSS)
    (tmp_path / "t.toml").write_text(SWEEP)
    for words in (["--shard", "1/2"], ["--shard", "2/2"], []):
        assert optitrip(tmp_path, "sweep", "t.toml", *words).returncode == 0
    (tmp_path / "imported").unlink()
    return tmp_path


def state_of(folder: Path) -> Path:
    (state,) = (folder / ".optitrip").glob("t-*")
    return state


def give_all(path: Path) -> None:
    for one in (path, *path.rglob("*")):
        os.chown(one, STRANGER, STRANGER)


PLANTED: dict[str, Callable[[Path], None]] = {
    "all of it": give_all,
    "the directory": lambda state: os.chown(state, STRANGER, -1),
    "its journal": lambda state: os.chown(state / "journal.sqlite", STRANGER, -1),
    "its root": lambda state: os.chown(state.parent, STRANGER, -1),
    "open to all": lambda state: state.chmod(0o777),
    "open to all, sticky": lambda state: state.chmod(0o1777),
    "an open root": lambda state: state.parent.chmod(0o777),
    "an open folder above": lambda state: state.parent.parent.chmod(0o777),
    "open to a group": lambda state: (os.chown(state, 0, STRANGER), state.chmod(0o775))[0],
    "an open journal": lambda state: (state / "journal.sqlite").chmod(0o666),
}


@pytest.mark.mostly_daily
@pytest.mark.parametrize("how", PLANTED)
def test_planted_state_is_refused(folder: Path, how: str) -> None:
    """`replay` and `sweep` import nothing and say whose it is; `show` shows it; with `--trust` all goes on."""
    state = state_of(folder)
    PLANTED[how](state)
    for words in (["replay", "t", "0"], ["merge", str(state), "--state-dir", "elsewhere"]):
        done = optitrip(folder, *words)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)
        assert "--trust" in done.stderr
        assert not (folder / "imported").exists()
    refused = optitrip(folder, "sweep", "t.toml")
    assert (refused.returncode, "--trust" in refused.stderr) == (2, True)
    assert optitrip(folder, "show", "t").returncode == 0
    for words in (["replay", "t", "0"], ["sweep", "t.toml"]):
        done = optitrip(folder, *words, "--trust")
        assert done.returncode == 0, done.stderr
    assert (folder / "imported").exists()


@pytest.mark.parametrize("trust", [False, True])
def test_planted_shards_are_not_merged(folder: Path, trust: bool) -> None:
    """One shard that someone else owns is enough."""
    give_all(folder / ".optitrip" / "shard-2-of-2")
    shards = [f".optitrip/shard-{number}-of-2" for number in (1, 2)]
    done = optitrip(folder, "merge", *shards, "--state-dir", "merged", *(["--trust"] if trust else []))
    assert done.returncode == (0 if trust else 2), done.stderr
    assert (folder / "imported").exists() == trust


def test_usual_places_are_trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Private groups, the volume of a container, sudo, sticky folders, and folders above that belong to others."""
    state = state_of(folder)
    for path in (state, state.parent):  # umask 002
        path.chmod(0o775)
    assert distrust(state) is None
    os.chown(folder, STRANGER, STRANGER)  # a project of someone else, in which root's own state lies
    assert distrust(state) is None
    folder.chmod(0o1777)
    assert distrust(state) is None
    assert distrust(Path("/tmp/.optitrip/absent-12345678")) is None
    give_all(folder)
    assert distrust(state) is not None
    with monkeypatch.context() as patch:
        patch.setenv("SUDO_UID", str(STRANGER))
        assert distrust(state) is None
    with monkeypatch.context() as patch:  # a volume that belongs to the host's user
        patch.setattr(os.path, "ismount", lambda path: Path(path) == folder)
        assert distrust(state) is None
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: STRANGER)
        assert distrust(state) is None
        patch.setattr(os, "geteuid", lambda: STRANGER + 1)
        assert distrust(state) is not None


def test_a_drive_that_changes_owners_or_has_no_modes_is_trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where new files of ours get the same owner or are open to all, neither says anything."""
    state = state_of(folder)
    give_all(state.parent)
    for path in (state, *state.iterdir()):
        path.chmod(0o777)
    assert distrust(state) is not None
    squashed = os.stat_result((0o100777, 0, 0, 0, STRANGER, STRANGER, 0, 0, 0, 0))
    monkeypatch.setattr(ownership, "new_file", lambda path: squashed)
    assert distrust(state) is None


LINKED = ["identity.json.part", "result.json.part", "best.npz.part", "sweep.toml.part", "lock", "best.npz"]


@pytest.mark.mostly_daily
@pytest.mark.parametrize("existing", [pytest.param(True, marks=pytest.mark.daily), False])
@pytest.mark.parametrize("name", LINKED)
def test_no_link_is_written_through(folder: Path, name: str, existing: bool) -> None:
    """Whatever a link in the state directory names stays as it was, even if the state is trusted."""
    target, state = folder / "precious", state_of(folder)
    if existing:
        target.write_text("precious")
    for file in ("identity.json", "best.npz", "sweep.toml"):
        (state / file).unlink()
    (state / name).unlink(missing_ok=True)
    (state / name).symlink_to(target)
    done = optitrip(folder, "sweep", "t.toml", "--trust")
    assert done.returncode == 0, done.stderr
    assert target.exists() == existing
    assert not existing or target.read_text() == "precious"
    assert (state / "best.npz").is_file()


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("name", ["journal.sqlite", "journal.sqlite.mended", "journal.sqlite.damaged-1"])
def test_no_link_is_followed_by_the_journal(tmp_path: Path, name: str, existing: bool) -> None:
    """Neither when it is opened nor when it is rebuilt, whether or not the link has a target."""
    target, path = tmp_path / "precious", tmp_path / "journal.sqlite"
    if existing:
        target.write_text("")
    if name != path.name:
        Journal(path).close()
        data = bytearray(path.read_bytes())
        at = data.index(b"epoch")
        data[at] ^= 1
        path.write_bytes(data)
    (tmp_path / name).symlink_to(target)
    if name == path.name:
        with pytest.raises(StateError, match="not a regular file"):
            Journal(path)
    else:
        Journal(path).close()
    assert target.exists() == existing
    assert not existing or target.read_bytes() == b""


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_a_lock_or_a_file_that_is_none_is_set_aside(tmp_path: Path, kind: str) -> None:
    """Folders, pipes and links in the place of files block neither the lock nor a write."""
    for name in ("lock", "file", "file.part"):
        path = tmp_path / name
        match kind:
            case "folder":
                (path / "inner").mkdir(parents=True)
            case "pipe":
                os.mkfifo(path)
            case _:
                path.symlink_to(tmp_path / "nowhere")
    lock_folder(tmp_path).release()
    write_atomically(tmp_path / "file", b"data")
    assert (tmp_path / "file").read_bytes() == b"data"
    assert {path.name for path in tmp_path.glob("*.old-1")} == {"lock.old-1", "file.old-1", "file.part.old-1"}
    assert not (tmp_path / "nowhere").exists()
    shutil.rmtree(tmp_path)
    assert "trusted_loss" not in sys.modules
