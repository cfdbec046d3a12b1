"""Loading "module:name": every way that works, and every mistake, reported so that its author can correct it."""

from __future__ import annotations

import itertools
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optitrip.app.load_objective import load
from optitrip.errors import InputError
from optitrip.loss.objective import Objective
from optitrip.runtime.imports import import_paths
from optitrip.runtime.interrupts import signals_interrupt
from optitrip.store.lookup import read

numbers = itertools.count()

Loader = Callable[..., Objective]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A sweep file's folder and, beside it, the working directory; what is imported is forgotten afterwards."""
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path / "sweeps"
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("user_"):
            del sys.modules[name]


def module(folder: Path, code: str, name: str = "") -> str:
    """Write a module, under a name that no other test has."""
    name = name or f"user_module_{next(numbers)}"
    (folder / f"{name}.py").write_text(textwrap.dedent(code), encoding="utf-8")
    return name


def objective(
    folder: Path, reference: str, arguments: str = "", space: str = "x = { normal = [0, 1] }", key: str = "loss"
) -> Objective:
    """Load what `reference` names, as a sweep file in `folder` would."""
    path = folder / "sweep.toml"
    path.write_text(
        f'[objective]\n{key} = "{reference}"\n[objective.arguments]\n{arguments}\n[space]\n{space}\n'
        '[method]\nuse = "search"\ncandidates = 3\n',
        encoding="utf-8",
    )
    return load(read(path))


def refused(folder: Path, reference: str, **given: str) -> str:
    with pytest.raises(InputError) as caught:
        objective(folder, reference, **given)
    return str(caught.value)


def losses(loaded: Objective, *values: float, name: str = "x") -> list[float]:
    """Return the losses of some values of a loaded objective's one scalar parameter."""

    def draw(items: range) -> dict[str, Any]:
        return {name: np.array(values)[items.start : items.stop]}

    found = loaded.evaluate(draw, range(len(values)))
    assert found.failures.count == 0, found.failures
    return found.losses.tolist()


WORKS: dict[str, tuple[str, str, str, str]] = {
    "function": ("def f(x): return x * 2", "f", "", "loss"),
    "lambda": ("f = lambda x: x * 2", "f", "", "loss"),
    "builtin": ("f = (2.0).__mul__\nclass C:\n    def __call__(self, x): return f(x)", "C", "", "loss"),
    "bound argument": ("def f(x, scale): return x * scale", "f", "scale = 2", "loss"),
    "keyword-only argument": ("def f(x, *, scale): return x * scale", "f", "scale = 2", "loss"),
    "default": ("def f(x, scale=2.0): return x * scale", "f", "", "loss"),
    "default overridden": ("def f(x, scale=5.0): return x * scale", "f", "scale = 2.0", "loss"),
    "**kwargs": ("def f(**point): return point['x'] * 2", "f", "", "loss"),
    "**kwargs with arguments": ("def f(**all): return all['x'] * all['scale']", "f", "scale = 2", "loss"),
    "class": ("class C:\n    def __call__(self, x): return x * 2", "C", "", "loss"),
    "class with arguments": (
        "class C:\n    def __init__(self, scale): self.scale = scale\n    def __call__(self, x): return x * self.scale",
        "C", "scale = 2", "loss",
    ),
    "dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass C:\n    scale: int = 9\n"
        "    def __call__(self, x): return x * self.scale",
        "C", "scale = 2", "loss",
    ),
    "class made": ("class C:\n    def __call__(self, x): return x * 2", "C", "", "make"),
    "factory": ("def make(scale):\n    return lambda x: x * scale", "make", "scale = 2", "make"),
    "factory without arguments": ("def make():\n    return lambda x: x * 2", "make", "", "make"),
    "factory with **kwargs": ("def make(**all):\n    return lambda x: x * all['scale']", "make", "scale = 2", "make"),
    "instance": ("class C:\n    def __call__(self, x): return x * 2\nobject_ = C()", "object_", "", "loss"),
    "instance with arguments": (
        "class C:\n    def __call__(self, x, scale): return x * scale\nobject_ = C()", "object_", "scale = 2", "loss",
    ),
    "batched only": ("class C:\n    def losses(self, x): return x * 2", "C", "", "loss"),
    "batched instance": ("class C:\n    def losses(self, x): return x * 2\nobject_ = C()", "object_", "", "loss"),
    "both": (
        "class C:\n    def __call__(self, x): raise OSError\n    def losses(self, x): return x * 2", "C", "", "loss",
    ),
    "nested name": ("class N:\n    @staticmethod\n    def f(x): return x * 2", "N.f", "", "loss"),
    "partial": ("from functools import partial\nimport operator\nf = partial(lambda a, x: a * x, 2)", "f", "", "loss"),
    "wrapped": (
        "from functools import wraps\ndef double(g):\n    @wraps(g)\n    def h(*a, **k): return 2 * g(*a, **k)\n"
        "    return h\n@double\ndef f(x): return x",
        "f", "", "loss",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WORKS)
