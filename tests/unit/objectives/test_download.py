"""Fetching CIFAR-10 from a server on this machine: whole or not at all, and never more than was asked for."""

from __future__ import annotations

import errno
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from test_images import write_cifar10

from optitrip.errors import InputError
from optitrip.objectives.data import download, images

RECORDS = 20
NAME = download.NAME
Members = Mapping[str, bytes | tarfile.TarInfo]


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "RECORDS", RECORDS)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class Server(ThreadingHTTPServer):
    """Serves `body` at any address but /gone; at /cut and /stalls it stops half way."""

    daemon_threads = True
    body = b""
    asked = 0

    def __init__(self) -> None:
        self.halfway, self.done = threading.Event(), threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/cifar-10-binary.tar.gz"

    @property
    def checksum(self) -> str:
        return f"sha256:{hashlib.sha256(self.body).hexdigest()}"


class Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        self.server.asked += 1
        if self.path.startswith("/gone"):
            self.send_error(404)
            return
        half = self.path.startswith(("/cut", "/stalls"))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body[: len(self.server.body) // 2] if half else self.server.body)
        self.wfile.flush()
        if self.path.startswith("/stalls"):
            self.server.halfway.set()
            self.server.done.wait(60)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def archive(members: Members) -> bytes:
    """A tar.gz of files by name, or of members as they are."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The six files, small."""
    folder = tmp_path_factory.mktemp("source")
    write_cifar10(folder, RECORDS)
    return folder


@pytest.fixture(scope="module")
def members(source: Path) -> Members:
    """Members of the official archive: the six files and two that optitrip has no use for."""
    more = {f"{NAME}/batches.meta.txt": b"airplane\n", f"{NAME}/readme.html": b"<html>"}
    return more | {f"{NAME}/{name}": (source / name).read_bytes() for name in download.FILES}


@pytest.fixture
def server(members: Members) -> Iterator[Server]:
    with Server() as server:
        server.body = archive(members)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.done.set()
        server.shutdown()
        thread.join()


def test_the_data_arrives(server: Server, source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The six files and nothing else, in new folders, without output."""
    folder = tmp_path / "new" / "data"
    target = download.cifar10(folder, server.url, server.checksum)
    assert target == folder / NAME
    assert list(folder.iterdir()) == [target]
    assert sorted(file.name for file in target.iterdir()) == sorted(download.FILES)
    assert images.cifar10(target).digest() == images.cifar10(source).digest()
    assert capfd.readouterr() == ("", "")


def test_what_is_there_is_not_fetched_again(server: Server, source: Path, tmp_path: Path) -> None:
    """No request at all, be it fetched before or unpacked by hand."""
    shutil.copytree(source, tmp_path / NAME)
    assert download.cifar10(tmp_path, server.url, server.checksum) == tmp_path / NAME
    assert server.asked == 0


@pytest.mark.parametrize("harm", ["missing", "truncated", "a file"])
def test_what_is_damaged_is_set_aside(server: Server, source: Path, tmp_path: Path, harm: str) -> None:
    """It is renamed, since it may be a person's own, and the data arrives beside it."""
    target = tmp_path / NAME
    if harm == "a file":
        target.write_bytes(b"mine")
    else:
        shutil.copytree(source, target)
        (target / "mine.txt").write_text("mine")
        file = target / "data_batch_2.bin"
        if harm == "missing":
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[:-1])
    (tmp_path / f"{NAME}.old-1").mkdir()
    assert download.complete(download.cifar10(tmp_path, server.url, server.checksum))
    old = tmp_path / f"{NAME}.old-2"
    assert (old if harm == "a file" else old / "mine.txt").read_bytes() == b"mine"


def refused(folder: Path, server: Server, match: str, path: str = "", checksum: str = "") -> None:
    """An InputError that names the address, and a folder as empty as before."""
    url = server.url.replace("/cifar-10", f"/{path}/cifar-10") if path else server.url
    with pytest.raises(InputError, match=match) as caught:
        download.cifar10(folder, url, checksum or server.checksum)
    assert str(caught.value).startswith(url)
    assert images.PAGE in str(caught.value)
    assert list(folder.iterdir()) == []


def test_another_checksum_is_refused(server: Server, tmp_path: Path) -> None:
    """With both checksums, and what to do instead."""
    wrong = "sha256:" + 64 * "0"
    refused(tmp_path, server, rf"expected {wrong} but got {server.checksum[7:]}.*by hand from", checksum=wrong)


def test_an_unknown_checksum_is_refused(server: Server, tmp_path: Path) -> None:
    """A kind of checksum that there is not."""
    refused(tmp_path, server, "'rot13' not available", checksum="rot13:0")


def test_a_missing_page_is_reported(server: Server, tmp_path: Path) -> None:
    """With the server's own words."""
    refused(tmp_path, server, "cannot be fetched: 404.*Not Found.*by hand from", path="gone")


def test_an_interrupted_transfer_is_reported(server: Server, tmp_path: Path) -> None:
    """Half an archive is no archive."""
    refused(tmp_path, server, "cannot be fetched.*by hand from", path="cut")


def test_a_missing_server_is_reported(tmp_path: Path) -> None:
    """Nothing listens at its address any more."""
    with Server() as server:
        server.body = b"x"
    refused(tmp_path, server, "cannot be fetched.*by hand from")


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "x.tar.gz", "http://", ""])
def test_other_addresses_are_refused(url: str, tmp_path: Path) -> None:
    """Http and https are all that it speaks."""
    with pytest.raises(InputError, match=f"^{url}: .*by hand"):
        download.cifar10(tmp_path, url, "sha256:0")
    assert list(tmp_path.iterdir()) == []


