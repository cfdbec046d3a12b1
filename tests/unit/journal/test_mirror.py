"""A mirror holds a whole copy of the journal at every moment, and never harms the sweep."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import fs

from optitrip.core.failures import Failures
from optitrip.core.notice import Notice
from optitrip.core.part import Part
from optitrip.errors import InputError, StateError
from optitrip.journal import copies
from optitrip.journal.copies import Copy, described, snapshot
from optitrip.journal.journal import Journal
from optitrip.journal.mirror import Mirror
from optitrip.runtime.clock import Clock
from optitrip.runtime.files import has_digest
from optitrip.runtime.remote import Bucket, Folder, Remote, open_remote

SWEEP, LABEL, DIGEST = "0123abcd", "there-0123abcd", b"digest"


class Hands(Clock):
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def wall_ms(self) -> int:
        return round(1_000 * self.now)


class Flaky:
    """A file system of PyArrow whose calls raise what a test wants, after half of the work."""

    def __init__(self, folder: Path) -> None:
        self._inner: Any = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
        self.calls = 0
        self.at: Callable[[int, str], BaseException | None] = lambda _number, _name: None

    def _call(self, name: str) -> None:
        self.calls += 1
        if (error := self.at(self.calls, name)) is not None:
            raise error

    def open_input_stream(self, path: str) -> Any:
        self._call("get")
        return self._inner.open_input_stream(path)

    def open_output_stream(self, path: str) -> Any:
        self._inner.create_dir(str(Path(path).parent))
        stream = self._inner.open_output_stream(path)
        try:
            self._call("put")
        except BaseException:
            stream.write(b"half")
            stream.close()  # as a bucket does with what was sent so far
            raise
        return stream

    def move(self, source: str, target: str) -> None:
        self._call("move")
        self._inner.move(source, target)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    (tmp_path / "state").mkdir()
    return Journal(tmp_path / "state" / "journal.sqlite", SWEEP)


def write(journal: Journal, lo: int, hi: int) -> None:
    parts = [(Part(range(n, n + 1), {"loss": np.array([n / 7])}, Failures()), 0.1) for n in range(lo, hi)]
    assert journal.write(0, DIGEST, parts, 1_000) == []


def content(path: Path) -> tuple[list[Any], list[Any]]:
    """All rows and facts, but the epoch."""
    with sqlite3.connect(path) as database:
        parts = database.execute("SELECT rowid, * FROM part ORDER BY rowid").fetchall()
        return parts, database.execute("SELECT * FROM meta WHERE key != 'epoch' ORDER BY key").fetchall()


def mirror_of(journal: Journal, remote: Remote, told: list[Notice], **options: Any) -> Mirror:
    given: dict[str, Any] = {"clock": Hands(), **options}
    return Mirror(remote, "there", LABEL, journal.path, SWEEP, told.append, **given)


def fetched(remote: Remote, folder: Path) -> Path:
    """Fetch the copy, which must be whole at any time."""
    copy = described(remote, LABEL, folder / "scratch")
    assert copy is not None
    remote.get(f"{LABEL}/{copy.file}", folder / "fetched")
    assert has_digest(folder / "fetched", copy.digest)
    return folder / "fetched"


def test_a_snapshot_has_every_row_and_fact(tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one step or in many, the target is a sound journal of this sweep, its owner's alone."""
    write(journal, 0, 50)
    for chunk in (1, 2_000, copies.CHUNK):
        monkeypatch.setattr(copies, "CHUNK", chunk)
        snapshot(journal.path, SWEEP, tmp_path / "copy")
        assert content(tmp_path / "copy") == content(journal.path)
        assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600
        Journal(tmp_path / "copy", SWEEP).close()


def test_a_snapshot_of_a_journal_in_use_is_one_moment_of_it(tmp_path: Path, journal: Journal) -> None:
    """A row is never there without those that were written before, and the writer is not kept waiting."""
    stop = threading.Event()

    def copy() -> None:
        while not stop.is_set():
            snapshot(journal.path, SWEEP, tmp_path / "copy")
            rows = [lo for _, _, items, _ in Journal(tmp_path / "copy", SWEEP, reading=True).rows() for lo in items]
            moments.append(rows)

    moments: list[list[int]] = []
    thread = threading.Thread(target=copy)
    thread.start()
    for n in range(0, 200, 2):
        write(journal, n, n + 2)
    stop.set()
    thread.join()
    assert all(rows == list(range(len(rows))) and len(rows) % 2 == 0 for rows in moments)


