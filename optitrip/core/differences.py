"""Flattening and comparing nested tables, and suggestions for unknown words."""

import json
from collections.abc import Mapping
from typing import Any

KNOWN_LISTED, CHANGES_LISTED = 20, 12


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
    """Return the changes from one nested table to another, as lines like `seed: 0 -> 1`; the last counts those left out
    of a long list."""
    before, after = flat(old), flat(new)
    changed = [
        f"{key}: {before.get(key, '(none)')} -> {after.get(key, '(none)')}"
        for key in sorted(before.keys() | after.keys())
        if json.dumps(before.get(key), default=repr) != json.dumps(after.get(key), default=repr)
    ]
    left_out = len(changed) - CHANGES_LISTED
    return [*changed[:CHANGES_LISTED], f"and {left_out} more"] if left_out > 0 else changed


def nearest(given: str, known: list[str]) -> str:
    """Return the end of an error message about an unknown word: the nearest known word, then all of them."""
    from difflib import get_close_matches

    listed = ", ".join(known[:KNOWN_LISTED]) or "none"
    listed += f" and {len(known) - KNOWN_LISTED} more" if len(known) > KNOWN_LISTED else ""
    close = get_close_matches(given, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}? (known: {listed})" if close else f"known: {listed}"
