"""Spaces: every distribution against an independent one, the edges of the unit interval, and every wrong entry."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

import optitrip
from optitrip.core.arrays import Array
from optitrip.errors import Invalid
from optitrip.samplers.random import Random
from optitrip.space import distributions
from optitrip.space import listed as listed_module
from optitrip.space.distribution import HIGHEST, LOWEST, Distribution
from optitrip.space.distributions import DISTRIBUTIONS
from optitrip.space.variables import Space, Variable, arguments

DRAWS = 20_000

ENTRIES: dict[str, list[Any]] = {
    "normal": [[0, 1], [3.5, 0.25], [-1000, 1e-4]],
    "log_normal": [[0, 1], [-2, 0.5]],
    "uniform": [[0, 1], [-3, 5.5], [1e6, 1e6 + 1]],
    "log_uniform": [[1e-4, 1e-1], [0.5, 2], [1e-300, 1e300]],
    "integer": [[2, 10], [-3, -3], [0, 1], [-(2**40), 2**40]],
    "log_integer": [[1, 10], [16, 256], [3, 3], [5, 2**40]],
    "choice": [["rbf", "linear", "poly"], [1, 2, 4, 8], [0.5, 1.5], [True, False], ["auto", 1, 0.5], ["only"]],
    "scipy": [
        {"name": "gamma", "a": 2.0, "scale": 3.0},
        {"name": "weibull_min", "c": 1.5},
        {"name": "t", "df": 3.0, "loc": -1.0},
    ],
    "constant": [3, 2.5, "adam", True, [1, 2], [[0.5, 1.5], [2.5, 3.5]], ["a", "b"]],
}
CONTINUOUS: dict[str, Any] = {
    "normal": lambda mean, deviation: stats.norm(mean, deviation),
    "log_normal": lambda mean, deviation: stats.lognorm(deviation, scale=math.exp(mean)),
    "uniform": lambda low, high: stats.uniform(low, high - low),
    "log_uniform": lambda low, high: stats.loguniform(low, high),
    "scipy": lambda name, **given: getattr(stats, name)(**given),
}
"""SciPy's distribution of that name."""


def theirs(word: str, entry: Any) -> Any:
    """SciPy's distribution for an entry."""
    return CONTINUOUS[word](**entry) if isinstance(entry, dict) else CONTINUOUS[word](*entry)


def even(values: Sequence[Any]) -> dict[Any, float]:
    return {value: 1 / len(values) for value in values}


DISCRETE: dict[str, Callable[[list[Any]], dict[Any, float]]] = {
    "integer": lambda entry: even(range(entry[0], entry[1] + 1)),
    "log_integer": lambda entry: {
        n: math.log((n + 0.5) / (n - 0.5)) / math.log((entry[1] + 0.5) / (entry[0] - 0.5))
        for n in range(entry[0], entry[1] + 1)
    },
    "choice": even,
}
"""How likely each value is, in the order in which values rise with u."""
WIDE = [("integer", [-(2**40), 2**40]), ("log_integer", [5, 2**40])]
"""Entries with too many values to count."""
EVERY = [(word, entry) for word, entries in ENTRIES.items() for entry in entries]
EVERY_COUNTABLE = [(word, entry) for word, entry in EVERY if word in DISCRETE and (word, entry) not in WIDE]
EVERY_CONTINUOUS = [(word, entry) for word, entry in EVERY if word in CONTINUOUS]


def drawn(entry: dict[str, Any], count: int = DRAWS, seed: int = 0) -> Array:
    """Values of one variable `x`, from the sampler."""
    space = Space.parse({"x": entry})
    return space.values(Random().unit(seed, space.sizes, range(count)), count)["x"]


def at(entry: dict[str, Any], *unit: float) -> Array:
    """Values of one scalar variable at chosen points of the unit interval."""
    return Variable.parse("x", entry).values(np.array(unit).reshape(-1, 1))


