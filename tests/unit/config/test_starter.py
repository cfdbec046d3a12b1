"""The sweep file written for a loss is complete: it reads back, with the space of the loss, and the loss loads."""

from __future__ import annotations

import itertools
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optitrip.app.load_objective import load
from optitrip.config.starter import starter, write
from optitrip.config.sweep import Sweep
from optitrip.errors import InputError
from optitrip.methods.registry import LEGS, METHODS, find
from optitrip.store.lookup import read

numbers = itertools.count()
HEAD = """\
from __future__ import annotations
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal
import numpy as np
from numpy.typing import NDArray
if TYPE_CHECKING:
    from user_types import Thing
class Color(str, Enum):
    RED = "red"
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the sweep file, which is not the working directory; what is imported is forgotten afterwards."""
    (tmp_path / "sweeps").mkdir()
    monkeypatch.chdir(tmp_path)
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path / "sweeps"
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("user_"):
            del sys.modules[name]


def module(folder: Path, code: str) -> str:
    """Write a module, under a name that no other test has."""
    name = f"user_starter_{next(numbers)}"
    (folder / f"{name}.py").write_text(HEAD + textwrap.dedent(code), encoding="utf-8")
    return name


def started(folder: Path, code: str, name: str = "f") -> Sweep:
    """The sweep that is written for `name` of a module, once the loss was loaded with it."""
    sweep = read(write(f"{module(folder, code)}:{name}", folder))
    load(sweep)
    return sweep


def refused(folder: Path, code: str, name: str = "f") -> str:
    with pytest.raises(InputError) as caught:
        write(f"{module(folder, code)}:{name}", folder)
    assert not list(folder.glob("*.toml"))
    return str(caught.value)


NORMAL = {"normal": [0.0, 1.0]}
REQUIRED: dict[str, dict[str, Any]] = {
    "x": NORMAL,
    "x: float": NORMAL,
    "x: np.float32": NORMAL,
    "x: Thing": NORMAL,
    "x: int": {"integer": [1, 10]},
    "x: np.int64": {"integer": [1, 10]},
    "x: bool": {"choice": (True, False)},
    "x: str": {"choice": ("...",)},
    "x: Literal['a', 2, True]": {"choice": ("a", 2, True)},
    "x: Literal['a', None]": {"choice": ("a",)},
    "x: int | None": {"integer": [1, 10]},
    "x: Annotated[int, 'of steps']": {"integer": [1, 10]},
    "x: np.ndarray": {**NORMAL, "shape": [3]},
    "x: NDArray[np.float64]": {**NORMAL, "shape": [3]},
    "x: list": {**NORMAL, "shape": [3]},
    "x: list[float] | None": {**NORMAL, "shape": [3]},
    "*, x: int": {"integer": [1, 10]},
    "a: Thing, x: int": {"integer": [1, 10]},
}
DEFAULTS: dict[str, dict[str, Any] | None] = {
    "True": {"choice": (True, False)},
    "np.True_": {"choice": (True, False)},
    "3": {"integer": [1, 6]},
    "1": {"integer": [1, 2]},
    "0": {"integer": [0, 1]},
    "-3": {"integer": [-6, 1]},
    "np.int32(3)": {"integer": [1, 6]},
    "2**50": {"choice": (2**50,)},
    "-2**80": {"choice": (-(2**80),)},
    "1e-3": {"log_uniform": [1e-4, 1e-2]},
    "3e-5": {"log_uniform": [3e-6, 3e-4]},
    "2e4": {"log_uniform": [2e3, 2e5]},
    "0.5": {"uniform": [0.25, 1.0]},
    "np.float32(0.5)": {"uniform": [0.25, 1.0]},
    "np.array(0.5)": {"uniform": [0.25, 1.0]},
    "-0.01": {"uniform": [-0.02, -0.005]},
    "0.0": NORMAL,
    "5e-324": {"choice": (5e-324,)},
    "1.5e308": {"choice": (1.5e308,)},
    "-1.5e308": {"choice": (-1.5e308,)},
    "'rbf'": {"choice": ("rbf",)},
    "'a\"b\\\\\\n\\x7f\\x00\\u00a0\\U0001f600'": {"choice": ('a"b\\\n\x7f\x00\u00a0\U0001f600',)},
    "(0.0, 3.0)": {"normal": [1.5, 1.5], "shape": [2]},
    "[[2.0, 2.0, 2.0]]": {"normal": [2.0, 2.0], "shape": [1, 3]},
    "np.zeros((2, 3))": {**NORMAL, "shape": [2, 3]},
    "(64, 32)": {"integer": [1, 128], "shape": [2]},
    "np.full(2, 1e308)": None,
    "[]": None,
    "[[1], [2, 3]]": None,
    "['a']": None,
    "[True]": None,
    "None": None,
    "float('inf')": None,
    "float('nan')": None,
    "'\\ud800'": None,
    "1j": None,
    "print": None,
    "{'a': 1}": None,
    "object()": None,
    "Color.RED": None,
}


