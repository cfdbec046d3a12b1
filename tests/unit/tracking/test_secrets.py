"""No password of a URI or of the environment is in any output, file, store or argument."""

from __future__ import annotations

import subprocess
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from command import optitrip
from optitrip.tracking import subprocess_client
from optitrip.tracking.mlflow_client import InProcessClient
from optitrip.tracking.secrets import redacted, without_password, without_user

pytestmark = pytest.mark.mostly_daily(3)  # of the cases that are alike

COMMANDS = ["sweep tracked.toml", "sync tracked", "sweep tracked.toml --json", "show tracked"]
SECRET = "S3NTINEL/ä+%@:"
HEADER = b64encode(f"me:{SECRET}".encode()).decode()
QUOTED = "S3NTINEL%2F%C3%A4%2B%25%40%3A"


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("postgresql://me:secret@host:1/x", "postgresql://me:***@host:1/x"),
        ("postgresql+psycopg2://me:se/cr@et@host:1/x", "postgresql+psycopg2://me:***@host:1/x"),
        ("https://me:se@cret@host/a?b=c", "https://me:***@host/a?b=c"),
        ("http://token@host", "http://***@host"),
        ("http://h/a?password=x&b=1&api_TOKEN=y#z", "http://h/a?password=***&b=1&api_TOKEN=***#z"),
        ("http://h/x?jwt=a#access_token=b", "http://h/x?jwt=***#access_token=***"),
        ("http://me:pa/ss?w#d@host:1/x", "http://me:***@host:1/x"),
        ("mysql://h/db?ssl_key=k;passwd=p", "mysql://h/db?ssl_key=***;passwd=***"),
        ("no route to 'http://a:b@c/d' (http://e:f@g)", "no route to 'http://a:***@c/d' (http://e:***@g)"),
    ],
)
def test_a_password_is_not_shown(uri: str, wanted: str) -> None:
    """Messages are stored, and others read them."""
    assert without_password(uri) == wanted


@pytest.mark.parametrize("uri", ["http://host:80/a@b", "sqlite:////a/b:c@d.db", "databricks://profile", "/a?b=c", "x"])
def test_other_uris_stay(uri: str) -> None:
    """They name the store by which a run is found again."""
    assert without_password(uri) == redacted(uri, uri) == uri


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("https://me:pa/ss@host:1/x/?token=a#b", "https://host:1/x"),
        ("http://token@host", "http://host"),
        ("http://host:80/a@b/", "http://host:80/a@b"),
    ],
)
def test_the_address_of_a_server(uri: str, wanted: str) -> None:
    """It is printed and opened in a browser without what is for MLflow's client alone."""
    assert without_user(uri) == wanted


@pytest.mark.parametrize("spelling", [SECRET, QUOTED, HEADER])
@pytest.mark.parametrize(
    "uri",
    [f"http://me:{QUOTED}@host/x", f"postgresql://me:{QUOTED}@host/x", f"http://h/?token={QUOTED}", "environment"],
)
def test_a_secret_is_found_however_it_is_spelled(monkeypatch: pytest.MonkeyPatch, uri: str, spelling: str) -> None:
    """In an exception of MLflow, of a database or of a server, which tells what it was sent."""
    if "token" in uri and spelling not in (SECRET, QUOTED):
        return  # a token in the query has no user
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me" if uri == "environment" else "")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET if uri == "environment" else "")
    assert redacted(f"cannot log in with {spelling}!", uri) == "cannot log in with ***!"


@pytest.fixture
def port() -> Iterator[int]:
    """Serve a page that quotes what it was sent, as some proxies do."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(500, explain=f"{self.path} {self.headers}")

        do_POST = do_GET  # noqa: N815 - its name is the library's

        def log_message(self, format: str, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.mostly_daily
@pytest.mark.parametrize(
    "uri",
    [
        "http://me:{}@127.0.0.1:{}",
        "http://127.0.0.1:{1}/?password={0}",
        pytest.param("http://127.0.0.1:{1}/#token={0}", marks=pytest.mark.daily),
        pytest.param("http://me:S3NTINEL/x '\"?#@127.0.0.1:{1}", marks=pytest.mark.daily),
        "environment",
        pytest.param("http://me:{}@127.0.0.1:9", marks=pytest.mark.daily),
        pytest.param("postgresql://me:{}@127.0.0.1:9/db", marks=pytest.mark.daily),
        pytest.param("nonsense://me:{}@host", marks=pytest.mark.daily),
    ],
)
def test_no_file_and_no_output_has_it(
    folder: Path, mlflow_here: None, monkeypatch: pytest.MonkeyPatch, port: int, uri: str
) -> None:
    """Of a sweep, of what shows it and of what delivers it later: whether MLflow takes it or not."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    where = f"http://127.0.0.1:{port}" if uri == "environment" else uri.format(QUOTED, port)
    begin = InProcessClient.begin
    said, here = list[str](), f"sqlite:///{folder / 'mlflow.db'}"  # as if the store at that place were up
    for works in (False, True):
        if works:
            monkeypatch.setattr(InProcessClient, "begin", lambda client, run: begin(client, replace(run, uri=here)))
        for words in COMMANDS:
            done = optitrip(folder, *words.split(), MLFLOW_TRACKING_URI=where)
            said += [done.stdout, done.stderr]
            assert done.returncode in (0, 3, 75), done.stderr
    assert "recording in MLflow at" in said[1]
    assert '"run_id": "' in said[-4]
    found = [path for path in folder.rglob("*") if path.is_file() and b"S3NTINEL" in path.read_bytes()]
    assert (found, [text for text in said if "S3NTINEL" in text]) == ([], [])
    assert not [text for text in said if HEADER in text]


@pytest.mark.daily
def test_no_argument_of_a_process_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everyone on the machine can read those of MLflow's process."""
    started: list[Any] = []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{QUOTED}@127.0.0.1:9")
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: started.append(command))
    subprocess_client.SubprocessClient()
    assert started
    assert "S3NTINEL" not in str(started)
