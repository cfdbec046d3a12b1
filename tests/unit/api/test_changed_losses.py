"""A loss that changes between two calls of a session: both executors evaluate what it is now."""

from __future__ import annotations

import functools
import importlib
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optitrip
from optitrip.runtime.visible import Look, apply_settings, packed_settings

pytestmark = pytest.mark.mostly_daily(3)  # of the cases that are alike

ONE = {"x": {"uniform": [1, 2]}}
SCALE = 1.0
TABLE = {"scale": [1.0]}
MODULE = """
import changing_config

SCALE = 1.0
CONFIG = {"scale": 1.0}
ARRAY = [1.0]
class Loss:
    scale = 1.0
    def __call__(self, x):
        return helper(x) * self.scale
def helper(x):
    return x * SCALE * CONFIG["scale"] * ARRAY[0] * changing_config.SCALE
def loss(x):
    return helper(x)
def inner(x):
    def later(y):
        return y * SCALE
    return later(x)
"""


@pytest.fixture(scope="module")
def ray_session(local_ray: None) -> Iterator[optitrip.Session]:
    with optitrip.Session(2, executor="ray") as session:
        yield session


@pytest.fixture(params=["serial", pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.daily])])
def session(request: pytest.FixtureRequest) -> Iterator[optitrip.Session]:
    if request.param == "ray":
        yield request.getfixturevalue("ray_session")
    else:
        with optitrip.Session(executor="serial") as one:
            yield one


RAY_DAILY = pytest.mark.parametrize(
    "session", ["serial", pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.daily])], indirect=True
)
"""Sessions of tests that close the workers, which takes seconds."""


@pytest.fixture
def module(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module of the user's, `changing_loss`, and another one that it imports."""
    folder = tmp_path_factory.mktemp("changing")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(folder))
    (folder / "changing_config.py").write_text("SCALE = 1.0\n")
    (folder / "changing_loss.py").write_text(MODULE)
    yield importlib.import_module("changing_loss")
    for name in ("changing_loss", "changing_config"):
        sys.modules.pop(name, None)


def scale_of(session: optitrip.Session, loss: Any) -> float:
    """Return by how much the loss multiplies x, as the workers evaluate it."""
    found = session.search(loss, ONE, candidates=3)
    return float(round(found.loss / found.x["x"], 12))


class Attributes:
    def __init__(self) -> None:
        self.scale, self.inner, self.array = 1.0, types.SimpleNamespace(scale=[1.0]), np.ones((3, 4))
        self.large = np.ones(400_000)

    def __call__(self, x: float) -> float:
        return x * self.scale * self.inner.scale[0] * float(self.array[1, 2]) * float(self.large[7])

    def method(self, x: float) -> float:
        return self(x)


class Slots:
    __slots__ = ("scale",)

    def __init__(self) -> None:
        self.scale = 1.0

    def __call__(self, x: float) -> float:
        return x * self.scale


class Dictionary(dict[str, float]):
    def __call__(self, x: float) -> float:
        return x * self["scale"]


@pytest.mark.parametrize("bound", [lambda loss: loss, lambda loss: loss.method, functools.partial])
def test_attributes_and_arrays(session: optitrip.Session, bound: Callable[[Any], Any]) -> None:
    """Set, nested, changed in place; of the object, of a bound method's and of a partial's."""
    loss = Attributes()
    call = bound(loss)
    assert scale_of(session, call) == 1
    loss.scale = 2
    assert scale_of(session, call) == 2
    loss.inner.scale[0] = 3
    assert scale_of(session, call) == 6
    loss.array[1, 2] = 5
    assert scale_of(session, call) == 30
    loss.large *= 2
    assert scale_of(session, call) == 60


def test_slots_and_contents(session: optitrip.Session) -> None:
    """An object without a dict, and one that is a dict."""
    slots, contents = Slots(), Dictionary(scale=1.0)
    assert scale_of(session, slots) == 1
    slots.scale = 2.0
    assert scale_of(session, slots) == 2
    assert scale_of(session, contents) == 1
    contents["scale"] = 2.0
    assert scale_of(session, contents) == 2