def test_a_copy_a_minute_and_one_at_the_end(tmp_path: Path, journal: Journal) -> None:
    """By the clock that is handed in; the last one has the result files, and everything there is private."""
    hands, told, remote = Hands(), list[Notice](), Folder(tmp_path / "far" / "away")
    mirror = mirror_of(journal, remote, told, clock=hands)
    for minute in range(3):
        write(journal, minute, minute + 1)
        for second in (0.0, 1.0, 58.0):
            hands.now = 1_000.0 + 60 * minute + second
            mirror.tick()
            while mirror._call is not None:
                mirror.tick()
        assert len(content(fetched(remote, tmp_path))[0]) == 2 * minute + 1
        write(journal, 10 + minute, 11 + minute)
        mirror.tick()
        assert mirror._call is None
    (journal.path.parent / "best.npz").write_bytes(b"best")
    mirror.finish(["best.npz", "missing.png"])
    assert content(fetched(remote, tmp_path)) == content(journal.path)
    assert (remote.path / LABEL / "files" / "best.npz").read_bytes() == b"best"
    assert told == []
    assert sorted(path.name for path in journal.path.parent.iterdir()) == ["best.npz", "journal.sqlite"]
    for path in (remote.path.parent, *remote.path.parent.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_large_journal_is_copied_less_often(tmp_path: Path, journal: Journal) -> None:
    """A copy that takes 30 s is made every five minutes."""
    hands, remote = Hands(), Folder(tmp_path / "far")
    get = remote.get

    def slow(name: str, target: Path) -> None:
        hands.now += 30.0
        get(name, target)

    remote.get = slow  # type: ignore[method-assign]
    mirror = mirror_of(journal, remote, [], clock=hands)
    mirror.tick()
    mirror._wait(hands.now + 60)
    for later, due in ((269.0, False), (2.0, True)):
        hands.now += later
        mirror.tick()
        assert (mirror._call is not None) == due
    mirror.finish([])


@pytest.mark.parametrize("call", range(1, 16))
def test_a_bucket_that_fails_at_any_call(tmp_path: Path, journal: Journal, call: int) -> None:
    """The copy there is whole after each failure; it is told once, and that it works again; the end is copied."""
    bucket, told, hands = Flaky(tmp_path), list[Notice](), Hands()
    remote = Bucket(lambda: (bucket, "far/"))
    write(journal, 0, 3)
    mirror_of(journal, remote, []).finish([])
    assert bucket.calls == 5
    before = described(Folder(tmp_path / "far"), LABEL, tmp_path / "scratch")
    assert before is not None
    bucket.calls, bucket.at = 0, lambda number, name: OSError(f"{name} failed") if number == call else None
    (journal.path.parent / "best.npz").write_bytes(b"best")
    mirror = mirror_of(journal, remote, told, clock=hands, replaces=before.writer)
    for n in range(3, 5):
        write(journal, n, n + 1)
        mirror.tick()
        mirror._wait(hands.now + 60)
        found = content(fetched(Folder(tmp_path / "far"), tmp_path))
        assert found[0] == content(journal.path)[0][: len(found[0])]
        assert len(found[0]) >= n - 1
        hands.now += 60
    mirror.finish(["best.npz"])
    assert {notice.code for notice in told} <= {"mirror", "mirror-failed"}
    assert len([notice for notice in told if "could not be copied" in notice.text]) <= 1
    if call < 11:
        assert content(fetched(Folder(tmp_path / "far"), tmp_path)) == content(journal.path)
    else:
        assert "the last copy there is" in told[-1].text


@pytest.mark.parametrize("name", ["label", "label/files"])
@pytest.mark.parametrize("exists", [True, False])
def test_no_link_below_the_folder_is_followed(tmp_path: Path, name: str, exists: bool) -> None:
    """Whoever plants one would choose what is replaced; the folder itself may be a link, and one in place of a file is
    set aside."""
    target, source = tmp_path / "target", tmp_path / "source"
    source.write_text("data")
    (tmp_path / "real" / name).parent.mkdir(parents=True)
    (tmp_path / "far").symlink_to("real")
    if exists:
        (target / "files").mkdir(parents=True)
    (tmp_path / "far" / name).symlink_to(target)
    with pytest.raises(OSError, match="is a link, which is not followed"):
        Folder(tmp_path / "far").put("label/files/best.npz", source)
    assert target.exists() == exists
    assert not list(target.glob("**/best.npz*"))
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "real" / "best.npz").symlink_to(tmp_path / "kept")
    Folder(tmp_path / "far").put("best.npz", source)
    assert [(tmp_path / where).read_text() for where in ("kept", "real/best.npz")] == ["kept", "data"]