def link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def test_an_archive_writes_nowhere_else(server: Server, members: Members, tmp_path: Path) -> None:
    """Neither above its folder, nor at absolute paths, nor through links; the data itself arrives."""
    folder, outside = tmp_path / "data", tmp_path / "outside"
    outside.mkdir()
    names = ["../evil", f"{NAME}/../../evil", f"{outside}/evil", f"{NAME}/evil", "evil"]
    evil = dict.fromkeys(names, b"evil")
    server.body = archive({"link": link(NAME, str(outside)), **evil, **members})
    target = download.cifar10(folder, server.url, server.checksum)
    assert list(tmp_path.rglob("*evil*")) == []
    assert list(outside.iterdir()) == []
    assert not target.is_symlink()
    assert sorted(file.name for file in target.iterdir()) == sorted(download.FILES)


def test_an_archive_that_lacks_files_is_refused(server: Server, members: Members, source: Path, tmp_path: Path) -> None:
    """One is missing, short, a link, or all of them lie in another folder."""
    one = f"{NAME}/test_batch.bin"
    wanted = f"does not hold CIFAR-10, wanted {NAME}/data_batch_1.bin"
    others = {name: content for name, content in members.items() if name != one}
    for bad in (
        others,
        {**others, one: b"short"},
        {**others, one: link(one, str(source / "test_batch.bin"))},
        {name.replace(NAME, "other"): content for name, content in members.items()},
        {},
    ):
        server.body = archive(bad)
        refused(tmp_path, server, wanted)


def test_what_is_no_archive_is_refused(server: Server, tmp_path: Path) -> None:
    """Not gzip, or gzip cut short, or damaged where it begins, though the checksum is right."""
    whole = server.body
    damaged = whole[:10] + bytes(byte ^ 255 for byte in whole[10:80]) + whole[80:]
    for body in (b"<html>", b"", whole[:-1_000], damaged):
        server.body = body
        refused(tmp_path, server, "is not a complete archive|does not hold")


def test_a_killed_run_leaves_no_half_data(server: Server, tmp_path: Path) -> None:
    """Killed in the middle of the transfer: the folder is not there, and the next run fetches it."""
    url = server.url.replace("/cifar-10", "/stalls/cifar-10")
    script = (
        f"from pathlib import Path; from optitrip.objectives.data.download import cifar10; cifar10(Path.cwd(), {url!r})"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path) as child:
        assert server.halfway.wait(60)
        child.kill()
    assert [path.name.startswith(f"{NAME}.part-") for path in tmp_path.iterdir()] == [True]
    assert download.complete(download.cifar10(tmp_path, server.url, server.checksum))


def test_a_folder_that_cannot_be_written_is_reported(server: Server, tmp_path: Path) -> None:
    """A file stands where the folder should be; nothing is asked of the server."""
    (tmp_path / "data").write_text("mine")
    with pytest.raises(InputError, match=rf"{tmp_path}/data: cannot be written: File exists; .* takes 360 MB"):
        download.cifar10(tmp_path / "data", server.url, server.checksum)
    assert (tmp_path / "data").read_text() == "mine"
    assert server.asked == 0


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_is_reported(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The message has the system's words and the space needed, and nothing written is left."""

    def full(*_: object) -> None:
        raise OSError(code, "No space left on device")

    monkeypatch.setattr(download.shutil, "copyfileobj", full)
    with pytest.raises(InputError, match=r"cannot be written: No space left on device; .* takes 360 MB"):
        download.cifar10(tmp_path, server.url, server.checksum)
    assert list(tmp_path.iterdir()) == []


def test_two_runs_at_once_agree(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower one finds the data in place and leaves it there."""
    unpack = download.unpack

    def slower(*args: Any) -> None:
        unpack(*args)
        monkeypatch.setattr(download, "unpack", unpack)
        download.cifar10(tmp_path, server.url, server.checksum)

    monkeypatch.setattr(download, "unpack", slower)
    download.cifar10(tmp_path, server.url, server.checksum)
    assert server.asked == 2
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_importing_it_loads_no_network_library() -> None:
    """They load when something is fetched."""
    script = "import optitrip.objectives.data.download, sys; print({'pooch', 'requests', 'urllib3'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
