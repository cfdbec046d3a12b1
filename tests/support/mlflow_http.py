"""MLflow's own server in a thread of the tests, with its REST interface on a SQLite store; each request may be met by
something else first."""

from __future__ import annotations

import io
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import pytest


class Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None: ...


class Server:
    """A server at an address that stays the same however often it is started and stopped."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.requests: list[str] = []
        self.meet: Callable[[str, bytes], str | None] = lambda path, body: None
        """Gets path and body of each request; returns a status such as "500 Broken" to answer with, or None."""
        self._server: Threads | None = None

    def start(self) -> None:
        self._server = Threads(("127.0.0.1", self.port), Handler)
        self._server.set_app(self._answer)
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        from mlflow.server import app

        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        self.requests.append(environ["PATH_INFO"])
        status = self.meet(environ["PATH_INFO"], body)
        if status is None:
            return app(environ, start)
        start(status, [("Content-Type", "text/plain")])
        return [b"no MLflow"]


@contextmanager
def mlflow_server(store: Path) -> Generator[Server]:
    """Give a server, not started yet, on a store; artifacts are in a folder beside it."""
    from mlflow.server import handlers
    from mlflow.tracking._tracking_service import utils

    server = Server()
    with pytest.MonkeyPatch.context() as patch:
        # It lacks a library here, so each search for runs would import it in vain.
        patch.setitem(sys.modules, "mlflow.server.auth", None)
        for name in ("_tracking_store", "_artifact_repo"):
            patch.setattr(handlers, name, None)
        patch.setattr(utils, "_tracking_uri", None)
        patch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{store}")
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", str(store.with_suffix(".artifacts")))
        patch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
        try:
            yield server
        finally:
            server.stop()
