"""Reads the address of a cluster's Jobs API, and the token that it wants."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from optitrip.errors import InputError

PORT = 8265
"""Default port of Ray's dashboard, which serves the Jobs API."""
WANTED = "wanted the address of the dashboard of the cluster's head, e.g. http://10.0.0.1:8265"
ADVICE = "export RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (`ray get-auth-token` on the head shows it)"


def base_url(address: str) -> str:
    """Return an address as a URL without a slash at its end; raise InputError if it cannot be one."""
    given = address.strip()
    url = urlsplit(given if "://" in given else f"http://{given}")
    try:
        host, port = url.hostname, url.port
    except ValueError:
        raise InputError(f"--address {address}: {WANTED}") from None
    if "@" in url.netloc:
        raise InputError(f"--address: a user or password in the address would be shown by other commands; {WANTED}")
    if url.scheme not in ("http", "https") or not host or not re.fullmatch(r"[\w.:%-]+", host):
        raise InputError(f"--address {address}: {WANTED}")
    if url.query or url.fragment:
        raise InputError(f"--address {address}: {WANTED}")
    host = f"[{host}]" if ":" in host else host
    default = 443 if url.scheme == "https" else PORT
    return f"{url.scheme}://{host}:{port or default}{url.path.rstrip('/')}"


def token(environment: Mapping[str, str] = os.environ, home: Path | None = None) -> str | None:
    """Return the token as Ray's own client finds it; None if RAY_AUTH_MODE does not ask for one.

    Raise InputError if there is none, or its file cannot be read.
    """
    if environment.get("RAY_AUTH_MODE", "").lower() != "token":
        return None
    found = environment.get("RAY_AUTH_TOKEN", "")
    if not found.strip():
        named = environment.get("RAY_AUTH_TOKEN_PATH")
        file = Path(named) if named else (home or Path.home()) / ".ray" / "auth_token"
        try:
            found = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise InputError(f"RAY_AUTH_MODE is token, but {file} cannot be read: {reason}; {ADVICE}") from None
    found = found.strip()
    if not found or not re.fullmatch(r"[!-~]+", found):
        raise InputError(f"RAY_AUTH_MODE is token, but the token is empty or not one word; {ADVICE}")
    return found
