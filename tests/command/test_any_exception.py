"""User code may raise what is no `Exception`, wherever it is called; only a signal is an interruption."""

from __future__ import annotations

import json
import os
import signal
import textwrap
from itertools import cycle
from pathlib import Path
from types import FrameType

import pytest

import optitrip
from command import optitrip as command

CODE = """
import asyncio
import numpy as np

class Panic(BaseException):
    pass

ERRORS = {"panic": Panic("at the disco"), "interrupt": KeyboardInterrupt("at the disco"),
          "end": GeneratorExit("at the disco"), "cancelled": asyncio.CancelledError("at the disco")}

class Evil:
    def __init__(self, where, error):
        self.where, self.error = where, error
        self.at("build")

    def at(self, where, index=2):
        if where == self.where and index == 2:
            raise ERRORS[self.error]

    def __getattr__(self, name):
        if name == "block":
            self.at("offers")
        raise AttributeError(name)

    def order(self):
        self.at("order")
        return np.arange(4)

    def digest(self):
        self.at("digest")
        return "the same"

    def report(self, x):
        self.at("report")
        return {"largest": float(x.max())}

    def images(self, x):
        self.at("images")
        return {}

    def __call__(self, x):
        return Number(self, float(x @ x))

class Structured(Evil):
    def around(self, x):
        self.at("around")
        return Around(self, x)

class Around:
    def __init__(self, loss, x):
        self.loss, self.x = loss, x

    def deltas(self, coordinates, steps):
        self.loss.at("deltas")
        return steps * (2 * self.x[coordinates] + steps)

class Sloped(Evil):
    def gradient(self, x):
        self.at("gradient")
        return 2 * x

class Number:
    def __init__(self, loss, value):
        self.loss, self.value = loss, value

    def __float__(self):
        self.loss.at("float", index=2 if self.value > 1 else 0)
        return self.value
"""
SEARCH, GRADIENT = 'use = "search"\ncandidates = 30', 'use = "gradient"\nat = { fill = 1.0 }'
RECORDED = {  # where it is raised: what of, the method, exit status, words
    "float": ("Evil", SEARCH, 3, "(raised), with"),
    "report": ("Evil", SEARCH, 3, "(its report raised), with"),
    "images": ("Evil", SEARCH, 0, "the objective could not draw its parameters"),
    "around": ("Structured", GRADIENT, 1, "no answer: "),
    "deltas": ("Structured", GRADIENT, 1, "no answer: "),
    "gradient": ("Sloped", GRADIENT, 3, "(its analytic gradient raised), with"),
    "build": ("Evil", SEARCH, 2, "evil.toml:4: objective.arguments: objective evil:Evil: building it raised:"),
    "order": ("Evil", SEARCH, 2, "evil.toml:4: objective.arguments: evil:Evil: its order raised:"),
    "offers": ("Evil", SEARCH, 0, "block: reading it raised"),
    "digest": ("Evil", SEARCH, 2, "evil.toml:2: objective.loss: objective evil:Evil: its digest raised:"),
}


def sweep_file(folder: Path, where: str, error: str, name: str = "evil") -> Path:
    kind, method, *_ = RECORDED[where]
    path = folder / f"{name}.toml"
    path.write_text(
        f'[objective]\nloss = "evil:{kind}"\n\narguments = {{ where = "{where}", error = "{error}" }}\n'
        f"[space]\nx = {{ shape = [4], normal = [0, 1] }}\n[method]\n{method}\n"
        '[run]\nexecutor = "serial"\n[tracking]\nuse = "none"\n'
    )
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "evil.py").write_text(textwrap.dedent(CODE))
    return tmp_path


@pytest.mark.mostly_daily
@pytest.mark.parametrize(("where", "error"), list(zip(RECORDED, cycle(["panic", "interrupt"]))))
def test_whatever_user_code_raises_is_told(folder: Path, where: str, error: str) -> None:
    """By the command, as any exception is: with where it was raised and what it says."""
    *_, status, words = RECORDED[where]
    said = command(folder, "sweep", sweep_file(folder, where, error).name)
    assert said.returncode == status, said.stderr
    assert words in said.stderr
    assert "at the disco" in said.stderr