def test_every_distribution_is_tested() -> None:
    """A distribution that is added to the registry needs its entries here, and an independent answer."""
    assert ENTRIES.keys() == DISTRIBUTIONS.keys()
    parsed = {word: DISTRIBUTIONS[word](entries[0]) for word, entries in ENTRIES.items()}
    assert CONTINUOUS.keys() == {word for word, d in parsed.items() if d.drawn and d.continuous}
    assert DISCRETE.keys() == {word for word, d in parsed.items() if d.drawn and not d.continuous}


def test_no_other_file_knows_a_distribution() -> None:
    """Other files use the protocol only, so that a new distribution is a class and a line in the table."""
    modules = (distributions, listed_module)
    concrete = {
        name
        for module in modules
        for name, value in vars(module).items()
        if Distribution in getattr(value, "__mro__", ())[1:]
    }
    assert len(concrete) >= len(DISTRIBUTIONS)  # Free is not in the table
    for path in Path(optitrip.__file__).parent.rglob("*.py"):
        if path == Path(distributions.__file__):
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.module in [module.__name__ for module in modules]:
                assert not concrete & {alias.name for alias in node.names}, path


@pytest.mark.parametrize(("word", "entry"), EVERY_CONTINUOUS)
@pytest.mark.parametrize("shape", [[], [4, 5]])
def test_continuous_values_follow_their_distribution(word: str, entry: list[Any], shape: list[int]) -> None:
    """Kolmogorov-Smirnov against SciPy's distribution of that name: p above one in a thousand."""
    values = drawn({word: entry, "shape": shape}, DRAWS // math.prod(shape)).ravel()
    assert values.size == DRAWS
    assert stats.kstest(values, theirs(word, entry).cdf).pvalue > 1e-3


@pytest.mark.parametrize(("word", "entry"), EVERY_CONTINUOUS)
@pytest.mark.parametrize("unit", [LOWEST, 1e-9, 0.1, 0.5, 0.9, 1 - 1e-9, HIGHEST])
def test_values_are_the_inverse_cdf(word: str, entry: list[Any], unit: float) -> None:
    """The value at u is SciPy's quantile of u, but for rounding."""
    wanted = theirs(word, entry).ppf(unit)
    assert at({word: entry}, unit)[0] == pytest.approx(wanted, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize(("word", "entry"), EVERY_COUNTABLE)
def test_each_value_is_as_likely_as_it_should_be(word: str, entry: list[Any]) -> None:
    """Chi-square of the counts: every value that there is, and no other."""
    likely = DISCRETE[word](entry)
    values = drawn({word: entry}).tolist()
    counts = [values.count(value) for value in likely]
    assert sum(counts) == DRAWS
    assert len(counts) == 1 or stats.chisquare(counts, [DRAWS * chance for chance in likely.values()]).pvalue > 1e-3


@pytest.mark.parametrize(("word", "entry"), EVERY_COUNTABLE)
def test_each_value_is_the_inverse_cdf(word: str, entry: list[Any]) -> None:
    """From the lowest u to the highest, each value holds a stretch as long as it is likely, but for rounding."""
    end = 0.0
    for value, chance in DISCRETE[word](entry).items():
        start, end = end, end + chance
        assert at({word: entry}, max(LOWEST, start + 1e-9), min(HIGHEST, end - 1e-9)).tolist() == [value] * 2
    assert end == pytest.approx(1)


def test_each_power_of_ten_has_its_share_of_log_integers() -> None:
    """Chi-square of the numbers of digits, where there are too many numbers to count."""
    edges = [10**power - 0.5 for power in range(13)]
    counts, _ = np.histogram(drawn({"log_integer": [1, 10**12 - 1]}), edges)
    expected = np.log(np.array(edges[1:]) / edges[:-1])
    assert stats.chisquare(counts, expected * DRAWS / expected.sum()).pvalue > 1e-3


@pytest.mark.parametrize(("low", "high"), [(1, 1), (1, 2), (5, 2**40), (2**40 - 1, 2**40)])
def test_log_integers_reach_both_ends(low: int, high: int) -> None:
    """The outermost u give exactly low and high, however far apart."""
    assert at({"log_integer": [low, high]}, LOWEST, HIGHEST).tolist() == [low, high]


@pytest.mark.parametrize("low", [-(2**40), 0, 2**62 - 2**47])
@pytest.mark.parametrize("count", [1, 2, 3, 2**47])
def test_integers_reach_both_ends(low: int, count: int) -> None:
    """The outermost u give exactly low and high, however wide and far from zero."""
    high = low + count - 1
    assert at({"integer": [low, high]}, LOWEST, HIGHEST).tolist() == [low, high]


@pytest.mark.parametrize(("word", "entry"), EVERY_COUNTABLE)
def test_the_first_and_the_last_value_are_reached(word: str, entry: list[Any]) -> None:
    """The outermost u reach them exactly."""
    first, *_, last = [*DISCRETE[word](entry)] * 2
    assert at({word: entry}, LOWEST, HIGHEST).tolist() == [first, last]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("word", "low", "high"), [
    ("uniform", 0.1, 0.3), ("uniform", -3, 5.5), ("uniform", 1e6, 1e6 + 1), ("uniform", -1e-7, 1e30),
    ("log_uniform", 1e-4, 1e-1), ("log_uniform", 0.1, 0.3), ("log_uniform", 1e-30, 1e30), ("log_uniform", 3, 3.00001),
    ("log_uniform", 400, 4000), ("log_uniform", 0.0002, 0.002),  # exp(log(x)) passes both but for the clip
])  # fmt: skip
def test_bounds_are_closed_and_respected(word: str, low: float, high: float, dtype: str) -> None:
    """No value passes its bounds as the dtype rounds them, and the outermost u come to them."""
    exact = np.array([low, high], dtype)
    entry = {word: [low, high], "dtype": dtype}
    values = np.concatenate([drawn(entry), at(entry, LOWEST, HIGHEST)])
    assert values.dtype == dtype
    assert values.min() >= exact[0]
    assert values.max() <= exact[1]
    step = (high - low) * 2.0**-52 if word == "uniform" else 0.0
    assert at(entry, LOWEST, HIGHEST) == pytest.approx(exact, rel=1e-6, abs=step)


@given(
    st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=2, unique=True),
    st.floats(LOWEST, HIGHEST),
    st.sampled_from(["uniform", "log_uniform"]),
)
def test_no_bounds_are_passed(bounds: list[float], unit: float, word: str) -> None:
    """Whatever the bounds, a value lies between them: rounding is clipped."""
    low, high = sorted(abs(bound) + 1e-300 for bound in bounds) if word == "log_uniform" else sorted(bounds)
    assume(low < high)
    (value,) = at({word: [low, high]}, unit).tolist()
    assert low <= value <= high


