"""The client of the Jobs API, against a stand-in of a head."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from optitrip.errors import InputError
from optitrip.jobs.client import OLDEST, JobsClient, Unreachable
from stand_in_head import stand_in_head

PROJECT = Path(__file__).parents[3] / "pyproject.toml"


def test_a_package_is_there_once_it_was_sent() -> None:
    """By its name, which is a digest of its content."""
    with stand_in_head() as head:
        client = JobsClient(head.url, None)
        assert not client.has_package("_ray_pkg_1.zip")
        client.upload("_ray_pkg_1.zip", b"content")
        assert client.has_package("_ray_pkg_1.zip")
        assert head.packages == {"_ray_pkg_1.zip": b"content"}


def test_jobs_are_listed_as_they_are() -> None:
    """Drivers without a submission are no jobs; what the head leaves out is empty."""
    with stand_in_head() as head:
        client = JobsClient(head.url, None)
        client.submit({"submission_id": "a", "entrypoint": "x", "metadata": {"k": "v"}})
        head.jobs["a"] |= {"status": "FAILED", "driver_exit_code": 3, "message": None}
        head.logs["a"] = "printed\n"
        (job,) = client.jobs()
        assert (job.id, job.active, job.exit_code, job.message, dict(job.metadata)) == ("a", False, 3, "", {"k": "v"})
        assert client.job("a") == job
        assert client.job("b") is None
        assert client.log("a") == "printed\n"


def test_a_used_id_is_told_in_one_line() -> None:
    """The head answers with a traceback, of which the last line says why."""
    with stand_in_head() as head:
        client = JobsClient(head.url, None)
        client.submit({"submission_id": "a"})
        with pytest.raises(InputError, match="already exists") as raised:
            client.submit({"submission_id": "a"})
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("given", [None, "another"])
def test_a_missing_or_wrong_token_is_told(given: str | None) -> None:
    with stand_in_head(token="right") as head:
        with pytest.raises(InputError, match="token") as raised:
            JobsClient(head.url, given).connect()
        assert "\n" not in str(raised.value)
        assert "another" not in str(raised.value)
        assert JobsClient(head.url, "right").connect() == "2.60.0"


def test_nothing_listens_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match="refused"):
        JobsClient(f"http://127.0.0.1:{port}", None).connect()


def test_something_that_never_answers_is_given_up() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(Unreachable, match=r"no answer within|timed out"),
    ):
        JobsClient(f"http://127.0.0.1:{silent.getsockname()[1]}", None).connect(seconds=0.2)


@pytest.mark.parametrize("answer", [(200, b"<html>"), (200, b"[]"), (200, b"{}"), (404, b"not here"), (405, b"")])
def test_something_else_that_listens_there_is_told(answer: tuple[int, bytes]) -> None:
    """Another server, e.g. MLflow's."""
    with (
        stand_in_head(answers={"GET /api/version": answer}) as head,
        pytest.raises(InputError, match="not the dashboard of a Ray cluster"),
    ):
        JobsClient(head.url, None).connect()


def test_an_old_ray_is_told() -> None:
    with (
        stand_in_head(version="2.9.3") as head,
        pytest.raises(InputError, match=r"runs Ray 2\.9\.3; optitrip needs 2\.60"),
    ):
        JobsClient(head.url, None).connect()


def test_the_oldest_ray_is_that_of_the_project() -> None:
    (line,) = {line.partition(",")[0] for line in PROJECT.read_text().splitlines() if '"ray>=' in line}
    assert line.strip() == '"ray>=' + ".".join(map(str, OLDEST))


def test_no_redirect_is_followed_with_the_token() -> None:
    """Another host would get it."""
    with stand_in_head() as other, stand_in_head(token="right") as head:
        head.answers["GET /api/version"] = (302, other.url.encode())
        with pytest.raises(InputError, match="not the dashboard"):
            JobsClient(head.url, "right").connect()
        assert other.requests == []


def test_no_proxy_gets_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of a proxy are for the Internet; a head is in a private network."""
    with stand_in_head() as proxy, stand_in_head(token="right") as head:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert JobsClient(head.url, "right").connect() == "2.60.0"
        assert proxy.requests == []


def test_a_head_that_is_not_ready_may_be_asked_again() -> None:
    with (
        stand_in_head(answers={"GET /api/jobs/": (503, b"starting")}) as head,
        pytest.raises(Unreachable, match="not ready"),
    ):
        JobsClient(head.url, None).jobs()
