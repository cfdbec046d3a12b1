"""Differences between nested tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested tables into one with dotted keys."""
    pairs: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            pairs.update(flat(value, f"{prefix}{key}."))  # pyright: ignore[reportUnknownArgumentType]
        else:
            pairs[f"{prefix}{key}"] = value
    return pairs


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what changed from one nested table to another, as lines like `seed: 0 -> 1`."""
    before, after = flat(old), flat(new)
    return [
        f"{key}: {before.get(key, '(none)')} -> {after.get(key, '(none)')}"
        for key in sorted(before.keys() | after.keys())
        if json.dumps(before.get(key), default=repr) != json.dumps(after.get(key), default=repr)
    ]