def test_a_folder_that_vanishes_or_becomes_read_only(tmp_path: Path, journal: Journal) -> None:
    """Told once while it lasts; a copy that was gone is told, too: the disk may not be mounted."""
    hands, told, far = Hands(), list[Notice](), tmp_path / "far"
    mirror = mirror_of(journal, Folder(far), told, clock=hands)

    def minute() -> list[str]:
        hands.now += 60
        mirror.tick()
        mirror._wait(hands.now + 60)
        texts, told[:] = [notice.text for notice in told], []
        return texts

    assert minute() == []
    (tmp_path / "far").rename(tmp_path / "gone")
    assert ["was gone" in text for text in minute()] == [True]
    assert minute() == []
    (tmp_path / "far").rename(tmp_path / "second")
    (tmp_path / "far").write_text("a file in its place")
    assert ["could not be copied to there" in text for text in minute()] == [True]
    assert [minute(), minute()] == [[], []]
    mirror.finish([])
    assert ["the end of this sweep was not copied" in notice.text for notice in told] == [True]
    (tmp_path / "far").unlink()
    told.clear()
    assert [word in text for word, text in zip(("again", "gone"), minute(), strict=True)] == [True, True]


def test_a_remote_that_never_answers_is_not_waited_for(tmp_path: Path, journal: Journal) -> None:
    """Neither by the sweep nor, for long, by its end."""
    held, told, remote = threading.Event(), list[Notice](), Folder(tmp_path / "far")
    remote.get = lambda name, target: held.wait() and None  # type: ignore[assignment,method-assign]
    mirror = mirror_of(journal, remote, told)
    mirror.tick()
    write(journal, 0, 1)
    mirror.finish([], patience=0.01)
    assert ["this command has made no copy" in notice.text for notice in told] == [True]
    held.set()