def test_what_can_be_called_can_be_loaded(here: Path, case: str) -> None:
    """Functions, classes, factories and objects, with arguments or without, all double their parameter."""
    code, name, arguments, key = WORKS[case]
    loaded = objective(here, f"{module(here, code)}:{name}", arguments, key=key)
    assert losses(loaded, 1.5, -2.0) == [3.0, -4.0]
    assert loaded.capabilities.losses == ("def losses" in code)


def test_arguments_arrive_as_toml_gives_them(here: Path) -> None:
    """Ints, floats, strings, booleans, lists and tables keep their types."""
    name = module(here, "seen = {}\ndef f(x, **all):\n    seen.update(all)\n    return x")
    loaded = objective(here, f"{name}:f", 'a = 1\nb = 1.0\nc = "1"\nd = true\ne = [1, 2]\nf = { g = 2 }')
    losses(loaded, 1.0)
    wanted = {"a": 1, "b": 1.0, "c": "1", "d": True, "e": [1, 2], "f": {"g": 2}}
    assert repr(sys.modules[name].seen) == repr(wanted)


def test_the_block_of_the_file_wins_over_the_objective(here: Path) -> None:
    """`block` of [objective] stands in place of the object's own."""
    name = module(here, "class C:\n    block = 4\n    def losses(self, x): return x")
    assert objective(here, f"{name}:C").capabilities.block == 4
    (here / "own.toml").write_text((here / "sweep.toml").read_text())
    assert load(read(here / "own.toml", ["objective.block=7"])).capabilities.block == 7


def test_the_folder_of_the_sweep_file_comes_first(here: Path) -> None:
    """Modules are looked up beside the sweep file, then in the working directory."""
    name = module(here, "def f(x): return 1.0")
    module(Path.cwd(), "def f(x): return 2.0", name)
    assert losses(objective(here, f"{name}:f"), 0.0) == [1.0]
    elsewhere = module(Path.cwd(), "def f(x): return 2.0")
    assert losses(objective(here, f"{elsewhere}:f"), 0.0) == [2.0]
    assert import_paths(here) == (str(here), str(Path.cwd()))
    assert tuple(sys.path[:2]) == import_paths(here)


def test_a_module_may_import_its_neighbour(here: Path) -> None:
    """A named module can import modules and packages beside the sweep file."""
    neighbour = module(here, "scale = 2")
    (here / "user_package").mkdir()
    (here / "user_package" / "__init__.py").write_text("")
    (here / "user_package" / "inner.py").write_text(f"from {neighbour} import scale\ndef f(x): return x * scale\n")
    assert losses(objective(here, "user_package.inner:f"), 3.0) == [6.0]


def test_import_paths_are_put_in_once(here: Path) -> None:
    """Loading twice leaves sys.path as loading once does."""
    name = module(here, "def f(x): return x")
    objective(here, f"{name}:f")
    path = list(sys.path)
    objective(here, f"{name}:f")
    assert sys.path == path
    assert path.count(str(here)) == 1


def test_a_module_that_is_not_there_is_looked_for_aloud(here: Path) -> None:
    """The message has the module's name and every folder that was looked in."""
    message = refused(here, "user_absent:f")
    assert "no module 'user_absent'" in message
    assert f"{here}, {Path.cwd()}" in message
    assert "Traceback" not in message


