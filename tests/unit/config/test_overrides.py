"""Overrides: the resolved text of a sweep file is the same sweep without them, and a run is named by them."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from optitrip.config.overrides import effective, override, resolved, same, told
from optitrip.errors import InputError
from optitrip.store.lookup import read

SWEEPS = sorted((Path(__file__).parents[3] / "sweeps").glob("*.toml"))
FILE = """\
seed = 0  # of the candidates

[objective]
loss = "m:f"
[objective.arguments]
data = "digits"
table = { b = 1, a.c = 2 }

[space]
W = { shape = [2], normal = [0, 1] }
x.uniform = [0, 1]
"a b" = 3

[[objective.arguments.list]]
n = 1
# the end
"""


@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.stem)
@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("seed=0x2a", "name=other.name"),
        ('objective.arguments.note="\\"a\\\\b\\u0007"', "objective.arguments.when=2026-01-02", "failures.allow=0.5"),
        ("objective.arguments.path=it's\n[space]\nW = 3", "objective.arguments={deep.er = [1, {a = nan}]}", "seed=-1"),
        ("objective.arguments.a.b=1", "objective.arguments.a=2", "objective.'maximize'=true", "run={workers=2}"),
    ],
)
def test_the_resolved_file_is_the_same_sweep(file: Path, overrides: tuple[str, ...], tmp_path: Path) -> None:
    """Identity, items and name, of every sweep of this project; once resolved, it stays as it is."""
    if file.stem == "program" and any("objective" in option for option in overrides):
        pytest.skip("it has no table [objective]")
    sweep = read(file, overrides)
    (tmp_path / "sweep.toml").write_text(sweep.resolved)
    if file.stem == "points":  # which the sweep reads from a table beside it
        shutil.copy(file.with_suffix(".csv"), tmp_path)
    again = read(tmp_path / "sweep.toml")
    assert (again.label, again.items, again.run, again.failures) == (
        sweep.label,
        sweep.items,
        sweep.run,
        sweep.failures,
    )
    assert again.resolved == sweep.resolved
    assert sweep.resolved.startswith(file.read_text().partition("\n")[0])


KEYS = st.sampled_from(
    ["seed", "space", "objective", "arguments", "a", "W", "x", "a b", "normal", "table", "é", "", "."]
)
VALUES = st.sampled_from(
    ["1", "[1, 2]", "text", "{ a = 1 }", '"q"', "{}", "1979-05-27T07:32:00Z", "a = b", "inf", "\x1b"]
)


@given(st.lists(st.tuples(st.lists(KEYS, min_size=1, max_size=4), VALUES), max_size=4))
@example([(["objective", "seed", "seed"], "\x1b")])
@example([(["objective", "seed", "seed"], "1")])
@example([(["objective", "arguments", "list"], "1"), (["objective", "arguments", "table", "a", "c"], "3")])
def test_any_overrides_are_written_into_the_text(given: list[tuple[list[str], str]]) -> None:
    """What they do to the tables is what the text then says, and to apply the effective ones again changes nothing."""
    options = [".".join(f'"{key}"' for key in keys) + f" = {value}" for keys, value in given]
    tables: dict[str, Any] = tomllib.loads(FILE)
    try:
        for option in options:
            override(tables, option)
    except InputError:
        return
    if not isinstance(tables["space"], dict):  # the file is refused
        return
    wanted, kept = {**tables, "name": "n"}, effective(options)
    text = resolved(FILE, options, "n")
    assert same(tomllib.loads(text), wanted)
    assert same(tomllib.loads(resolved(text, kept, "n")), wanted)
    assert set(kept) <= set(options)


def test_comments_and_layout_stay() -> None:
    """Only what is set changes, and the name is added."""
    text = resolved(FILE, ["seed=7", "space.W.normal=[0, 2]"], "mine")
    assert text == FILE.replace("seed = 0  #", "seed = 7  #").replace(
        "candidates\n\n", 'candidates\nname = "mine"\n\n'
    ).replace("normal = [0, 1] }", "normal = [0, 2] }")


def test_what_toml_cannot_hold_is_told_in_comments() -> None:
    """A byte that is no text cannot be a value; a text of a sweep made in Python has no tables to change."""
    assert resolved(FILE, ["objective.arguments.data=\udcff"], "n").endswith(
        "\n# --set objective.arguments.data=\\udcff\n"
    )
    assert resolved("# from Python\n", [], "n") == "# from Python\n"


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["seed=1", "method.screen=low_rank"], {"seed": "1", "screen": "low_rank"}),
        (["space.W.normal=[0,1]"], {"normal": "[0,1]"}),
        (["space.x.uniform=[0,1]", "space.y.uniform=[0,2]"], {"x.uniform": "[0,1]", "y.uniform": "[0,2]"}),
        (["objective.arguments.seed=3", "seed=4"], {"arguments.seed": "3", "seed": "4"}),
        (["run.workers=4", "tracking.experiment=e", "name=z"], {}),
        (['space."a b"=3', 'objective.loss="m:g"'], {'"a b"': "3", "loss": "m:g"}),
    ],
)
def test_short_keys_are_unambiguous(options: list[str], wanted: dict[str, str]) -> None:
    """The last words of a path, as many as it takes; where the sweep runs is not told."""
    text = FILE.replace('"a b" = 3', '"a b" = 3\ny.uniform = [0, 1]') if "y.uniform" in str(options) else FILE
    assert told(resolved(text, options, "n"), options, {}) == wanted