@pytest.mark.parametrize(("word", "entry"), EVERY)
def test_extremes_are_finite(word: str, entry: Any) -> None:
    """The outermost u of the sampler give no infinity and no NaN."""
    variable = Variable.parse("x", {word: entry})
    values = variable.values(np.repeat([[LOWEST], [HIGHEST]], variable.size, axis=1))
    assert values.dtype.kind != "f" or np.isfinite(values).all()


@pytest.mark.parametrize(("word", "entry"), EVERY_CONTINUOUS)
def test_values_rise_with_u(word: str, entry: list[Any]) -> None:
    """An inverse CDF is monotone, up to the last bits."""
    unit = np.linspace(LOWEST, HIGHEST, 2001)
    values = at({word: entry}, *unit)
    assert (np.diff(values) >= 0).all()


@pytest.mark.parametrize(("word", "entry"), EVERY)
def test_extremes_bound_all_values(word: str, entry: Any) -> None:
    """No value is below or above those at the u that a distribution names as its extremes."""
    distribution = DISTRIBUTIONS[word](entry)
    extremes = distribution.extremes()
    assert ((extremes > 0) & (extremes < 1)).all()
    outermost, values = distribution.values(extremes), distribution.values(np.linspace(LOWEST, HIGHEST, 1001))
    if values.dtype.kind in "if":
        assert outermost.min() <= values.min()
        assert outermost.max() >= values.max()
    else:
        assert set(outermost.ravel().tolist()) >= set(values.ravel().tolist())


