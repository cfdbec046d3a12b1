"""A mistake in what a sweep file names is told with the line that names it, or the option."""

from __future__ import annotations

from pathlib import Path

import pytest

from command import optitrip as command

MODULE = """
class Own:
    block = 0
    def __call__(self, x): return x

class Screened:
    screens = ("quick",)
    def screen(self, word): raise BaseException("no screen today")
    def __call__(self, x): return x

def loss(x): return x
def make(): raise GeneratorExit("not made")
def needs(x, *, rate): return x
"""
SWEEP = """seed = 0
[objective]
loss = "placed:loss"

[space]
x = { uniform = [0, 1] }
[method]
use = "search"
candidates = 9
[run]
executor = "serial"
[tracking]
use = "none"
"""
GRADIENT = {'use = "search"': 'use = "gradient"', "candidates = 9": "AT"}
CASES: list[tuple[dict[str, str], str]] = [
    ({"placed:loss": "nowhere:loss"}, "3: objective.loss: objective nowhere:loss: there is no module 'nowhere'"),
    (
        {"placed:loss": "placed:lost"},
        "3: objective.loss: objective placed:lost: placed has no 'lost'; did you mean",
    ),
    ({'loss = "placed:loss"': 'make = "placed:make"'}, "3: objective.make: objective placed:make: building it raised"),
    ({"placed:loss": "placed:Own"}, "3: objective.loss: placed:Own: its block was 0"),
    ({"\n\n": "\narguments = { y = 1 }\n"}, "4: objective.arguments: objective placed:loss: the arguments do not fit"),
    ({"x = { uni": "z = { uni"}, "5: space: objective placed:loss: its parameters do not match the space"),
    ({"placed:loss": "placed:needs"}, "5: space: objective placed:needs: its parameters do not match the space"),
    ({"= 9": '= 9\nscreen = "slow"'}, "10: method.screen: placed:loss offers no screen 'slow'"),
    (
        {"placed:loss": "placed:Screened", "= 9": '= 9\nscreen = "quick"'},
        "10: method.screen: objective placed:Screened: its screen 'quick' raised:\n",
    ),
    (
        {"placed:loss": "optitrip.objectives:Softmax", "\n\n": '\narguments = { data = "cifar10", path = "none" }\n'},
        "4: objective.arguments: objective optitrip.objectives:Softmax: ",
    ),
    ({**GRADIENT, "AT": 'at = { file = "none.npz" }'}, "9: method.at.file: "),
    ({**GRADIENT, "AT": 'at = { best_of = "none" }'}, "9: method.at.best_of: there is no finished"),
    ({'"none"': f'"none"\nexperiment = "{"e" * 501}"'}, "14: tracking.experiment: was "),
]


def write(folder: Path, changes: dict[str, str]) -> None:
    text = SWEEP
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "placed.py").write_text(MODULE)
    (folder / "bad.toml").write_text(text)


@pytest.mark.parametrize(("changes", "words"), CASES, ids=[words.split(":")[1].strip() for _, words in CASES])
def test_a_mistake_has_its_line(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    """File, line, key, and then what is wrong."""
    write(tmp_path, changes)
    said = command(tmp_path, "sweep", "bad.toml")
    assert said.returncode == 2
    assert said.stderr.startswith(f"bad.toml:{words}"), said.stderr


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("objective.loss=nowhere:loss", "objective.loss: objective nowhere:loss: there is no module"),
        ("objective.arguments={ y = 1 }", "objective.arguments: objective placed:loss: the arguments do not fit"),
        ("space.x.dtype='int7'", "space.x.dtype: was 'int7'"),
        ("method.screen=slow", "method.screen: placed:loss offers no screen 'slow'"),
    ],
)
def test_a_mistake_in_an_option_names_it(tmp_path: Path, option: str, words: str) -> None:
    """It is not in the file."""
    write(tmp_path, {})
    said = command(tmp_path, "sweep", "bad.toml", "--set", option)
    assert (said.returncode, said.stderr.startswith(f"--set {option}: {words}")) == (2, True), said.stderr
