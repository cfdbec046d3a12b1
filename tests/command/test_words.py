"""The user's words in our output: shown as they are, obeyed by nobody, on the terminal, in files and in MLflow."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from command import optitrip as command
from optitrip.output.formats import npz_bytes
from optitrip.output.pictures import images_png
from optitrip.output.tables import parquet_bytes
from optitrip.output.text import plain, short_name

LONG = "x" * 3_000
NAMES = {  # a name of the user's, and how it is shown
    "speed [/m]": "speed [/m]",
    "[red]mass[/red]": "[red]mass[/red]",
    ":rocket:": ":rocket:",
    "half\udce9": r"half\udce9",
    "two\nlines": r"two\nlines",
    "a\ttab": r"a\ttab",
    "\x1b[2J": r"\x1b[2J",
    "\u202egnihtyreve": r"\u202egnihtyreve",
    "100 %s {0}": "100 %s {0}",
    "$\\frac$": "$\\frac$",
    LONG: "x" * 40 + "..." + "x" * 17,
    "": "''",
    "seconds": "'seconds'",
    "memory": "'memory'",
    "files": "'files'",
    "low_index": "low index",
    "coordinate": "coordinate",
}
LOSS = f"""
import numpy as np
NAMES = {list(NAMES)!r}

class Loss:
    def __call__(self, x):
        return {{"loss": x * x, **{{name: number for number, name in enumerate(NAMES)}}}}

    def report(self, x):
        return {{name: number for number, name in enumerate(NAMES)}}

    def images(self, x):
        return {{name: np.eye(2) for name in NAMES[:6]}}

def fails(x):
    raise ValueError("[/b] \\x1b[2J \\u202e :rocket: $\\\\frac$")
"""


def write(folder: Path, loss: str, method: str = 'use = "search"\ncandidates = 20', tracking: str = "none") -> None:
    (folder / "words.py").write_text(LOSS)
    (folder / "words.toml").write_text(
        f'[objective]\nloss = "words:{loss}"\n[space]\nx = {{ uniform = [1, 2] }}\n[method]\n{method}\n'
        f'[run]\nexecutor = "serial"\n[tracking]\nuse = "{tracking}"\n'
    )


@pytest.mark.parametrize("method", ['use = "search"\ncandidates = 20', 'use = "gradient"\nat = { fill = 1.5 }'])
def test_names_of_a_dict_loss_are_shown_as_they_are(tmp_path: Path, method: str) -> None:
    """In the table, without markup, pictures or escapes, each with its number; and in --json as they were."""
    write(tmp_path, "Loss", method)
    said = command(tmp_path, "sweep", "words.toml")
    assert said.returncode == 0, said.stderr
    for number, shown in enumerate(NAMES.values()):
        assert re.search(rf"^{re.escape(shown)} +{number} *$", said.stdout, re.MULTILINE), shown
    found = json.loads(command(tmp_path, "sweep", "words.toml", "--json").stdout)
    assert found["report"] == {name: float(number) for number, name in enumerate(NAMES)}
    assert [notice["code"] for notice in found["notices"]] == ["stored-result"]  # no picture was left out


def test_an_exceptions_words_are_shown_as_they_are(tmp_path: Path) -> None:
    """By the sweep and by `show`, whose output a terminal would obey."""
    write(tmp_path, "fails")
    said = command(tmp_path, "sweep", "words.toml").stderr
    shown = command(tmp_path, "show", "words", "--failures").stdout
    for text in (said, shown):
        assert r"ValueError: [/b] \x1b[2J \u202e :rocket: $\frac$" in text
    again = command(tmp_path, "replay", "words", "3")
    assert (again.returncode, "\x1b" in again.stderr) == (1, False)


@pytest.mark.parametrize("name", ["index", "index\n", 3, None])
def test_index_is_no_name_of_a_number(tmp_path: Path, name: object) -> None:
    """It is a column of ours: said so for each candidate, while names that only look like it are fine."""
    (tmp_path / "own.py").write_text(f"def loss(x):\n    return {{'loss': x, {name!r}: 1.0}}\n")
    write(tmp_path, "Loss")
    said = command(tmp_path, "sweep", "words.toml", "--set", "objective.loss=own:loss")
    refused = f"a number beside the loss cannot be called {name!r}"
    assert (said.returncode, refused in said.stderr) == ((0, False) if name == "index\n" else (1, True))


def test_plain_text() -> None:
    """Letters of all scripts, spaces and line ends stay; what acts on a terminal is escaped."""
    kept = "größe 漢字 עברית \U0001f680 1\xa0000\n\tx"
    assert plain(kept) == kept
    assert plain("\x1b\x00\x7f\x9b\u200f\u2028\ud800") == r"\x1b\x00\x7f\x9b\u200f\u2028\ud800"
    assert short_name("a\nb") == r"a\nb"
    assert len(short_name(LONG)) == 60


def test_names_in_files() -> None:
    """Columns and arrays can be read back, by names of which UTF-8 has no spelling in escapes."""
    import io

    columns = {name: np.array([1.0, 2.0]) for name in NAMES}
    table = pq.read_table(io.BytesIO(parquet_bytes(columns)))
    assert table.column_names == [name.encode(errors="backslashreplace").decode() for name in NAMES]
    assert table.num_rows == 2
    values = {"x": np.zeros(2), "x.npy": np.ones(3), "half\udce9": np.ones(4)}
    assert set(np.load(io.BytesIO(npz_bytes(values))).files) == {"x", "x.npy", r"half\udce9"}


def test_names_in_pictures() -> None:
    """They are no formulas, and a letter that the font lacks is no reason for a warning."""
    assert images_png({name: np.eye(2) for name in ["$\\frac$", "$", "漢字", "\x1b", LONG]}, "$\\frac$ 漢字")