def test_the_part_of_a_name_that_is_missing_is_named(here: Path) -> None:
    """The message about a.b names a or a.b, whichever is missing."""
    name = module(here, "")
    assert f"no module '{name}.inner'" in refused(here, f"{name}.inner:f")
    assert "no module 'user_absent'" in refused(here, "user_absent.inner:f")


def test_a_missing_dependency_is_not_a_missing_module(here: Path) -> None:
    """The module exists; the traceback shows which import in it fails."""
    name = module(here, "import os\nimport user_dependency_that_is_absent\n")
    message = refused(here, f"{name}:f")
    assert f"importing {name} raised" in message
    assert f'File "{here / name}.py", line 2' in message
    assert "ModuleNotFoundError: No module named 'user_dependency_that_is_absent'" in message
    assert str(Path.cwd()) not in message


RAISES = {
    "an error": ("x = 1\nraise RuntimeError('no licence')", 2, "RuntimeError: no licence"),
    "deep inside": ("def f():\n    return 1 / 0\nf()", 2, "ZeroDivisionError: division by zero"),
    "a syntax error": ("x = 1\ndef f(:\n", 2, "SyntaxError: invalid syntax"),
    "an exit": ("import sys\nsys.exit('not today')", 2, "SystemExit: not today"),
    "an assertion": ("\n\nassert False, 'never'", 3, "AssertionError: never"),
    "a chain": ("try:\n    {}['a']\nexcept KeyError as e:\n    raise OSError('b') from e", 4, "OSError: b"),
}


@pytest.mark.parametrize("case", RAISES)
def test_a_module_that_raises_shows_its_own_traceback(here: Path, case: str) -> None:
    """Its file, its line, its words, and no frame of ours."""
    code, line, words = RAISES[case]
    name = module(here, code)
    message = refused(here, f"{name}:f")
    assert f"sweep.toml:2: objective.loss: objective {name}:f: importing {name} raised:\n" in message
    assert f'File "{here / name}.py", line {line}' in message
    assert message.endswith(words) or case == "a chain"
    assert words in message
    assert "optitrip" not in message.replace(str(here), "")
    assert case == "a syntax error" or "importlib" not in message


def test_a_folder_whose_name_has_importlib_in_it_is_the_users(here: Path) -> None:
    """Frames are dropped because they are Python's own, not because of a word in the path."""
    folder = here / "importlib_of_mine"
    folder.mkdir()
    name = module(folder, "def f():\n    return 1 / 0\nf()")
    assert f'File "{folder / name}.py", line 3' in refused(folder, f"{name}:f")


def test_ctrl_c_while_a_module_is_imported_ends_the_command(here: Path) -> None:
    """It is no mistake of the sweep file."""
    name = module(here, "import signal\nsignal.raise_signal(signal.SIGINT)")
    with pytest.raises(KeyboardInterrupt), signals_interrupt():
        objective(here, f"{name}:f")


def test_a_name_that_is_not_there_has_a_nearest_one(here: Path) -> None:
    """A slip of the pen is answered with what was meant."""
    name = module(here, "def rosenbrock(x): return x\n_private = 1")
    message = refused(here, f"{name}:rosenbrok")
    assert f"{name} has no 'rosenbrok'" in message
    assert "did you mean rosenbrock?" in message
    assert "_private" not in message


def test_the_nearest_name_is_found_in_a_large_module(here: Path) -> None:
    """Many other names, as after `from math import *`, are not listed, but the nearest one is still named."""
    name = module(here, "from math import *\ndef rosenbrock(x): return x")
    message = refused(here, f"{name}:rosenbrok")
    assert "rosenbrock" in message.replace("'rosenbrok'", "")
    assert len(message) < 400


def test_a_nested_name_that_is_not_there(here: Path) -> None:
    """The part that is missing is named."""
    name = module(here, "class C:\n    def f(x): return x")
    assert "has no 'g'" in refused(here, f"{name}:C.g")


