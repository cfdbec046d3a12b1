"""Keeps passwords out of what is printed and stored: messages, facts, and exceptions of MLflow, which quote the URI."""

import os
import re
from urllib.parse import quote, quote_plus, unquote, unquote_plus

IN_ENVIRONMENT = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
HIDDEN = "***"
SHORTEST = 4
"""Least length of a secret that is looked for in any text; shorter ones are hidden only inside a URI."""
AUTHORITY = r"((?:https?|mlflow-artifacts)://)([^/?#\s'\"]*)@"
DATABASE = r"(\w[\w.-]*\+?\w*://)([^\s'\"]*)@"
"""A password in the URI of a database may contain slashes, and ends at the last @."""
QUERY = r"(?i)([?&;][^=&;\s]*(?:pass|pwd|token|secret|key|sig|cred|auth)[^=&;\s]*=)([^&;#\s'\"]*)"


def without_password(text: str) -> str:
    """Return a URI, or a text with URIs in it, without passwords and tokens."""
    text = re.sub(AUTHORITY, hide_user, text)
    text = re.sub(DATABASE, lambda found: found[0] if found[1].startswith("http") else hide_user(found), text)
    return re.sub(QUERY, rf"\1{HIDDEN}", text)


def hide_user(found: re.Match[str]) -> str:
    """Hide the password, or what stands in the place of user and password and may be a token."""
    user, colon, _ = found[2].partition(":")
    if found[2].startswith("/"):  # a path
        return found[0]
    return f"{found[1]}{user}:{HIDDEN}@" if colon else f"{found[1]}{HIDDEN}@"


def redacted(text: str, uri: str) -> str:
    """Return a text without the secrets of a URI and of the environment, however they are spelled."""
    secrets = [os.environ.get(name, "") for name in IN_ENVIRONMENT]
    for pattern in (AUTHORITY, DATABASE, QUERY):
        secrets += [found[2].partition(":")[2] or found[2] for found in re.finditer(pattern, uri)]
    spellings = {spell(secret) for secret in secrets for spell in (str, unquote, unquote_plus, quote, quote_plus)}
    spellings |= {quote(unquote(secret), safe="") for secret in secrets}
    for spelling in sorted(spellings, key=len, reverse=True):
        if len(spelling) >= SHORTEST and not spelling.startswith("/"):
            text = text.replace(spelling, HIDDEN)
    return without_password(text)