def test_closures_defaults_and_globals_of_the_script(
    session: optitrip.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell, an array in a default, and globals of a function that has no importable name."""
    scale, array = 1.0, np.ones(3)

    def loss(x: float, weights: Any = array) -> float:
        return x * scale * float(weights[1]) * SCALE * TABLE["scale"][0]

    assert scale_of(session, loss) == 1
    scale = 2.0
    assert scale_of(session, loss) == 2
    array[1] = 3
    assert scale_of(session, loss) == 6
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 5.0)
    assert scale_of(session, loss) == 30
    TABLE["scale"][0] = 7.0
    assert scale_of(session, loss) == 210
    TABLE["scale"][0] = 1.0


@pytest.mark.parametrize("make", [lambda module: module.loss, lambda module: module.Loss()], ids=["function", "object"])
def test_globals_of_an_imported_module(session: optitrip.Session, module: Any, make: Callable[[Any], Any]) -> None:
    """Workers import them with their first values, so they are sent; also those changed before the first call."""
    module.SCALE = 2.0
    loss = make(module)
    assert scale_of(session, loss) == 2
    module.CONFIG["scale"] = 3.0
    assert scale_of(session, loss) == 6
    module.ARRAY[0] = 5.0
    assert scale_of(session, loss) == 30
    sys.modules["changing_config"].SCALE = 7.0  # pyright: ignore[reportAttributeAccessIssue]
    assert scale_of(session, loss) == 210
    module.helper = lambda x: x * 11
    assert scale_of(session, loss) == 11


def test_class_attributes_and_inner_functions(session: optitrip.Session, module: Any) -> None:
    """An object's class, and a global that only a function in the function names."""
    loss = module.Loss()
    assert scale_of(session, loss) == 1
    module.Loss.scale = 2.0
    assert scale_of(session, loss) == 2
    assert scale_of(session, module.inner) == 1
    module.SCALE = 3.0
    assert scale_of(session, module.inner) == 3


@RAY_DAILY
def test_code_is_refused_until_it_is_reloaded(session: optitrip.Session, module: Any) -> None:
    """Functions, objects and sweeps: old code in one process and new in another would be mixed."""
    table = {
        "objective": {"loss": "changing_loss:loss"},
        "space": ONE,
        "method": {"use": "search", "candidates": 3},
    }

    def swept() -> float:
        found: Any = session.sweep(table)
        return float(round(found.loss / found.x["x"], 12))

    assert (scale_of(session, module.loss), swept()) == (1, 1)
    module.SCALE = 4.0
    assert (scale_of(session, module.loss), swept()) == (4, 4)
    file = Path(module.__file__)
    file.write_text(file.read_text().replace("return helper(x)\n", "return 3 * helper(x)\n"))
    for call in (lambda: scale_of(session, module.loss), swept):
        with pytest.raises(optitrip.InputError, match=r"changed since .*importlib.reload"):
            call()
    importlib.reload(module)
    assert (swept(), scale_of(session, module.loss)) == (3, 3)


@RAY_DAILY
def test_refresh_loads_what_cannot_be_seen(session: optitrip.Session) -> None:
    """One entry of an array of 80 MB; refreshing another loss changes nothing, before a first call neither."""
    with optitrip.Session(executor="serial") as fresh:
        fresh.refresh()
    loss, other = Attributes(), Attributes()
    loss.large = np.ones(10_000_000)
    assert scale_of(session, loss) == 1
    session.refresh(other)
    loss.large[7] = 2
    session.refresh(loss)
    assert scale_of(session, loss) == 2


def test_losses_that_cannot_be_hashed_or_pickled_work() -> None:
    """They hold a lock or a generator, raise in their attributes, contain themselves, or are too large to look at."""

    class Odd(Attributes):
        def __init__(self) -> None:
            super().__init__()
            self.lock, self.self, self.rows = threading.Lock(), self, (row for row in [1])

        def __hash__(self) -> int:
            raise TypeError("unhashable")

    class Long(Attributes):
        def __init__(self) -> None:
            super().__init__()
            self.list = [float(n) for n in range(300_000)]

    class Deep(Attributes):
        def __init__(self) -> None:
            super().__init__()
            self.deep: list[Any] = []
            for _ in range(100_000):
                self.deep = [self.deep]

    with optitrip.Session(executor="serial") as session:
        for make in (Odd, Long, Deep):
            loss = make()
            assert scale_of(session, loss) == 1
            loss.scale = 2.0
            assert scale_of(session, loss) == 2
            assert scale_of(session, loss) == 2


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((0, 3)),
        np.array(["2026-01-01"], "M8[D]"),
        np.array(["a", None], object),
        np.ma.masked_equal([1, 2], 2),
        np.asfortranarray(np.ones((700, 700)))[::2],
        functools.lru_cache(abs),
        np.sin,
        len,
        {1, 2},
        Path("x"),
        types.SimpleNamespace(a=1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_look_is_the_same_while_nothing_changes(value: Any) -> None:
    """Otherwise the loss would be sent again for every call."""
    digest = Look([value]).digest
    assert digest is not None
    assert digest == Look([value]).digest


def test_a_sample_covers_the_whole_of_a_large_array() -> None:
    """Rows, columns and stretches that change are seen, whatever the shape."""
    for shape in ((2**20,), (1024, 1024), (2, 2**19), (2**19, 2), (64, 64, 256)):
        array = np.zeros(shape)
        before = Look(array).digest
        array[..., array.shape[-1] // 2 :] = 1
        assert Look(array).digest != before
        array[:] = 0
        assert Look(array).digest == before
        array[array.shape[0] // 2 :] = 1
        assert Look(array).digest != before


def test_random_streams_and_what_cannot_be_sent_stay_the_workers_own(module: Any) -> None:
    """All workers would draw the same numbers; a lock has no copy."""
    settings = {
        ("changing_loss", "", "RNG"): np.random.default_rng(1),
        ("changing_loss", "", "LOCK"): threading.Lock(),
        ("changing_loss", "", "LARGE"): np.ones(10**6),
        ("changing_loss", "", "np"): np,
    }
    assert packed_settings(settings) == b""
    apply_settings(packed_settings({("changing_loss", "Loss", "scale"): 9.0}))
    assert module.Loss.scale == 9