@pytest.mark.parametrize(("word", "entry"), EVERY)
def test_a_gradient_steps_in_it_or_names_a_value_to_hold_it_at(word: str, entry: Any) -> None:
    """Constants are no coordinates; a distribution without a derivative is refused with one of its values to bind."""
    space = Space.parse({"x": {word: entry}, "free": {"shape": [2]}}, drawn=False)
    distribution = space.variables[0].distribution
    assert [variable.name for variable in space.varied] == ["x"] * (not distribution.fixed) + ["free"]
    if distribution.fixed or distribution.continuous:
        space.check_differentiable()
        return
    with pytest.raises(Invalid, match=f"is {word}, which has no derivative") as caught:
        space.check_differentiable()
    held = json.loads(caught.value.message.rpartition(" = ")[2])
    assert held == at({word: entry}, LOWEST).tolist()[0]
    Space.parse({"x": held, "free": {"shape": [2]}}, drawn=False).check_differentiable()


def test_a_space_without_a_distribution_cannot_be_drawn() -> None:
    """Drawing raises, and the description of such a variable is its shape."""
    free = {"x": {"shape": []}, "c": 3}
    assert not Space.parse(free, drawn=False).drawable
    assert Space.parse({"x": NORMAL, "c": 3}).drawable
    assert Space.parse(free, drawn=False).describe() == {"x": {"shape": []}, "c": {"constant": 3}}
    with pytest.raises(ValueError, match="cannot be drawn"):
        Space.parse(free, drawn=False).values({}, 1)