@pytest.mark.parametrize("error", ["end", "cancelled"])
def test_a_failed_item_is_shown_and_replayed(folder: Path, error: str) -> None:
    """With its index, its type, and the traceback of the loss."""
    sweep_file(folder, "float", error)
    (folder / "plain.py").write_text(
        "from evil import ERRORS\ndef loss(x, error):\n    if x > 1:\n        raise ERRORS[error]\n    return x\n"
    )
    (folder / "plain.toml").write_text(
        f'objective = {{ loss = "plain:loss", arguments = {{ error = "{error}" }} }}\n'
        f"space = {{ x = {{ uniform = [0, 2] }} }}\n"
        f'run = {{ executor = "serial" }}\ntracking = {{ use = "none" }}\n[method]\n{SEARCH}\n'
    )
    assert command(folder, "sweep", "plain.toml").returncode == 3
    shown = json.loads(command(folder, "show", "plain", "--json").stdout)
    failed = shown["stages"][0]["failures"]["raised"]
    index = failed["indices"][0][0]
    assert failed["first"][0]["index"] == index
    replayed = command(folder, "replay", "plain", str(index))
    assert replayed.returncode == 1
    assert 'plain.py", line 4, in loss' in replayed.stderr
    assert "at the disco" in replayed.stderr


def presses_ctrl_c(x: float) -> float:
    if x > 1:
        signal.raise_signal(signal.SIGINT)
    return x


def replaces_it(x: float) -> float:
    """It takes every exception for a mistake of its own."""
    try:
        return presses_ctrl_c(x)
    except BaseException:
        raise ValueError("something went wrong") from None


def swallows_it(x: float) -> float:
    try:
        return presses_ctrl_c(x)
    except BaseException:
        return 2.0


@pytest.mark.parametrize("loss", [presses_ctrl_c, replaces_it, swallows_it])
def test_ctrl_c_ends_the_call_whatever_the_loss_makes_of_it(loss: object) -> None:
    """It is no failure of the item that was evaluated, and the handler of before is there again."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(optitrip.Interrupted) as caught:
        optitrip.search(loss, {"x": {"uniform": [0, 2]}}, candidates=10**9, executor="serial")
    assert caught.value.outcome.failed == 0
    assert signal.getsignal(signal.SIGINT) is before
    calm = optitrip.search(abs_of, {"x": {"uniform": [0, 2]}}, candidates=100, executor="serial")
    assert calm.failures == {}


def abs_of(x: float) -> float:
    return abs(x)


class OverTime(BaseException):
    pass


@pytest.mark.parametrize("error", [OverTime, SystemExit])
def test_the_callers_time_limit_ends_the_call(error: type[BaseException]) -> None:
    """As that of pytest-timeout does, or an exit that somebody asks for."""

    def too_late(number: int, frame: FrameType | None) -> None:
        raise error

    def slow(x: float) -> float:
        os.kill(os.getpid(), signal.SIGALRM)
        return x

    before = signal.signal(signal.SIGALRM, too_late)
    try:
        with pytest.raises(error):
            optitrip.search(slow, {"x": {"uniform": [0, 2]}}, candidates=100, executor="serial")
        assert signal.getsignal(signal.SIGALRM) is too_late
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_time_limit_of_the_loss_is_its_own() -> None:
    """An alarm that it sets for each item fails that item."""

    def too_late(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt("too late")

    def limited(x: float) -> float:
        before = signal.signal(signal.SIGALRM, too_late)
        try:
            if x > 1:
                signal.raise_signal(signal.SIGALRM)
            return x
        finally:
            signal.signal(signal.SIGALRM, before)

    found = optitrip.search(limited, {"x": {"uniform": [0, 2]}}, candidates=100, executor="serial")
    assert found.failures == {"raised": int((found.candidates.values(range(100))["x"] > 1).sum())}