def test_a_disk_with_little_room_is_left_alone(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy beside the journal that fills the disk would stop the sweep."""
    usage = type("Usage", (), {"free": 1_000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    told = list[Notice]()
    mirror_of(journal, Folder(tmp_path / "far"), told).finish([])
    assert "too little room" in told[0].text


def test_a_secret_in_an_error_is_hidden(tmp_path: Path, journal: Journal) -> None:
    """The error of a library may quote the whole URI."""
    bucket, told = Flaky(tmp_path), list[Notice]()
    bucket.at = lambda *_: OSError("s3://me:hunter22@bucket refused")
    hide = lambda text: text.replace("hunter22", "***")  # noqa: E731
    mirror_of(journal, Bucket(lambda: (bucket, "far")), told, hide=hide).finish([])
    assert "s3://me:***@bucket refused" in told[0].text


def test_another_journal_is_not_replaced(tmp_path: Path) -> None:
    """Neither that of another directory nor a later one of the same, unless restored from it, or started afresh."""
    remote, told = Folder(tmp_path / "far"), list[Notice]()
    journals = [Journal(tmp_path / str(n), SWEEP) for n in range(2)]
    write(journals[0], 0, 5)
    mirror_of(journals[0], remote, told).finish([])
    before = described(remote, LABEL, tmp_path / "scratch")
    assert before is not None
    mirror_of(journals[1], remote, told).finish([])
    assert described(remote, LABEL, tmp_path / "scratch") == before
    assert "it is not replaced" in told.pop().text
    (tmp_path / "again").write_bytes((tmp_path / "0").read_bytes())
    mirror_of(Journal(tmp_path / "again", SWEEP), remote, told).finish([])  # the same one, resumed
    mirror_of(journals[0], remote, told).finish([])  # the first command, which should have ended
    assert "it is not replaced" in told.pop().text
    mirror_of(journals[1], remote, told, fresh=True).finish([])
    found = described(remote, LABEL, tmp_path / "scratch")
    assert found is not None
    assert found.journal == journals[1].name
    mirror_of(journals[0], remote, told, replaces=found.writer).finish([])
    assert told == []


def test_a_command_that_was_replaced_copies_no_more(tmp_path: Path, journal: Journal) -> None:
    """Its host was given up and came back: it does not destroy what its successor copies."""
    remote, told, hands = Folder(tmp_path / "far"), list[Notice](), Hands()
    mirror = mirror_of(journal, remote, told, clock=hands)
    mirror.tick()
    mirror._wait(hands.now + 60)
    (tmp_path / "later").write_bytes(fetched(remote, tmp_path).read_bytes())
    later = Journal(tmp_path / "later", SWEEP)
    mirror_of(later, remote, told).finish([])
    wanted = described(remote, LABEL, tmp_path / "scratch")
    for _ in range(3):
        hands.now += 60
        write(journal, int(hands.now), int(hands.now) + 1)
        mirror.tick()
        mirror._wait(hands.now + 60)
    mirror.finish([])
    assert described(remote, LABEL, tmp_path / "scratch") == wanted
    assert ["another command" in notice.text for notice in told] == [True]


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"file": "../../outside"}, "names the file"),
        ({"file": "/etc/passwd"}, "names the file"),
        ({"file": "mirror.json"}, "names the file"),
        ({"label": "other-0123abcd"}, "another sweep"),
        ({"format": 2}, "version"),
        ({"epoch": True}, "wanted int"),
        ({"digest": None}, "wanted str"),
        ({"files": []}, "wanted dict"),
    ],
)
def test_a_description_that_is_not_one(tmp_path: Path, change: dict[str, Any], wanted: str) -> None:
    """Whatever it says, only the two files of a mirror are read, and only those of this sweep."""
    good = {"format": 1, "label": LABEL, "journal": "j", "epoch": 1, "writer": "w", "made": 0}
    good |= {"file": "journal-0.sqlite", "digest": "0 0", "files": {}}
    assert Copy.from_bytes(json.dumps(good).encode()).label == LABEL
    (tmp_path / LABEL).mkdir()
    (tmp_path / LABEL / "mirror.json").write_text(json.dumps(good | change))
    with pytest.raises(StateError, match=wanted):
        described(Folder(tmp_path), LABEL, tmp_path / "scratch")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "\x80", '{"format": 1}'])
def test_a_torn_description(tmp_path: Path, text: str) -> None:
    (tmp_path / LABEL).mkdir()
    (tmp_path / LABEL / "mirror.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(StateError, match="damaged"):
        described(Folder(tmp_path), LABEL, tmp_path / "scratch")


def test_what_a_uri_names(tmp_path: Path) -> None:
    """A folder or a bucket; anything else is a mistake of the user."""
    for uri, path in {
        "file:///mnt/a%20b": "/mnt/a b",
        "file://localhost/mnt": "/mnt",
        "/mnt/x": "/mnt/x",
        "mirror/x": str(tmp_path / "mirror/x"),
    }.items():
        found = open_remote(uri, tmp_path)
        assert isinstance(found, Folder)
        assert found.path == Path(path)
    for uri in ("s3://bucket/folder", "gs://bucket", "s3://key:secret@bucket/x?region=eu-west-1"):
        assert isinstance(open_remote(uri, tmp_path), Bucket)
    for uri in ("", "http://host/x", "file://host/x", "file:x", "s3://", "s3:///x", "ftp://x", "sqlite:///x", "a\0b"):
        with pytest.raises(InputError, match="wanted a folder"):
            open_remote(uri, tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted file system of 96 KiB."""
    point = tmp_path / "disk"
    point.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "none", str(point)], check=False)
    if mounted.returncode:
        pytest.skip("only root can mount a file system")
    yield point
    subprocess.run(["umount", "-l", str(point)], check=False, stderr=subprocess.DEVNULL)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can mount a file system")
def test_a_disk_that_fills_up_becomes_read_only_and_vanishes(
    tmp_path: Path, journal: Journal, small_disk: Path
) -> None:
    """A real one: the last whole copy stays, the sweep goes on, and what happens is told each time."""
    hands, told = Hands(), list[Notice]()
    mirror = mirror_of(journal, Folder(small_disk / "far"), told, clock=hands)

    def minute() -> str:
        hands.now += 60
        mirror.tick()
        mirror._wait(hands.now + 60)
        texts, told[:] = [notice.text for notice in told], []
        return " ".join(texts)

    write(journal, 0, 1)
    assert minute() == ""
    write(journal, 1, 800)  # the new copy does not fit beside the old one
    assert "No space left" in minute()
    assert len(content(fetched(Folder(small_disk / "far"), tmp_path))[0]) == 1
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert "again" in minute()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    write(journal, 800, 801)
    assert "Read-only" in minute()
    assert len(content(fetched(Folder(small_disk / "far"), tmp_path))[0]) == 800
    subprocess.run(["umount", str(small_disk)], check=True)
    assert "gone" in minute()
    mirror.finish([])
    assert len(content(fetched(Folder(small_disk / "far"), tmp_path))[0]) == 801