SHAPES: list[tuple[Any, tuple[int, ...]]] = [
    ([], ()), ([1], (1,)), ([3], (3,)), (3, (3,)), ([10, 65], (10, 65)), ([2, 1, 3], (2, 1, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("given_shape", "wanted"), SHAPES, ids=str)
@pytest.mark.parametrize("word", DISTRIBUTIONS)
def test_shapes(word: str, given_shape: Any, wanted: tuple[int, ...]) -> None:
    """A batch has the leading axis of its rows, then the shape of the file, and cannot be written to."""
    values = drawn({word: ENTRIES[word][0], "shape": given_shape}, 7)
    assert values.shape == (7, *wanted)
    assert not values.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        values[...] = values[0]


@pytest.mark.parametrize("word", CONTINUOUS)
def test_float32_is_the_cast_of_float64(word: str) -> None:
    """The precision of a variable moves no draw: its values are the float64 ones, rounded last."""
    entry = ENTRIES[word][1]
    single, double = drawn({word: entry, "dtype": "float32"}, 100), drawn({word: entry}, 100)
    assert single.dtype == np.float32
    assert single.tobytes() == double.astype(np.float32).tobytes()


def test_nothing_is_drawn_for_constants() -> None:
    """A constant takes no numbers, whether bare or spelled out, and moves no other variable."""
    mixed = Space.parse({"c": 3, "x": {"normal": [0, 1]}, "d": {"constant": [1.5, 2.5]}, "s": "adam"})
    alone = Space.parse({"x": {"normal": [0, 1]}})
    assert mixed.sizes == {"x": 1}
    assert (sum(mixed.sizes.values()), mixed.names) == (1, ["c", "x", "d", "s"])
    values = mixed.values(Random().unit(0, mixed.sizes, range(4)), 4)
    assert values["c"].tolist() == [3] * 4
    assert values["d"].tolist() == [[1.5, 2.5]] * 4
    assert values["s"].tolist() == ["adam"] * 4
    assert values["x"].tobytes() == alone.values(Random().unit(0, alone.sizes, range(4)), 4)["x"].tobytes()
    assert not any(column.flags.writeable for column in values.values())


def test_a_constant_fills_a_shape() -> None:
    """A scalar constant with a shape is an array of it."""
    assert drawn({"constant": 2.5, "shape": [2, 3], "dtype": "float32"}, 2).tolist() == [[[2.5] * 3] * 2] * 2


SCALARS: list[tuple[Any, type]] = [
    ({"normal": [0, 1]}, float), ({"log_normal": [0, 1]}, float), ({"uniform": [0, 1], "dtype": "float32"}, float),
    ({"log_uniform": [1, 2]}, float), ({"integer": [2, 10]}, int), ({"log_integer": [2, 10]}, int),
    ({"choice": ["a", "bc"]}, str),
    ({"choice": [1, 2]}, int), ({"choice": [0.5, 2.0]}, float), ({"choice": [True, False]}, bool),
    (3, int), (2.5, float), (True, bool), ("adam", str),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "kind"), SCALARS, ids=str)
def test_scalars_arrive_as_plain_python(entry: Any, kind: type) -> None:
    """The objective gets Python's own float, int, str and bool."""
    values = {"x": drawn(entry, 5)}
    assert [type(arguments(values, row)["x"]) for row in range(5)] == [kind] * 5
    assert [arguments(values, row)["x"] for row in range(5)] == values["x"].tolist()


@pytest.mark.parametrize("options", [["auto", 1, 0.5, True], [1, 2.5], [2**70, 1], [2**63, -1]], ids=str)
def test_mixed_options_keep_their_types(options: list[Any]) -> None:
    """1 stays an int beside '1' or 2.5, and large ones stay whole: an option arrives as the file says it."""
    values = {"x": drawn({"choice": options}, 60)}
    arrived = {(type(value), value) for value in (arguments(values, row)["x"] for row in range(60))}
    assert arrived == {(type(option), option) for option in options}


def test_arrays_arrive_read_only() -> None:
    """The objective cannot write to its parameters."""
    point = arguments({"W": drawn({"normal": [0, 1], "shape": [2, 3]}, 5)}, 3)["W"]
    assert point.shape == (2, 3)
    with pytest.raises(ValueError, match="read-only"):
        point += 1


@given(st.integers(0, 60), st.integers(0, 20))
def test_a_range_is_the_slice_of_a_longer_one(start: int, count: int) -> None:
    """Values of a range are those rows of the whole, to the bit."""
    space = Space.parse({word: {word: entries[0], "shape": [3]} for word, entries in ENTRIES.items()})
    whole = space.values(Random().unit(5, space.sizes, range(100)), 100)
    part = space.values(Random().unit(5, space.sizes, range(start, start + count)), count)
    assert all(part[name].tobytes() == whole[name][start : start + count].tobytes() for name in whole)


def test_described_entries_parse_to_themselves() -> None:
    """The entries of a space parse to that space."""
    entries = {f"{word}{n}": {word: entry} for word, listed in ENTRIES.items() for n, entry in enumerate(listed)}
    entries["W"] = {"normal": [0, 1], "shape": [10, 65], "dtype": "float32"}
    space = Space.parse(entries)
    plain: dict[str, Any] = {  # as TOML gives them: lists, no tuples
        name: {word: listed(value) for word, value in described.items()} for name, described in space.describe().items()
    }
    assert Space.parse(plain) == space


def listed(value: Any) -> Any:
    return [listed(entry) for entry in value] if isinstance(value, list | tuple) else value


NORMAL: dict[str, Any] = {"normal": [0, 1]}
HUGE = 10**400
INVALID: list[tuple[Any, tuple[str, ...], list[str]]] = [
    # no or several distributions, unknown keys
    ({}, (), ["exactly one distribution", "normal", "choice", "found none"]),
    ({"shape": [3]}, (), ["exactly one distribution", "found none"]),
    ({"normal": [0, 1], "uniform": [0, 1]}, (), ["exactly one", "normal and uniform"]),
    ({"normale": [0, 1]}, ("normale",), ["unknown key", "did you mean normal?", "log_uniform"]),
    ({**NORMAL, "shap": [3]}, ("shap",), ["unknown key", "did you mean shape?"]),
    ({**NORMAL, "zzz": 1}, ("zzz",), ["unknown key", "known: normal"]),
    # shape
    *(({**NORMAL, "shape": shape}, ("shape",), ["was " + repr(shape), "at least 1"]) for shape in
      ([0], [10, 0], [-1], 0, [2.0], ["3"], "3", [True], True, None, [[2]], 2.5, {"a": 1})),
    ({**NORMAL, "shape": [2**16, 2**16]}, ("shape",), ["[65536, 65536]", "4,294,967,296", "2^31"]),
    ({"constant": [1, 2], "shape": [3]}, ("shape",), ["[3]", "[2]"]),
    # dtype
    *(({**NORMAL, "dtype": dtype}, ("dtype",), [repr(dtype), "'float64' or 'float32'"]) for dtype in
      ("float16", "int", 32, None, ["float64"], {})),
    ({"integer": [0, 3], "dtype": "float32"}, ("dtype",), ["'float32'", "integer"]),
    ({"choice": ["a", "b"], "dtype": "float32"}, ("dtype",), ["'float32'", "choice"]),
    ({"choice": [1, 2], "dtype": "float32"}, ("dtype",), ["'float32'", "choice"]),
    ({"constant": 3, "dtype": "float32"}, ("dtype",), ["'float32'", "constant"]),
    # wrong parameters
    *(({word: wrong}, (word,), [repr(wrong)])
      for word in ("normal", "log_normal", "uniform", "log_uniform", "integer", "log_integer")
      for wrong in (None, 1, "0, 1", [], [1], [1, 2, 3], {"low": 1}, True)),
    *(({word: [1, wrong]}, (word,), [repr(wrong), "finite number"])
      for word in ("normal", "log_normal", "uniform", "log_uniform")
      for wrong in ("2", None, True, math.nan, math.inf, -math.inf, [2])),
    *(({word: [wrong, 2]}, (word,), [repr(wrong), "finite number"])
      for word in ("normal", "log_normal", "uniform", "log_uniform")
      for wrong in ("1", False, math.nan, -math.inf)),
    *(({word: [0, wrong]}, (word,), ["standard deviation", "above 0", repr(wrong)])
      for word in ("normal", "log_normal") for wrong in (0, 0.0, -1, -0.5)),
    *(({word: [a, b]}, (word,), ["low must be below high", repr(a), repr(b)])
      for word in ("uniform", "log_uniform") for a, b in ((2, 1), (1, 1), (0.5, 0.25))),
    ({"uniform": [-1.7e308, 1.7e308]}, ("uniform",), ["-1.7e+308", "finite"]),
    ({"log_uniform": [0, 1]}, ("log_uniform",), ["above 0", "was 0"]),
    ({"log_uniform": [-2, 1]}, ("log_uniform",), ["above 0", "was -2"]),
    # integers
    ({"integer": [3, 2]}, ("integer",), ["low must not be above high", "[3, 2]"]),
    *(({"integer": wrong}, ("integer",), ["integers", repr(wrong)]) for wrong in
      ([0.0, 1], [0, 1.5], [False, True], ["0", "1"], [0, 2**48], [2**62, 2**62 + 1], [-(2**62), 0], [0, HUGE])),
    ({"log_integer": [3, 2]}, ("log_integer",), ["low must not be above high", "[3, 2]"]),
    ({"log_integer": [0, 2]}, ("log_integer",), ["at least 1", "[0, 2]"]),
    ({"log_integer": [1, 2**40 + 1]}, ("log_integer",), ["2^40", "1099511627777"]),
    ({"log_integer": [1, 2.5]}, ("log_integer",), ["integers", "2.5"]),
    ({"log_integer": [1, 8], "dtype": "float32"}, ("dtype",), ["'float32'", "log_integer"]),
    # choices
    *(({"choice": wrong}, ("choice",), [repr(wrong)]) for wrong in ([], "abc", 3, None, {"a": 1})),
    ({"choice": [1, object]}, ("choice",), ["must be a literal", "a type has no text"]),
    ({"choice": [1, [{2}]]}, ("choice",), ["must be a literal", "a set has no text"]),
    # constants
    *(({"constant": wrong}, ("constant",), [repr(wrong)]) for wrong in
      (None, [], [[1, 2], [3]], [1, "a"], [[1], ["a"]], {"a": 1}, [None], [1, [2]])),
    # values that the dtype cannot hold
    ({"log_normal": [0, 100]}, ("log_normal",), ["not finite in float64"]),
    ({"log_normal": [0, 20], "dtype": "float32"}, ("log_normal",), ["not finite in float32"]),
    ({"normal": [0, 1e300], "dtype": "float32"}, ("normal",), ["not finite in float32"]),
    ({"normal": [0, 1e308]}, ("normal",), ["not finite in float64"]),
    ({"uniform": [0, 1e39], "dtype": "float32"}, ("uniform",), ["not finite in float32"]),
    ({"constant": 1e39, "dtype": "float32"}, ("constant",), ["not finite in float32"]),
    (math.nan, ("constant",), ["not finite"]),
    (math.inf, ("constant",), ["not finite"]),
    ({"constant": [1.0, -math.inf]}, ("constant",), ["not finite"]),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "path", "words"), INVALID, ids=lambda value: str(value)[:60])
