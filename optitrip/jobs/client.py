"""A client of Ray's Jobs API.

Not Ray's own: that needs `ray[default]` on this machine, with agents that slow every local start of Ray by 2.5 s; it
lets RAY_ADDRESS override the address that it is given; and it waits for ever where nothing answers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from ssl import SSLCertVerificationError
from typing import Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from optitrip.errors import InputError, OptitripError, Stopped
from optitrip.jobs.access import ADVICE, WANTED
from optitrip.output.text import one_line
from optitrip.runtime.background import BackgroundCall

ACTIVE = ("PENDING", "RUNNING")
"""States of a job that has not ended."""
BUSY = (408, 425, 429, 502, 503, 504)
"""Statuses of HTTP for which the same request may succeed later."""
OLDEST = (2, 60)
"""Oldest Ray that this is tested with, as in `pyproject.toml`."""
FIRST_SECONDS = 12.0
"""Seconds until an address from which nothing has come is given up."""
SECONDS = 60.0
"""Seconds that the head may take for one answer; it starts processes of its own before some."""
SHOWN = 300
"""Length of an answer that a message quotes, in characters."""


class Unreachable(Stopped):
    """No answer from the head: a broken link, a head that is gone or not ready, or a wrong address, which looks the
    same. Repeating the command may help, so it ends like a sweep that can be resumed."""


@dataclass(frozen=True)
class Job:
    """A job as the head lists it."""

    id: str
    status: str
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    exit_code: int | None = None
    """Exit status of its command; None if it has not ended by itself."""
    message: str = ""
    error_type: str = ""
    runtime_env: Mapping[str, Any] = field(default_factory=dict[str, Any])
    started: int = 0
    """Time of its submission, in milliseconds since 1970."""

    @property
    def active(self) -> bool:
        return self.status in ACTIVE


class NoRedirect(HTTPRedirectHandler):
    """Follows no redirect: the token would go along, to whatever host is named."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class JobsClient:
    """Speaks to one head."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        # Without TLS the token would go to a proxy in clear; and a head stands where proxies do not lead, as a rule.
        self._opener = build_opener(NoRedirect, *([] if url.startswith("https:") else [ProxyHandler({})]))

    def connect(self, seconds: float = FIRST_SECONDS) -> str:
        """Return the version of Ray at the head. Raise Unreachable soon if nothing answers, InputError if it is old."""
        call = BackgroundCall(lambda: self._table("/api/version", seconds=seconds))  # a name may take a minute
        try:
            version = call.result(seconds).get("ray_version")
        except TimeoutError:
            raise Unreachable(f"{self.url}: no answer within {seconds:g} s; {WANTED}") from None
        numbers = str(version).split(".")[:2]
        if not all(number.isdigit() for number in numbers):
            self._raise_no_ray()
        if tuple(map(int, numbers)) < OLDEST:
            raise InputError(f"{self.url} runs Ray {version}; optitrip needs {'.'.join(map(str, OLDEST))} or newer")
        return str(version)

    def jobs(self) -> list[Job]:
        """List the jobs that were submitted to this head, also those that have ended."""
        listed = self._json("/api/jobs/")
        if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
            self._raise_no_ray()
        return [job_of(entry) for entry in listed if entry.get("submission_id")]

    def job(self, id: str) -> Job | None:
        """Return one job; None if this head does not know it, e.g. because it is a new one."""
        found = self._table(f"/api/jobs/{quote(id, safe='')}", missing=True)
        return job_of(found) if found else None

    def log(self, id: str) -> str:
        """Return all that the command of a job has printed so far."""
        return str(self._table(f"/api/jobs/{quote(id, safe='')}/logs", missing=True).get("logs") or "")

    def submit(self, job: Mapping[str, Any]) -> None:
        """Submit a job; raise InputError if its id has been used."""
        self._request("POST", "/api/jobs/", json.dumps(job).encode(), {"Content-Type": "application/json"})

    def has_package(self, name: str) -> bool:
        """Return whether the head has a package of this name, and keep it there for a while if so."""
        return self._request("GET", f"/api/packages/gcs/{quote(name)}", missing=b"missing") != b"missing"

    def upload(self, name: str, data: bytes) -> None:
        """Store a package for the nodes."""
        headers = {"Content-Type": "application/octet-stream"}
        self._request("PUT", f"/api/packages/gcs/{quote(name)}", data, headers)

    def _table(self, path: str, *, missing: bool = False, seconds: float = SECONDS) -> dict[str, Any]:
        """Return an answer that is a table; an empty one where there is no such thing, if that may be."""
        found = self._json(path, missing=b"{}" if missing else None, seconds=seconds)
        return found if isinstance(found, dict) else self._raise_no_ray()

    def _json(self, path: str, *, missing: bytes | None = None, seconds: float = SECONDS) -> Any:
        data = self._request("GET", path, missing=missing, seconds=seconds)
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            self._raise_no_ray()

    def _raise_no_ray(self) -> NoReturn:
        raise InputError(f"{self.url} is not the dashboard of a Ray cluster; {WANTED}")

    def _request(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        missing: bytes | None = None,
        seconds: float = SECONDS,
    ) -> bytes:
        """Return the body of an answer, or `missing`, if that is given, where there is no such thing."""
        request = Request(self.url + path, data, {**self._headers, **(headers or {})}, method=method)
        try:
            with self._opener.open(request, timeout=seconds) as answer:
                return answer.read()
        except HTTPError as error:
            with error:
                if error.code == 404 and missing is not None:
                    return missing
                raise self._refusal(error) from None
        except (URLError, OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(reason, SSLCertVerificationError):
                raise InputError(f"{self.url} has a certificate that is not trusted: {reason.verify_message}") from None
            reason = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
            raise Unreachable(f"{self.url} cannot be reached: {one_line(str(reason))}; {WANTED}") from None

    def _refusal(self, error: HTTPError) -> OptitripError:
        """Return the error for a status that is not a success, in one line."""
        if error.code == 401:
            return InputError(f"{self.url} wants a token: {ADVICE}")
        if error.code == 403:
            return InputError(f"{self.url} does not accept this token: {ADVICE}")
        try:
            text = error.read(2**16).decode(errors="replace").strip()
        except (OSError, HTTPException):
            text = ""
        line = one_line(text.splitlines()[-1][:SHOWN] if text else error.reason)
        if error.code in BUSY:
            return Unreachable(f"{self.url} is not ready ({error.code}: {line}); try again")
        if 300 <= error.code < 400 or error.code in (404, 405):
            return InputError(f"{self.url} is not the dashboard of a Ray cluster ({error.code}); {WANTED}")
        return InputError(f"{self.url} refused: {line}")


def job_of(entry: Mapping[str, Any]) -> Job:
    """Return a job from its JSON."""
    code, started = entry.get("driver_exit_code"), entry.get("start_time")
    metadata, environment = entry.get("metadata"), entry.get("runtime_env")
    return Job(
        str(entry.get("submission_id")),
        str(entry.get("status")),
        {str(key): str(value) for key, value in metadata.items()} if isinstance(metadata, dict) else {},
        code if isinstance(code, int) else None,
        str(entry.get("message") or ""),
        str(entry.get("error_type") or ""),
        environment if isinstance(environment, dict) else {},
        started if isinstance(started, int) else 0,
    )
