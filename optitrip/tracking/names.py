"""Spells names and values of the user's as MLflow takes them."""

import re
from collections import Counter
from collections.abc import Iterable

KEY_LENGTH, VALUE_LENGTH, TAG_LENGTH = 250, 500, 5_000
"""Most characters of a key, of the value of a param, and of that of a tag."""


def key_of(name: str) -> str:
    """Return a name as a key: only letters, digits and some signs, and no path segment that is empty or dots."""
    parts = re.sub(r"[^\w.\- :/]", "_", name)[:KEY_LENGTH].split("/")
    key = "/".join(part if part.strip(".") else f"_{part.replace('.', '_')}" for part in parts)
    return key[:KEY_LENGTH].rstrip("/")


def keys_of(names: Iterable[str]) -> dict[str, str]:
    """Return the key of each name; where keys would be equal, later ones end in a number."""
    seen, keys = Counter[str](), dict[str, str]()
    for name in sorted(names, key=lambda name: key_of(name) != name):  # a name that is a key stays as it is
        key = spelling = key_of(name)
        while key in seen:
            seen[spelling] += 1
            end = f"_{seen[spelling]}"
            key = spelling[: KEY_LENGTH - len(end)] + end
        seen[key] += 1
        keys[name] = key
    return keys


def encodable(text: str, length: int) -> str:
    """Return the beginning of a text, with escapes for what UTF-8 or a database cannot hold."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")[:length]