def test_a_wrong_entry_is_refused(entry: Any, path: tuple[str, ...], words: list[str]) -> None:
    """The error has the path of the key at fault, and names what was given."""
    with pytest.raises(Invalid) as caught:
        Space.parse({"fine": NORMAL, "x": entry})
    assert caught.value.path == ("x", *path)
    assert [part for part in words if part not in caught.value.message] == []


SINGLE: dict[str, Any] = {"dtype": "float32"}
COARSE: list[tuple[Any, list[str]]] = [
    (
        {"uniform": [16777217, 16777217.5], **SINGLE},
        ["16777217.5", "from 16777216.0 to 16777218.0", "2 apart", 'dtype = "float64"'],
    ),
    ({"uniform": [0.1, 0.1 + 1e-9], **SINGLE, "shape": [3]}, ["one value 0.1000000", 'dtype = "float64"']),
    ({"uniform": [1e16, 1e16 + 2]}, ["1e+16", "only 2 values", "float64", "add that number in the loss"]),
    ({"uniform": [1e-46, 2e-46], **SINGLE}, ["1e-46", "0 in float32", "1.4e-45"]),
    ({"uniform": [0, 2e-323]}, ["only 5 values, from 0.0 to 2e-323"]),
    ({"log_uniform": [1e-60, 1], **SINGLE}, ["1e-60", "0 in float32"]),
    ({"log_uniform": [1, 1 + 1e-15]}, ["only 6 values"]),
    ({"log_uniform": [5e-324, 2e-323]}, ["only 4 values"]),
    ({"normal": [1e20, 1]}, ["1e+20", "the one value"]),
    ({"normal": [1e9, 1], **SINGLE}, ["the one value 1000000000.0", "64 apart", 'dtype = "float64"']),
    ({"normal": [0, 1e-50], **SINGLE}, ["1e-50", "the one value 0.0"]),
    ({"normal": [0, 5e-324]}, ["5e-324", "only"]),
    ({"log_normal": [-80, 5], **SINGLE}, ["0 in float32"]),
    ({"log_normal": [20, 1e-17]}, ["the one value"]),
    ({"constant": [1.0, -1e-50], **SINGLE}, ["-1e-50", "0 in float32"]),
    ({"choice": [1.0, 1e-50, -1.0], **SINGLE}, ["1e-50", "0 in float32"]),
    ({"choice": [1.0, 1.0000000001], **SINGLE}, ["equal in float32"]),
]