NO_LOSS = {
    "number": ("f = 3", "", "loss", ["is a int", "wanted a function"]),
    "none": ("f = None", "", "loss", ["is a NoneType", "wanted a function"]),
    "module": ("import math as f", "", "loss", ["is a module", "wanted a function"]),
    "number with arguments": ("f = 3", "a = 1", "loss", ["is a int", "takes no arguments"]),
    "class without a call": ("class f: pass", "", "loss", ["is a f", "__call__ or losses"]),
    "factory of a number": ("def f(): return 3", "", "make", ["is a int", "wanted a function"]),
    "factory of nothing": ("def f(): pass", "", "make", ["is a NoneType", "wanted a function"]),
}


@pytest.mark.parametrize("case", NO_LOSS)
def test_what_cannot_be_called_is_refused(here: Path, case: str) -> None:
    """It says what was found, and what was wanted."""
    code, arguments, key, wanted = NO_LOSS[case]
    name = module(here, code)
    message = refused(here, f"{name}:f", arguments=arguments, key=key)
    assert [part for part in [f"{name}:f", *wanted] if part not in message] == []


UNFIT = {
    "function": ("def f(x, scale): return x", "scal = 2", "loss", ["scal", "(x, scale)"]),
    "function without": ("def f(x): return x", "a = 1\nb = 2", "loss", ["'a'", "(x)", "a, b"]),
    "class too many": ("class f:\n    def __init__(self, p): pass\n    def __call__(self, x): pass",
                       "p = 1\nq = 2", "loss", ["'q'", "(p)", "p, q"]),
    "class too few": ("class f:\n    def __init__(self, p, q=1): pass\n    def __call__(self, x): pass", "",
                      "loss", ["missing", "'p'", "(p, q=1)", "has none"]),
    "factory too few": ("def f(p): return abs", "", "make", ["missing", "'p'", "(p)", "has none"]),
    "factory other": ("def f(p): return abs", "pp = 1", "make", ["'p", "(p)", "has pp"]),
    "positional only": ("def f(p, /, x): return x", "p = 1", "loss", ["p", "(p, /, x)"]),
}  # fmt: skip


@pytest.mark.parametrize("case", UNFIT)
def test_arguments_that_do_not_fit_are_shown_beside_what_is_taken(here: Path, case: str) -> None:
    """The signature and the names that the file gives."""
    code, arguments, key, wanted = UNFIT[case]
    name = module(here, code)
    message = refused(here, f"{name}:f", arguments=arguments, key=key)
    assert [part for part in [f"{name}:f", "arguments do not fit", *wanted] if part not in message] == []
    assert "Traceback" not in message


@pytest.mark.parametrize("key", ["loss", "make"])
@pytest.mark.parametrize(
    ("raising", "words"),
    [
        ("raise ValueError(f'bad {p}')", "ValueError: bad 7"), ("return {}[p]", "KeyError: 7"),
        ("import sys; sys.exit(3)", "SystemExit: 3"), ("return absent", "NameError: name 'absent' is not defined"),
    ],
)  # fmt: skip
def test_building_that_raises_shows_its_own_traceback(here: Path, key: str, raising: str, words: str) -> None:
    """A constructor's or a factory's exception is its author's: file, line and words, and no frame of ours."""
    class_code = f"class f:\n    def __init__(self, p):\n        {raising}\n    def __call__(self, x): pass"
    name = module(here, class_code if key == "loss" else f"def f(p):\n    pass\n    {raising}")
    message = refused(here, f"{name}:f", arguments="p = 7", key=key)
    assert f"sweep.toml:3: objective.arguments: objective {name}:f: building it raised:\n" in message
    assert f'File "{here / name}.py", line 3' in message
    assert message.endswith(words)
    assert "optitrip" not in message.replace(str(here), "")


def test_an_input_error_of_a_constructor_is_told_without_a_traceback(here: Path) -> None:
    """optitrip's own losses say what was wanted; that is enough."""
    message = refused(here, "optitrip.objectives:Softmax", arguments='data = "digit"')
    assert (
        "sweep.toml:3: objective.arguments: objective optitrip.objectives:Softmax: data was 'digit'; did you" in message
    )
    assert "Traceback" not in message