@pytest.mark.parametrize("signature", REQUIRED)
def test_a_parameter_without_default_is_guessed_from_its_annotation(here: Path, signature: str) -> None:
    """Whatever its annotation says, a parameter that the loss wants has a distribution."""
    described = started(here, f"def f({signature}): pass").space.describe()
    assert described.pop("x") == REQUIRED[signature]
    assert described == ({"a": NORMAL} if signature.startswith("a") else {})


@pytest.mark.parametrize("default", DEFAULTS)
def test_a_default_lies_within_its_distribution(here: Path, default: str) -> None:
    """A default that a sweep file can hold is varied around itself; another one stays, and a comment says so."""
    sweep = started(here, f"def f(other, x={default}): pass")
    assert sweep.space.describe() == {"other": NORMAL} | ({"x": DEFAULTS[default]} if DEFAULTS[default] else {})
    mentioned = "# x = ...  " if DEFAULTS[default] is None else "  # default "
    assert sum(mentioned in line for line in sweep.text.splitlines()) == 1


def test_the_values_of_a_literal_win_over_a_default(here: Path) -> None:
    """The annotation knows all of the values, the default one."""
    described = started(here, "def f(x: Literal['a', 'b'] = 'b', y: Literal[1, 2] | None = 2): pass").space.describe()
    assert described == {"x": {"choice": ("a", "b")}, "y": {"choice": (1, 2)}}