@pytest.mark.parametrize(("entry", "words"), COARSE, ids=lambda value: str(value)[:60])
def test_a_distribution_that_the_dtype_makes_another_one_is_refused(entry: Any, words: list[str]) -> None:
    """A range of one value, or of a few, and zeros in place of small numbers are told before anything is drawn."""
    with pytest.raises(Invalid) as caught:
        Space.parse({"x": entry})
    assert caught.value.path == ("x", next(iter(entry)))
    assert [part for part in words if part not in caught.value.message] == []


@pytest.mark.parametrize("entry", [
    {"uniform": [1e6, 1e6 + 1], **SINGLE}, {"uniform": [-1e-40, 1e-40], **SINGLE}, {"uniform": [0, 1e-320]},
    {"normal": [0, 1e-40], **SINGLE}, {"log_uniform": [5e-324, 1]}, {"log_uniform": [1e-45, 1], **SINGLE},
    {"integer": [2**62 - 3, 2**62 - 1]}, {"choice": [0.0, 1.0], **SINGLE}, {"constant": [0.1, 0.1000000001], **SINGLE},
], ids=str)  # fmt: skip
def test_a_narrow_range_that_the_dtype_resolves_is_drawn(entry: Any) -> None:
    """Small numbers, zeros that were given, and whole numbers beyond a float's precision are what the file says."""
    assert Space.parse({"x": entry}).variables[0].describe()


