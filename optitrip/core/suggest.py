"""Suggestions for unknown words."""

from __future__ import annotations

KNOWN_LISTED = 20


def nearest(given: str, known: list[str]) -> str:
    """Return the end of an error message about an unknown word: the nearest known word, then all of them."""
    from difflib import get_close_matches

    close = get_close_matches(given, known, n=1, cutoff=0.6)
    listed = ", ".join(known[:KNOWN_LISTED]) or "none"
    listed += f" and {len(known) - KNOWN_LISTED} more" if len(known) > KNOWN_LISTED else ""
    return f"did you mean {close[0]}? (known: {listed})" if close else f"known: {listed}"