OTHERS = {
    "too few": ("def f(x, y, z=1): return x", "", "loss", ["'y'", "takes: x, y, z=1", "has:       x"]),
    "too many": ("def f(): return 1", "", "loss", ["'x'", "takes: none", "has:       x"]),
    "another": ("def f(X): return X", "", "loss", ["takes: X", "has:       x"]),
    "with arguments": ("def f(X, a): return X", "a = 1", "loss", ["takes: X", "has:       x"]),
    "a class": ("class f:\n    def __call__(self, X): pass", "", "loss", ["takes: X", "has:       x"]),
    "batched only": ("class f:\n    def losses(self, X): pass", "", "loss", ["takes: X", "has:       x"]),
    "made": ("def f(): return lambda X: X", "", "make", ["takes: X", "has:       x"]),
    "positional only": ("def f(a, b, /): return a", "", "loss", ["takes: a, b", "has:       x"]),
}


@pytest.mark.parametrize("case", OTHERS)
def test_parameters_that_differ_from_the_space_are_both_listed(here: Path, case: str) -> None:
    """The message names the parameters of the objective and the variables of the space."""
    code, arguments, key, wanted = OTHERS[case]
    name = module(here, code)
    message = refused(here, f"{name}:f", arguments=arguments, key=key)
    called = f"{name}:f.losses" if case == "batched only" else f"{name}:f"
    assert [part for part in [f"{called}: its parameters do not match", *wanted] if part not in message] == []


def test_every_variable_of_the_space_is_listed(here: Path) -> None:
    """In the order of the file, constants included."""
    name = module(here, "def f(b): return b")
    message = refused(here, f"{name}:f", space="b = 1\na = { normal = [0, 1] }\nc = { choice = [1, 2] }")
    assert "has:       b, a, c" in message


def test_batches_take_the_parameters_of_the_space_too(here: Path) -> None:
    """An object with both steps is refused if either takes other parameters, before the first batch fails."""
    name = module(here, "class f:\n    def __call__(self, x): return x\n    def losses(self, X): return X")
    message = refused(here, f"{name}:f")
    assert "takes: X" in message


def test_a_variable_that_is_also_an_argument_is_refused(here: Path) -> None:
    """Nothing silent: the file would give one parameter two values."""
    name = module(here, "def f(x, a): return x * a")
    message = refused(here, f"{name}:f", arguments="a = 2", space="x = 1\na = { normal = [0, 1] }")
    assert re.search(r"\ba\b", message.replace(name, ""))


def test_arguments_do_not_hide_the_batches_of_an_object(here: Path) -> None:
    """Nothing switches silently: an object with batches keeps them when arguments are bound, or is refused."""
    name = module(here, "class C:\n    def __call__(self, x, a): return x\n    losses = __call__\nf = C()")
    try:
        loaded = objective(here, f"{name}:f", "a = 2")
    except InputError:
        return
    assert loaded.capabilities.losses


@pytest.mark.parametrize("block", ["-3", "0", "2.5", "True", "2**20 + 1"])
def test_a_block_that_is_no_number_of_candidates_is_refused(here: Path, block: str) -> None:
    """The object's own block is checked as the file's is, before the first batch fails."""
    name = module(here, f"class f:\n    block = {block}\n    def losses(self, x): return x")
    assert "block" in refused(here, f"{name}:f")


def test_another_module_of_the_same_name_is_refused(here: Path) -> None:
    """Nothing silent: Python would give the one that was imported first, from another folder."""
    name = module(here, "def f(x): return x")
    assert losses(objective(here, f"{name}:f"), 2.0) == [2.0]
    other = here.parent / "other"
    other.mkdir()
    module(other, "def f(x): return 2 * x", name)
    message = refused(other, f"{name}:f")
    assert str(other / f"{name}.py") in message
    assert str(here / f"{name}.py") in message


def test_a_folder_that_python_finds_elsewhere_is_named(here: Path) -> None:
    """`test` without `__init__` gives way to Python's own package: the message has the file, and what to do."""
    (here / "test").mkdir()
    (here / "test" / "user_bowl.py").write_text("def loss(x): return x")
    (here / "bowl.toml").write_text(
        '[objective]\nloss = "test.user_bowl:loss"\n[space]\nx = { normal = [0, 1] }\n[method]\nuse = "search"\n'
        "candidates = 3\n"
    )
    with pytest.raises(InputError, match=rf"{here}/test/user_bowl\.py, but .* 'test' first; rename the folder"):
        load(read(here / "bowl.toml"))
