"""The location of MLflow's store: a URI, in which the special characters of a path are quoted."""

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

from optitrip.runtime.files import working_folder

SQLITE = "sqlite:///"


def tracking_uri() -> str:
    """Return MLFLOW_TRACKING_URI, by default a file in the working directory; relative paths become absolute."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"
    if uri.startswith(SQLITE) and uri != SQLITE:
        return SQLITE + str(Path(quoted(working_folder()), uri.removeprefix(SQLITE)))
    if ":" not in uri and not uri.startswith(("/", "databricks")):  # a folder
        return str(working_folder() / uri)
    # In a text, a URI ends there, and with it what is known to be its password.
    return re.sub(r"[\s'\"]", lambda found: quote(found[0]), uri.strip()) if "://" in uri else uri


def quoted(path: Path) -> str:
    """Return a path as a part of a URI."""
    return str(path).replace("%", "%25").replace("?", "%3F")


def store_file(uri: str) -> Path | None:
    """Return the file of a SQLite store; None for another store."""
    path = uri.removeprefix(SQLITE).partition("?")[0]
    return Path(unquote(path, errors="surrogateescape")) if uri.startswith(SQLITE) and path else None