@pytest.mark.parametrize(
    ("entry", "words"), [([-700, 40], "13% of its values"), ([-700, 10], "under 1% of its values"), ([0, 1], None)]
)
def test_a_tail_that_float64_cannot_hold_is_told(
    entry: list[float], words: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """exp(-745.2) is 0 in float64, which is 1.13 of the first distribution's deviations below its mean."""
    optitrip.search(lambda x: x, {"x": {"log_normal": entry}}, candidates=5, executor="serial")
    told = [record.getMessage() for record in caplog.records if getattr(record, "code", "") == "rounded-to-zero"]
    assert len(told) == (words is not None)
    assert all(text.startswith("space.x: ") and str(words) in text for text in told)


@pytest.mark.parametrize("options", [[1.0, math.inf, 2.0], [1.0, math.nan, 2.0]], ids=str)
def test_an_option_may_be_infinite_or_nan_on_purpose(options: list[float]) -> None:
    """It is a literal that somebody wrote; another distribution that reaches infinity is a mistake."""
    assert set(map(repr, drawn({"choice": options}, 60).tolist())) == set(map(repr, options))


def test_an_option_that_float32_cannot_hold_is_refused_wherever_it_stands() -> None:
    """It would turn to infinity in the middle of the sweep."""
    with pytest.raises(Invalid, match="not finite in float32"):
        Space.parse({"x": {"choice": [1.0, 1e39, 2.0], "dtype": "float32"}})


@pytest.mark.parametrize("word", ["normal", "uniform"])
def test_a_number_too_large_for_a_float_is_refused(word: str) -> None:
    """TOML's integers have no end; floats do."""
    with pytest.raises(Invalid) as caught:
        Space.parse({"x": {word: [0, HUGE]}})
    assert caught.value.path == ("x", word)


@pytest.mark.parametrize("bounds", [[1, 1], [1, 2], [2**40, 2**40], [2**40 - 1, 2**40]], ids=str)
def test_the_ends_of_a_range_of_sizes_are_drawn(bounds: list[int]) -> None:
    """The smallest and the largest range of `log_integer`: nothing beyond them, nothing left out."""
    assert set(drawn({"log_integer": bounds}, 60).tolist()) == set(bounds)


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "n" * 40_000])
def test_a_name_that_no_file_can_hold_is_refused(name: str) -> None:
    """An .npz file would cut it at the null character, or could not be written."""
    with pytest.raises(Invalid, match=r"cannot be the name of a variable|40,000 bytes") as caught:
        Space.parse({name: NORMAL})
    assert caught.value.path == (name,)


@pytest.mark.parametrize("name", ["a b", "1x", "a-b", "0.weight", "class", "é/ü", "..", " ", "n" * 5_000])
def test_any_other_text_names_a_variable(name: str) -> None:
    """Whether the loss takes it is asked of the loss."""
    assert Space.parse({name: NORMAL}).names == [name]


def test_an_empty_space_is_refused() -> None:
    """There is nothing to draw."""
    with pytest.raises(Invalid, match="is empty") as caught:
        Space.parse({})
    assert caught.value.path == ()