CALLED: dict[str, tuple[str, list[str]]] = {
    "rest": ("def f(x, *args: Thing, y=1.0, **rest: 'Thing'): pass", ["x", "y"]),
    "position only": ("def f(p=1.0, /, x=1.0): pass", ["p", "x"]),
    "built in": ("from math import atan2 as f", ["y", "x"]),
    "ufunc": ("from numpy import sin as f", ["x"]),
    "another alphabet": ("def f(é, 温度=1.0): pass", ["é", "温度"]),
    "bare words": ("def f(inf, nan, true, shape): pass", ["inf", "nan", "true", "shape"]),
    "lambda": ("f = lambda x: x", ["x"]),
    "partial": ("from functools import partial\nf = partial(lambda a, x: a, 1.0)", ["x"]),
    "wrapped": (
        "from functools import wraps\ndef g(x, y): pass\n@wraps(g)\ndef f(*args, **kwargs): return g(*args, **kwargs)",
        ["x", "y"],
    ),
    "instance": ("class C:\n    def __call__(self, x, y=2): pass\nf = C()", ["x", "y"]),
    "batched instance": ("class C:\n    def losses(self, x): pass\nf = C()", ["x"]),
    "class": ("class f:\n    def __init__(self, n=1): pass\n    def __call__(self, x, y=2): pass", ["x", "y"]),
    "class without constructor": ("class f:\n    def __call__(self, x): pass", ["x"]),
    "batched class": ("class f:\n    def losses(self, x): pass", ["x"]),
    "static": ("class f:\n    @staticmethod\n    def losses(x, y): pass", ["x", "y"]),
    "dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass f:\n    n: int = 2\n    def __call__(self, x): pass",
        ["x"],
    ),
    "inherited": ("class g:\n    def __call__(self, x, y): pass\nclass f(g): pass", ["x", "y"]),
    "same name twice": ("class f:\n    def __init__(self, x=1): pass\n    def __call__(self, x): pass", ["x"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLED)
def test_the_space_is_what_the_loss_takes(here: Path, case: str) -> None:
    """Functions, objects and classes, with their parameters in their order, and no others."""
    code, names = CALLED[case]
    assert started(here, code).space.names == names


def test_a_class_is_given_what_it_requires(here: Path) -> None:
    """Required arguments of the constructor stand in [objective.arguments], its defaults there as comments."""
    code = """
    class f:
        def __init__(self, a, b: str, c: int, d: Literal["u", "v"], e: np.ndarray, g=2.0, h={1: 2}, *, i: bool):
            pass
        def __call__(self, x):
            pass
    """
    sweep = started(here, code)
    arguments = {"a": 1.0, "b": "...", "c": 1, "d": "u", "e": [1.0, 1.0, 1.0], "i": True}
    assert sweep.objective.arguments == arguments
    assert "# g = 2.0\n" in sweep.text
    assert "# h = ..." in sweep.text


def test_comments_are_toml_too(here: Path) -> None:
    """The defaults of a class, and the gradient in place of the search, need no more than their `# ` taken away."""
    code = """
    class f:
        def __init__(self, a=1e-5, b=(1, 2), c="d", e={"g h": [True]}, h=float("inf")): pass
        def __call__(self, x: float): pass
    """
    text = started(here, code).text
    table, (_, gradient, *_) = text.partition("[space]")[0], text.split("# [method]")
    assert tomllib.loads(table.partition("[objective.arguments]")[2].replace("# ", "")) == {
        "a": 1e-5, "b": [1, 2], "c": "d", "e": {"g h": [True]}, "h": np.inf,
    }  # fmt: skip
    path = here / "gradient.toml"
    path.write_text(text.partition("[method]")[0] + "[method]" + gradient.replace("\n# ", "\n"), encoding="utf-8")
    assert read(path).method.use == "gradient"


def test_the_docstring_heads_the_file(here: Path) -> None:
    """Its first line, without what a comment of TOML may not have."""
    text = started(here, 'def f(x):\n    "How \\x00wrong\\x7f # it is.\\n\\nMore."').text
    assert text.startswith("# How wrong # it is.\n# Written by")


@pytest.mark.parametrize("name", ["Softmax", "Rosenbrock"])
def test_a_loss_of_ours_can_be_started(here: Path, name: str) -> None:
    """Its arguments have defaults; the shape of its array is left to be set."""
    sweep = read(write(f"optitrip.objectives:{name}", here))
    assert load(sweep)
    assert "# set the shape" in sweep.text
    assert sweep.objective.arguments == {}


REFUSED: dict[str, tuple[str, str]] = {
    "nothing to vary": ("def f(): pass", "wanted at least one"),
    "only what cannot be held": ("def f(x=None): pass", "wanted at least one"),
    "any name": ("def f(**x): pass", "wanted at least one"),
    "built by position only": (
        "class f:\n    def __init__(self, x, /): pass\n    def __call__(self, y): pass",
        "'x' by position only",
    ),
    "an Enum": ("def f(x: Color): pass", "x is an Enum"),
    "a number": ("f = 3", "is a int; wanted a function"),
    "a class that is no loss": ("class f: pass", "__call__ or losses"),
    "no signature": ("class f(dict):\n    def __call__(self, x): pass", "signature cannot be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_loss_that_cannot_be_started_is_reported(here: Path, case: str) -> None:
    """The reference, what is wrong with it, and no file."""
    code, words = REFUSED[case]
    message = refused(here, code)
    assert message.startswith("objective user_starter_")
    assert words in message


@pytest.mark.parametrize(
    ("reference", "words"),
    [("user_absent:f", "there is no module 'user_absent'"), ("math:sqrtt", "did you mean sqrt"),
     ("loss", "module:name"), ("a:b:c", "module:name"), ("", "module:name")],
)  # fmt: skip
def test_a_reference_that_names_nothing_is_reported(here: Path, reference: str, words: str) -> None:
    """The message is that of a sweep file that names it."""
    with pytest.raises(InputError, match=words):
        write(reference, here)
    assert not list(here.iterdir())


def test_no_file_is_overwritten(here: Path) -> None:
    """An existing file stays as it is, and the message says what to do."""
    name = module(here, "def f(x): pass")
    path = write(f"{name}:f", here)
    path.write_text("mine")
    with pytest.raises(InputError, match=r"f\.toml exists"):
        write(f"{name}:f", here)
    assert path.read_text() == "mine"


def test_a_missing_folder_is_reported(here: Path) -> None:
    """Nothing is created but the file."""
    with pytest.raises(InputError, match="no such folder"):
        write("math:cos", here / "absent")


@pytest.mark.parametrize(
    ("name", "stem"), [("f", "f"), ("_f", "f"), ("tété", "t_t_"), ("C.f", "f"), ("_", "sweep"), ("f" * 99, "f" * 64)]
)
def test_the_file_has_the_name_of_the_loss(here: Path, name: str, stem: str) -> None:
    """Its last part, as far as a sweep can be called so."""
    last = name.rpartition(".")[2]
    reference = module(here, f"def {last}(x): pass\nclass C:\n    f = staticmethod(lambda x: x)")
    assert write(f"{reference}:{name}", here) == here / f"{stem}.toml"
    assert read(here / f"{stem}.toml").name == stem


@settings(max_examples=100)
@given(st.floats() | st.integers() | st.integers(-9, 9) | st.text() | st.booleans())
def test_any_scalar_default_reads_back(here: Path, default: Any) -> None:
    """Any float, integer, string or boolean gives a valid sweep, whose distribution includes the default."""
    name = f"user_starter_{next(numbers)}"
    loss = type(sys)(name)
    exec("def f(other, x=None): pass", loss.__dict__)
    loss.f.__defaults__ = (default,)
    sys.modules[name] = loss
    path = here / "any.toml"
    path.write_text(starter(f"{name}:f", here), encoding="utf-8")
    described = read(path).space.describe()
    assert described.pop("other") == NORMAL
    for word, numbers_or_options in described.get("x", {}).items():
        if word == "choice":
            assert default in numbers_or_options
        elif word == "normal":
            assert default == 0
        else:
            assert numbers_or_options[0] <= default <= numbers_or_options[1]
    assert bool(described) == (not isinstance(default, float) or bool(np.isfinite(default)))


@pytest.mark.parametrize("word", METHODS)
def test_the_file_has_a_table_of_every_method(word: str, here: Path) -> None:
    """The first is used, the others are comments; each is a valid [method] table."""
    text = write(f"{module(here, 'def f(x: float): return x')}:f", here).read_text()
    example = find(word).example
    tables = tomllib.loads(example)
    if word == LEGS:
        assert len(tables["leg"]) == 2
    else:
        assert find(word).config.model_validate(tables["method"]).use == tables["method"]["use"] == word
    assert (example if word == next(iter(METHODS)) else textwrap.indent(example, "# ")) in text
