"""The summary can be read in a terminal of 80 columns, and its ids and paths can be copied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optitrip.core.observer import Printable
from optitrip.output.outcome import Outcome
from optitrip.output.summary import location, summary, table_as_lines
from optitrip.output.tables import text_lines
from optitrip.output.text import word_wrapped

RUN = "fb29b43482f148a5acab02abb642c815"


class Found(Printable):
    """A best candidate with long words."""

    def fields(self, folder: Any) -> dict[str, Any]:
        return {}

    def rows(self) -> list[tuple[str, str]]:
        words = ", ".join(f"word-{n} = {n / 7}" for n in range(20))
        odd = [("a name " * 20, "1.5"), ("two\nlines", "\x1b")]
        return [("min loss", "1e-300 at candidate 87,294,540"), ("  x", words), *odd]


def outcome(**fields: Any) -> Outcome:
    phases = {"start": 1.25, "search": 1e6, "files": 0.01, **{f"a phase {n}": 12.0 for n in range(9)}}
    given: dict[str, Any] = {"identity": "1a2b3c4d", "status": "stopped", "unit": "candidates", "evaluated": 3}
    given |= {"name": "n" * 64, "items": 100_000_000, "items_per_second": 1234.5, "phases": phases, "best": Found()}
    folder = "a/long path/" + "/".join(["folder"] * 20)
    mlflow = {"experiment": "an experiment with a long name, " * 5, "run_id": RUN}
    failures = {"raised": 219, "nan": 3}
    return Outcome(state_dir=folder, mlflow=mlflow, failures=failures, **given, **fields)


def test_messages_are_folded_at_words() -> None:
    """Long words, indented lines and empty ones stay as they are."""
    text = "the journal is in /a/path/that-is/longer/than a line\n\n  File x, in a traceback of the user\nend"
    assert word_wrapped(text, 16).split("\n") == [
        "the journal is",
        "in",
        "/a/path/that-is/longer/than",
        "a line",
        "",
        "  File x, in a traceback of the user",
        "end",
    ]


def test_a_wide_table_goes_on_below() -> None:
    """Beside its first column again, and never beyond the terminal, unless one column alone is; a wide letter takes two
    columns of the terminal."""
    table = {"index": np.arange(2), "loss": np.array([0.5, 12.25]), "größe": np.arange(2), "重み": np.ones(2)}
    whole = ["index   loss  größe  重み", "    0    0.5      0     1", "    1  12.25      1     1"]
    assert list(text_lines(table)) == list(text_lines(table, 25)) == whole
    assert list(text_lines(table, 24)) == [
        *(line[:19] for line in whole),
        "",
        *(line[:5] + line[19:] for line in whole),
    ]
    assert next(text_lines({"i": np.arange(1), "n" * 50: np.arange(1)}, 20)) == "i  " + "n" * 50


@pytest.mark.parametrize("width", [80, 120, 200])
def test_lines_fit_the_terminal_and_ids_are_whole(width: int) -> None:
    """Only a path or an experiment's name may be longer than the terminal is wide; nothing is padded with blanks."""
    ended = outcome()
    lines = [*summary(ended, width).splitlines(), *location(ended.mlflow or {}).splitlines()]
    long = [line for line in lines if len(line) > width]
    assert all(line.startswith("files ") or " experiment " in line for line in long)
    assert [line.split() for line in lines if RUN in line] == [["run", RUN]]
    assert len([line for line in lines if "/".join(["folder"] * 20) in line]) == 1
    assert lines == [line.rstrip() for line in lines]
    assert "100,000,000 (222 failed: 219 raised, 3 nan)" in " ".join(" ".join(lines).split())
    assert "\x1b" not in "".join(lines)
    words = " ".join(" ".join(lines).split())
    assert ", ".join(f"word-{n} = {n / 7}" for n in range(20)) in words


def test_a_table_is_aligned() -> None:
    """Numbers on the right; a column without a head holds names, on the left."""
    lines = table_as_lines((["", "x", "dx"], [["a", "1.25", "-3"], ["bcd", "10", "4"]]))
    assert lines == ["    |    x | dx", "----+------+---", "a   | 1.25 | -3", "bcd |   10 |  4"]
