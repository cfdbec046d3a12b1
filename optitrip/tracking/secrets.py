"""Keeps passwords out of what is printed and stored: messages, facts, and exceptions of MLflow, which quote the URI."""

import os
import re
from base64 import b64encode
from urllib.parse import quote, quote_plus, unquote, unquote_plus

HIDDEN = "***"
SHORTEST = 4
"""Least length of a secret that is looked for in any text; shorter ones are hidden only inside a URI."""
# A password may contain slashes, which should be quoted: what follows the first colon is then no port.
WEB = r"((?:https?|mlflow-artifacts)://)([^/?#\s'\"]*|[^/?#:\s'\"]*:(?!\d*[/?#\s'\"])[^\s'\"]*)@"
# A password for a database may contain slashes; it ends at the last @. What begins with a slash is a path.
DATABASE = r"((?<![\w.+-])(?!https?:|mlflow-artifacts:)[\w.+-]+://)(?!/)([^\s'\"]*)@"
NAMED = "pass|pw|token|secret|key|sig|cred|auth|jwt|bearer|session|sas"
QUERY = rf"(?i)([?&;#][^=&;#\s]*(?:{NAMED})[^=&;#\s]*=)([^&;#\s'\"]*)"
"""Patterns of what may hold a secret: what stands before it, and itself, in a URI with its user."""


def without_password(text: str) -> str:
    """Return a URI, or a text with URIs in it, without passwords and tokens."""
    for pattern in (WEB, DATABASE):
        text = re.sub(pattern, hide_user, text)
    return re.sub(QUERY, rf"\1{HIDDEN}", text)


def without_user(server: str) -> str:
    """Return the address of a server alone, without user, query and fragment."""
    return re.split("[?#]", re.sub(WEB, r"\1", server))[0].rstrip("/")


def hide_user(found: re.Match[str]) -> str:
    """Hide the password, or what stands in the place of user and password and may be a token."""
    user, colon, _ = found[2].partition(":")
    return f"{found[1]}{user}:{HIDDEN}@" if colon else f"{found[1]}{HIDDEN}@"


def redacted(text: str, uri: str) -> str:
    """Return a text without the secrets of a URI and of the environment, however they are spelled."""
    users = [found[2] for pattern in (WEB, DATABASE) for found in re.finditer(pattern, uri)]
    users.append(":".join(os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD")))
    secrets = [user.partition(":")[2] or user for user in users]
    secrets += [os.environ.get("MLFLOW_TRACKING_TOKEN", ""), *(found[2] for found in re.finditer(QUERY, uri))]
    secrets += [quote(secret, safe="") for secret in secrets] + [unquote(secret) for secret in secrets]
    spellings = {spell(secret) for secret in secrets for spell in (str, unquote_plus, quote, quote_plus)}
    spellings |= {b64encode(spell(user).encode()).decode() for user in users for spell in (str, unquote)}  # as a header
    for spelling in sorted(spellings, key=len, reverse=True):
        if len(spelling) >= SHORTEST and spelling != b64encode(b":").decode():
            text = text.replace(spelling, HIDDEN)
    return without_password(text)
