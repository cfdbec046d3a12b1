"""Addresses of heads, tokens, and which job of Ray this is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from optitrip.errors import InputError
from optitrip.jobs.access import base_url, token
from optitrip.runtime.ray_job import submission_id, vanishes


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("head:8265", "http://head:8265"),
        ("head", "http://head:8265"),
        (" http://head:8265/ ", "http://head:8265"),
        ("10.0.0.1:80", "http://10.0.0.1:80"),
        ("[::1]:8265", "http://[::1]:8265"),
        ("https://ray.example.org", "https://ray.example.org:443"),
        ("https://ray.example.org/proxy/ray/", "https://ray.example.org:443/proxy/ray"),
    ],
)
def test_an_address_may_be_written_in_many_ways(given: str, url: str) -> None:
    assert base_url(given) == url


@pytest.mark.parametrize(
    "given",
    ["", "ray://head:10001", "http://", "head:x", "head:99999", "http://h?a=1", "file:///etc", "a b", "h;ls", "h$(ls)"],
)
def test_a_wrong_address_is_told_with_an_example(given: str) -> None:
    with pytest.raises(InputError, match=r"http://10\.0\.0\.1:8265"):
        base_url(given)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(InputError) as raised:
        base_url("http://me:hunter2@head:8265")
    assert "hunter2" not in str(raised.value)


def test_the_token_is_where_ray_looks_for_it(tmp_path: Path) -> None:
    """The variable, then the file it names, then the file in the home folder; and only in the mode that wants one."""
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("of-home\n")
    (tmp_path / "named").write_text("of-file")
    mode = {"RAY_AUTH_MODE": "token"}
    assert token({"RAY_AUTH_TOKEN": "x"}, tmp_path) is None
    assert token(mode, tmp_path) == "of-home"
    assert token({**mode, "RAY_AUTH_TOKEN_PATH": str(tmp_path / "named")}, tmp_path) == "of-file"
    assert token({**mode, "RAY_AUTH_TOKEN": " mine ", "RAY_AUTH_TOKEN_PATH": "absent"}, tmp_path) == "mine"


@pytest.mark.parametrize("content", [None, b"", b"two\nlines", b"\xff\xfe", "schl\u00fcssel".encode()])
def test_a_missing_or_odd_token_is_told_without_it(tmp_path: Path, content: bytes | None) -> None:
    """It would become a header: nothing but one word of ASCII."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match="RAY_AUTH_TOKEN") as raised:
        token({"RAY_AUTH_MODE": "Token", "RAY_AUTH_TOKEN_PATH": str(file)}, tmp_path)
    assert "lines" not in str(raised.value)


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        (
            "/tmp/ray/session_2026-11-27_07-41-10_123456_789/runtime_resources/working_dir_files/_ray_pkg_1/.optitrip",
            True,
        ),
        ("/scratch/r/session_latest/x", True),
        ("/data/session_1/x", False),
        ("/data/session_latest_results", False),
        ("/shared", False),
    ],
)
def test_what_is_in_rays_session_folder_vanishes(path: str, gone: bool) -> None:
    assert vanishes(Path(path)) is gone


@pytest.mark.parametrize("value", [None, "", "{", "[]", '{"metadata": null}', '{"metadata": {"job_submission_id": 3}}'])
def test_a_process_that_is_no_job_has_no_id(value: str | None) -> None:
    """Also if the variable holds anything else."""
    assert submission_id({} if value is None else {"RAY_JOB_CONFIG_JSON_ENV_VAR": value}) is None


def test_the_id_of_the_job_comes_from_ray() -> None:
    config = json.dumps({"runtime_env": {}, "metadata": {"job_submission_id": "optitrip-a-1", "job_name": "x"}})
    assert submission_id({"RAY_JOB_CONFIG_JSON_ENV_VAR": config}) == "optitrip-a-1"
