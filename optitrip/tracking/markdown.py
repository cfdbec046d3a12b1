"""Markdown in which all text of the user's stays literal."""

import re

from optitrip.output.text import one_line


def literal(text: str) -> str:
    """Return text on one line, with its special characters as entities, which Markdown shows and does not interpret."""
    return re.sub(r"[\\`*_<>|&~#$]|\](?=[(:\[])", lambda special: f"&#{ord(special[0])};", one_line(text).strip())


def code(text: str) -> str:
    """Return text on one line as code, in a longer fence than any in it."""
    line = one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"


def table(heads: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table; its entries are Markdown."""
    lines = [[head.replace("|", "&#124;") for head in heads], ["---"] * len(heads), *rows]
    return [f"| {' | '.join(entry.strip() for entry in line)} |" for line in lines]


def clipped(text: str, length: int) -> str:
    """Return the beginning of a text."""
    line = one_line(text).strip()
    return line if len(line) <= length else f"{line[: length - 1]}…"
