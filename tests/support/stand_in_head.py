"""A stand-in of a head's Jobs API: a server on loopback that answers as Ray does, without Ray."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Head:
    """State of the head, which tests set and look at."""

    token: str | None = None
    version: str = "2.60.0"
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    logs: dict[str, str] = field(default_factory=dict[str, str])
    packages: dict[str, bytes] = field(default_factory=dict[str, bytes])
    requests: list[str] = field(default_factory=list[str])
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict[str, tuple[int, bytes]])
    """Statuses and bodies for some requests, instead of the usual answers."""
    url: str = ""
    begins: Callable[[dict[str, Any]], object] = lambda _job: None
    """Function called with each job that is submitted; it may change it."""

    asked: Callable[[str], object] = lambda _path: None
    """Function called with the path of each request, before it is answered."""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        self.asked(path)
        what, name = path.strip("/").split("/")[1], path.strip("/").split("/")[-1]
        job = path.strip("/").split("/")[2] if path.startswith("/api/jobs/") and path != "/api/jobs/" else None
        match method, what:
            case "GET", "version":
                return 200, json.dumps({"version": "4", "ray_version": self.version}).encode()
            case "GET", "packages":
                return (200, b"") if name in self.packages else (404, b"Package does not exist")
            case "PUT", "packages":
                self.packages[name] = body
                return 200, b""
            case "POST", "jobs":
                return self.submitted(json.loads(body))
            case "GET", "jobs" if job is None:
                return 200, json.dumps([*self.jobs.values(), {"type": "DRIVER", "status": "RUNNING"}]).encode()
            case _ if job not in self.jobs:
                return 404, f"Job {job} does not exist".encode()
            case "GET", "jobs" if name == "logs":
                return 200, json.dumps({"logs": self.logs.get(job, "")}).encode()
            case _:
                return 200, json.dumps(self.jobs[job]).encode()

    def submitted(self, job: dict[str, Any]) -> tuple[int, bytes]:
        name = job["submission_id"]
        if name in self.jobs:
            return 500, f"Traceback:\n  ...\nValueError: Job with submission_id {name} already exists.\n".encode()
        self.jobs[name] = {**job, "type": "SUBMISSION", "status": "PENDING", "start_time": len(self.jobs)}
        self.begins(self.jobs[name])
        return 200, json.dumps({"submission_id": name}).encode()


@contextmanager
def stand_in_head(**state: Any) -> Generator[Head]:
    """Serve a head until the context ends."""
    head = Head(**state)

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            head.requests.append(f"{self.command} {self.path}")
            given = self.headers.get("Authorization")
            if head.token is not None and given != f"Bearer {head.token}":
                status, answer = (403, b"Forbidden") if given else (401, b"Unauthorized")
            else:
                status, answer = head.answers.get(f"{self.command} {self.path}") or head.answer(
                    self.command, self.path, body
                )
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", answer.decode())
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = handle_one  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        head.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
        thread.start()
        try:
            yield head
        finally:
            server.shutdown()
            thread.join()
