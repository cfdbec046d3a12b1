"""Golden values of all that is written down: what a journal, a file or a program of last year holds must fit today's.

`PYTHONPATH=tests/support python tests/laws/test_pins.py --write` writes `pins.json` anew, from the code as it is. A
commit that changes a value there says why.
"""

from __future__ import annotations

import hashlib
import json
import re
import signal
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from functools import cache, partial, wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

import examples
import optitrip
from examples import LOSSES, Batched, Structured, around, deltas, draws, gradient, scalar, troubled
from optitrip.api.inputs import python_draft
from optitrip.app.context import Context, Options
from optitrip.app.load_objective import load
from optitrip.app.run_sweep import run_loaded
from optitrip.cli.main import app
from optitrip.config.sweep import Sweep
from optitrip.core.arrays import Array
from optitrip.core.method import Method
from optitrip.core.observer import Observer
from optitrip.core.point import Point
from optitrip.errors import InputError, Interrupted, NoAnswer, Stopped
from optitrip.executors.manager import executors
from optitrip.journal.database import APPLICATION_ID, INSERT, SCHEMA, VERSION
from optitrip.loss.objective import Objective
from optitrip.methods.gradient.structured import DeltasAgreement
from optitrip.methods.search.method import Search
from optitrip.methods.shared import Report
from optitrip.objectives import Rosenbrock
from optitrip.runtime.imports import import_paths
from optitrip.samplers import SAMPLERS
from optitrip.samplers.random import permutation, stream_key, words
from optitrip.samplers.sampler import Design
from optitrip.space.candidates import Candidates
from optitrip.space.distributions import ndtri
from optitrip.space.variables import Space
from optitrip.store.lookup import read, resolve
from optitrip.tracking.mlflow_client import InProcessClient
from optitrip.tracking.run import Ending, Metric, Run

HERE = Path(__file__).parent
METHODS = {word: make for word, make in examples.METHODS.items() if word != "count"}
"""All but the tests' own, of which nothing is kept."""
SWEEPS = HERE.parents[1] / "sweeps"
PINS = HERE / "pins.json"
SEARCH = """
seed = 3
[objective]
loss = "examples:beside"
[space]
x = { shape = [3], normal = [0, 1] }
k = { integer = [1, 9] }
c = 2.5
[method]
use = "search"
candidates = 300
[run]
executor = "serial"
[tracking]
use = "none"
"""
GRADIENT = """
seed = 3
[objective]
loss = "examples:beside"
[space]
x = { shape = [3], normal = [0, 1] }
y = { shape = [2, 2], uniform = [-1, 1], dtype = "float32" }
k = 3
[method]
use = "gradient"
at = { fill = 0.5 }
[run]
executor = "serial"
[tracking]
use = "none"
"""
EVERY: dict[str, Any] = {
    "normal": {"normal": [3.5, 0.25], "shape": [2, 3]},
    "log_normal": {"log_normal": [-2, 0.5]},
    "uniform": {"uniform": [-3, 5.5], "dtype": "float32", "shape": [4]},
    "log_uniform": {"log_uniform": [1e-4, 1e-1]},
    "integer": {"integer": [-3, 10], "shape": [5]},
    "choice": {"choice": ["rbf", "linear", "poly"]},
    "mixed": {"choice": ["auto", 1, 0.5, True]},
    "constant": {"constant": [[0.5, 1.5], [2.5, 3.5]]},
    "bare": 7,
}
LATER: dict[str, Any] = {"log_integer": {"log_integer": [16, 4096], "shape": [3]}}
"""Distributions that came later: variables more move no other."""
GROUPS: dict[str, Callable[[Path], Any]] = {}
"""What makes the values of each group, by the name of its test; it is given an empty folder."""


def blake(*data: bytes) -> str:
    return hashlib.blake2b(b"".join(data), digest_size=8).hexdigest()


def arithmetic() -> str:
    """What this machine and its libraries make of products, sums and functions: the bits of losses depend on them."""
    unit = (words(1, 0, 200_000) >> np.uint64(11)) * 2.0**-53
    with threadpool_limits(limits=1):
        products = [
            unit[: n * m].reshape(n, m) @ unit[: m * k].reshape(m, k)
            for n, m, k in ((1, 3, 40), (8, 3, 40), (8, 150, 40), (1437, 65, 10), (1437, 65, 2560))
        ]
        functions = [np.exp(unit), np.log(unit[1:]), np.sin(unit), ndtri(unit.copy()), unit.sum(keepdims=True)]
        normal = np.random.default_rng(1).standard_normal(1000)
    return blake(*(array.tobytes() for array in (*products, *functions, normal)))


CIRCUMSTANCES: dict[str, Callable[[], str]] = {
    "arithmetic": arithmetic,
    "python": lambda: ".".join(map(str, sys.version_info[:2])),
}
"""What some groups depend on beside the code; elsewhere they are skipped."""


def pinned(*circumstances: str) -> Callable[[Callable[[Path], Any]], Callable[[Path], None]]:
    """Make a test of what makes the values of a group."""

    def decorate(make: Callable[[Path], Any]) -> Callable[[Path], None]:
        @wraps(make)
        def test(tmp_path: Path) -> None:
            pins = json.loads(PINS.read_text())
            for name in circumstances:
                if CIRCUMSTANCES[name]() != pins[name]:
                    pytest.skip(f"{PINS.name} was written where {name} is another one")
            found, wanted = flat(made(make, tmp_path)), flat(pins[make.__name__])
            changed = [
                f"{key}: {wanted.get(key, '(none)')} -> {found.get(key, '(none)')}"
                for key in sorted({*found, *wanted})
                if found.get(key) != wanted.get(key)
            ]
            if changed:
                pytest.fail("what is written down has changed:\n" + "\n".join(changed), pytrace=False)

        test.__annotations__ = {"tmp_path": Path, "return": None}
        del test.__wrapped__  # pyright: ignore[reportAttributeAccessIssue] - pytest would ask for its parameters
        GROUPS[make.__name__] = make
        return test

    return decorate


def made(make: Callable[[Path], Any], folder: Path) -> Any:
    """As it comes back from JSON."""
    return json.loads(json.dumps(make(folder)))


def flat(nested: Any, prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, with the keys joined."""
    if not isinstance(nested, dict) or not nested:
        return {prefix: nested}
    start = f"{prefix} / " if prefix else ""
    return {key: value for name, entry in nested.items() for key, value in flat(entry, f"{start}{name}").items()}


def write() -> None:
    pins: dict[str, Any] = {name: ask() for name, ask in CIRCUMSTANCES.items()}
    for name, make in GROUPS.items():
        with TemporaryDirectory() as folder:
            pins[name] = made(make, Path(folder))
    PINS.write_text(json.dumps(pins, indent=1) + "\n")


def keys(nested: Any) -> Any:
    """The keys of nested tables, sorted; of lists, those of the first entry."""
    if isinstance(nested, dict):
        return {key: keys(nested[key]) for key in sorted(nested)}
    if isinstance(nested, list) and nested and isinstance(nested[0], dict):
        return [keys(nested[0])]
    return ""


def anywhere(text: str) -> str:
    """A traceback without what depends on where the checkout lies, or a function in its file.

    Of optitrip's own frames, its losses' excepted, only that they are there.
    """
    text = (
        text.replace(str(HERE), "TESTS")
        .replace(examples.HERE, "TESTS")
        .replace(str(Path(optitrip.__file__).parent), "OPTITRIP")
    )
    text = re.sub(r'  File "OPTITRIP/(?!objectives/)[^\n]*\n(?:    [^\n]*\n)*', "  (a frame of optitrip)\n", text)
    return re.sub(r'(File "(?:TESTS|OPTITRIP)[^"]*", line )\d+', r"\1N", text)


# Identities


def sweep_of(folder: Path, text: str, *overrides: str) -> Sweep:
    """The sweep of a file with this text, with the point of a gradient."""
    path = folder / "pinned.toml"
    path.write_text(text)
    return read(path, overrides, folder / "state")


@pinned()
def test_identities_of_searches(folder: Path) -> Any:
    """A sweep file of last year finds its state directory: those in `sweeps/`, and each key that may count."""
    files = [path for path in sorted(SWEEPS.glob("*.toml")) if "gradient" not in path.stem]
    variants = {
        "as it is": (),
        "seed": ("seed=4",),
        "maximize": ("objective.maximize=true",),
        "plain": ("objective.plain=true",),
        "block, which does not count": ("objective.block=7",),
        "not deterministic, which does not count": ("objective.deterministic=false",),
        "noise, which does not count": ("objective.deterministic=1e-9",),
        "repeats": ("objective.repeats=3",),
        "recheck, which does not count": ("method.recheck={best=2}",),
        "arguments": ("objective.arguments.data=digits",),
        "more candidates, which do not count": ("method.candidates=1000",),
        "best": ("method.best=3",),
        "screen": ("method.screen=rough",),
        "screen and device": ("method.screen=rough", "method.device=cpu"),
        "target_loss, which does not count": ("stop.target_loss=3.5",),
        "no_improvement, which does not count": ("stop.no_improvement=100",),
        "workers, retries and experiment, which do not count": (
            "run.workers=3",
            "failures.retries=2",
            "tracking.experiment=other",
        ),
        "float32": ("space.x.dtype=float32",),
        "another shape": ("space.x.shape=[3, 2]",),
    }
    made = SEARCH.replace('loss = "examples:beside"', 'make = "examples:with_rough"')
    return {
        "sweeps": {path.stem: read(path).identity for path in files},
        "keys": {name: sweep_of(folder, SEARCH, *overrides).identity for name, overrides in variants.items()},
        "make": sweep_of(folder, made).identity,
        "every distribution": sweep_of(folder, SEARCH, f"space={toml(EVERY)}").identity,
    }


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(entry)}" for key, entry in value.items()) + "}"
    return json.dumps(value)


@pinned("arithmetic")
def test_identities_of_gradients(folder: Path) -> Any:
    """A gradient's identity holds its point, to the bit: those in `sweeps/`, every way to say the point, every key."""
    np.savez(folder / "point.npz", x=np.array([0.1, 0.2, 0.3]), y=np.full((2, 2), 0.4, np.float32))
    (folder / "search.toml").write_text(SEARCH.replace("k = { integer = [1, 9] }", "k = 3"))
    run("sweep", folder / "search.toml", "--state-dir", folder / "state")
    values = "{ x = [1, 2.5, -3], y = [[0.1, 0.2], [0.3, 0.4]] }"
    variants = {
        "fill": (),
        "candidate": ("method.at={ candidate = 3 }",),
        "values": (f"method.at={{ values = {values} }}",),
        "file": ('method.at={ file = "point.npz" }',),
        "best_of": ('method.at={ best_of = "search.toml" }', "space={ x = { shape = [3] }, k = 3, c = 2.5 }"),
        "coordinates, which do not count": ("method.coordinates=4",),
        "plain": ("objective.plain=true",),
        "central": ("method.scheme=central",),
        "backward": ("method.scheme=backward",),
        "step": ("method.step=1e-4",),
        "without distributions": ('space={ x = { shape = [3] }, y = { shape = [2, 2], dtype = "float32" } }',),
        "float32": ("space.x.dtype=float32",),
    }
    files = [path for path in sorted(SWEEPS.glob("*.toml")) if "gradient" in path.stem]
    return {
        "sweeps": {path.stem: read(path, root=folder / "state").identity for path in files},
        "keys": {name: sweep_of(folder, GRADIENT, *overrides).identity for name, overrides in variants.items()},
    }


class Digested:
    """A loss with an identity of its own."""

    def __call__(self, x: Array, k: int, c: float) -> float:
        return scalar(x, k, c)

    def digest(self) -> str:
        return "the data of a test"


@pinned()
def test_identities_of_python_values(folder: Path) -> Any:
    """A loss that is a Python value finds its journal again by its name, or by its digest."""
    space = {"x": {"shape": [3], "normal": [0, 1]}, "k": {"integer": [1, 9]}, "c": 2.5}
    search: dict[str, Any] = {"seed": 3, "space": space, "method": {"use": "search", "candidates": 20, "best": 4}}
    losses = {
        "function": scalar,
        "object": Batched(),
        "partial": partial(scalar, c=2.5),
        "digest": Digested(),
        "lambda": lambda x, k, c: 0.0,
    }
    x = {"x": np.array([1.0, 2.0, 3.0]), "y": np.array([0.5], np.float32)}
    entries = {name: {"shape": list(value.shape), "dtype": str(value.dtype)} for name, value in x.items()}
    at = {"use": "gradient", "scheme": "central", "at": {"values": x}}
    along = python_draft(scalar, {"seed": 3, "space": entries, "method": at}, stored=False)
    largest = resolve(python_draft(scalar, {**search, "objective": {"maximize": True}}, stored=True), folder)
    return {
        **{name: resolve(python_draft(loss, search, stored=False), folder).label for name, loss in losses.items()},
        "maximize": largest.label,
        "gradient": resolve(along, folder).label,
    }


# Digests and streams


@pinned()
def test_digests_of_methods(folder: Path) -> Any:
    """A journal's rows are those of a method: its digest does not move, whatever the number of items."""
    several = {f"{name} of {items}": make(items) for name, make in METHODS.items() for items in (2, 40)}
    others: dict[str, Method] = {
        "search by a screen on a device": Search(draws(), 20, screen="rough on cpu"),
        "search that stops": Search(draws(), 20, target_loss=1.0, no_improvement=5),
        "search with a sampler's name": Search(Candidates(Space.parse(EVERY), 7, "random"), 20),
        "forward, wide": gradient(151, "forward"),
        "central, wide": gradient(20, "central"),
        "deltas, wide": deltas(151),
        "deltas agreement": DeltasAgreement(deltas(151).points, 3, method=deltas(151)),
        "report of a gradient": Report(gradient(4, "forward", 3).points, 0, ("x",)),
    }
    methods: dict[str, Method] = {**several, **others}
    return {name: [method.kind, method.digest().hex(), blake(method.preparation)] for name, method in methods.items()}


@pinned()
def test_streams(folder: Path) -> Any:
    """Keys and words of the random streams, and the order of coordinates that is drawn from one."""
    streams = [(0, "candidate", "W"), (-5, "candidate", "größe"), (2**70, "coordinate", ""), (1, "noise", "W")]
    return {
        "keys": {json.dumps(stream): f"{stream_key(*stream):032x}" for stream in streams},
        "words": {
            json.dumps(stream): [
                f"{word:016x}" for start in (0, 5, 10**12) for word in words(stream_key(*stream), start, 3)
            ]
            for stream in streams
        },
        "permutation": permutation(4, "coordinate", "", 12).tolist(),
    }


@pinned()
def test_points_of_samplers(folder: Path) -> Any:
    """Rows of the unit cube, to the bit, near the first and far out."""
    design = Design({"b": 3, "a": 1}, {"b": 4, "a": 7}, candidates=1_000)
    return {
        word: {
            str(items): {name: hashed_array(unit) for name, unit in sampler.unit(11, design, items).items()}
            for items in (range(0, 50), range(999_983, 999_990), range(2**53 - 9, 2**53))
        }
        for word, sampler in SAMPLERS.items()
    }


@pinned("arithmetic")
def test_drawn_values(folder: Path) -> Any:
    """Candidates of a space with every distribution, to the bit, near the first and far out."""
    found = Candidates(Space.parse(EVERY | LATER), 11)

    def hashed(items: range) -> dict[str, str]:
        return {name: hashed_array(values) for name, values in found.values(items).items()}

    return {str(items): hashed(items) for items in (range(0, 50), range(999_983, 999_990))}


def hashed_array(values: Array) -> str:
    data = repr(values.tolist()).encode() if values.dtype.hasobject else values.tobytes()
    return f"{values.dtype.str} {list(values.shape)} {blake(data)}"


# Parts and failures


@pinned("arithmetic", "python")
def test_bytes_of_parts(folder: Path) -> Any:
    """A part's columns and its failures are the same bytes, for every method and every loss that it takes."""
    found: dict[str, list[str]] = {}
    structured = Objective(Structured(3))
    with threadpool_limits(limits=1):
        for word, make in METHODS.items():
            method = make(40)
            taken = {"structured": structured} if word == "deltas" else LOSSES
            taken = {"growing": examples.CASES["halved"][0]} if word in ("first rungs", "rung") else taken
            for name, objective in taken.items():
                fits = (word != "screen" or objective.surrogate) and (
                    word != "agreement" or objective.capabilities.losses
                )
                if not fits or (word == "report" and not objective.capabilities.report):
                    continue
                items = range(0, 1) if word == "report" else range(0, min(4, method.items))
                items = range(1, min(30, method.items)) if method.items > 4 else items
                found[f"{word}, {name}"] = bytes_of(method, objective, items)
        for scheme in ("forward", "central"):
            found[f"deltas {scheme}, wide"] = bytes_of(deltas(151, scheme), Objective(Structured(150)), range(0, 151))
            found[f"gradient {scheme}, wide"] = bytes_of(gradient(151, scheme), Objective(Batched(150)), range(5, 151))
        checks = DeltasAgreement(deltas(151).points, 3, method=deltas(151))
        found["deltas agreement"] = bytes_of(checks, Objective(Structured(150)), range(0, 3))
        found["lost"] = bytes_of_part(METHODS["search"](40).failed_part(range(3, 9), []))
    return found


def bytes_of(method: Any, objective: Objective, items: range) -> list[str]:
    return bytes_of_part(method.evaluate(method.prepare(objective), items))


def bytes_of_part(part: Any) -> list[str]:
    return [*sorted(part.columns), blake(part.columns_bytes()), blake(json.dumps(failures(part)).encode())]


def failures(part: Any) -> Any:
    """Their bytes, read as the JSON that they are, with tracebacks that could be from anywhere."""
    data = part.failures.to_bytes()
    table = json.loads(data)
    assert json.dumps(table, sort_keys=True, separators=(",", ":")).encode() == data
    for records in table["records"].values():
        for record in records:
            record["traceback"] = anywhere(record["traceback"])
    return table


class Raising:
    """Raises from a function below it, wherever it is asked."""

    def __init__(self, *, batched: bool) -> None:
        if batched:
            self.losses = self.__call__

    def __call__(self, x: Array, k: Any, c: Any) -> Any:
        return refuse("a loss")

    def report(self, x: Array, k: int, c: float) -> Any:
        return refuse("a report")

    def gradient(self, x: Array, k: int, c: float) -> Any:
        return refuse("a gradient")


class RaisingAround:
    """Can be prepared, or not."""

    def __init__(self, *, prepared: bool) -> None:
        self.prepared = prepared

    def __call__(self, x: Array, k: int, c: float) -> float:
        return scalar(x, k, c)

    def around(self, x: Array, k: int, c: float) -> Any:
        return self if self.prepared else refuse("around")

    def deltas(self, coordinates: Array, steps: Array) -> Any:
        return refuse("deltas")


def refuse(what: str) -> Any:
    raise ArithmeticError(f"{what} is not for this point")


def below(x: Array, k: int, c: float) -> Any:
    """A loss that cannot be computed on one side of a plane."""
    return scalar(x, k, c) if x.sum() >= around(3).values["x"].sum() else refuse("a loss")


def interrupts(x: Array, k: int, c: float) -> float:
    """A loss in the middle of which somebody presses Ctrl-C twice."""
    if k == 9 and x[0] > 2.5:
        signal.raise_signal(signal.SIGINT)  # the first one only asks for a stop
        signal.raise_signal(signal.SIGINT)
    return scalar(x, k, c)


def nowhere(x: Array, k: int, c: float) -> float:
    """A loss that is finite nowhere."""
    return float("nan")


def cannot_be_made() -> Any:
    return refuse("a factory")


@pinned("arithmetic", "python")
def test_failures_in_words(folder: Path) -> Any:
    """A failure is recorded in the same words, by whichever way the loss was reached."""
    x = gradient(4, "forward", 3).points
    single = Space.parse({"x": {"shape": [1], "uniform": [-2, 2]}})
    cases: dict[str, tuple[Any, Any, range]] = {
        "plain": (METHODS["search"](9), Raising(batched=False), range(3, 5)),
        "in a block": (METHODS["search"](9), Raising(batched=True), range(3, 5)),
        "side of a gradient": (METHODS["central"](4), Raising(batched=False), range(1, 2)),
        "second side of a gradient": (METHODS["central"](4), below, range(1, 3)),
        "report": (Report(draws(), 7), Raising(batched=False), range(1)),
        "analytic gradient": (Report(x, 0, ("x",)), Raising(batched=False), range(1)),
        "deltas": (METHODS["deltas"](4), RaisingAround(prepared=True), range(1, 2)),
        "around": (METHODS["deltas"](4), RaisingAround(prepared=False), range(1, 2)),
        "each kind": (METHODS["search"](60), troubled, range(60)),
        "a loss of optitrip's own": (Search(Candidates(single, 0), 3), Rosenbrock(), range(1)),
    }
    return {
        name: failures(method.evaluate(method.prepare(Objective(loss)), items))
        for name, (method, loss, items) in cases.items()
    }


@pinned("python")
def test_traceback_of_an_objective_that_cannot_be_made(folder: Path) -> Any:
    """A loss that cannot be built is told with the user's frames alone, too."""
    (folder / "pins_broken.py").write_text("raise LookupError('no data')\n")
    told: dict[str, str] = {}
    for line in ('make = "test_pins:cannot_be_made"', 'loss = "pins_broken:loss"'):
        with pytest.raises(InputError) as caught:
            load(sweep_of(folder, SEARCH.replace('loss = "examples:beside"', line)))
        told[line] = anywhere(str(caught.value).replace(str(folder), "FOLDER"))
    return told


# What a run leaves


def run(*words: object) -> dict[str, Any]:
    """A command in this process: its exit status, and the one JSON object that it prints."""
    result = CliRunner().invoke(app, list(map(str, words)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    said: Any = json.loads(result.stdout) if "--json" in words else None
    return {"exit status": result.exit_code, "said": said}


SMALL: dict[str, tuple[str, tuple[str, ...]]] = {
    "search": (SEARCH, ()),
    "largest": (SEARCH, ("objective.maximize=true",)),
    "screened": ("digits_random", ("method.candidates=300", "method.screen=low_rank")),
    "gradient": (GRADIENT, ("space={ x = { shape = [3], normal = [0, 1] }, k = 3, c = 2.5 }",)),
    "gradient of digits": ("digits_gradient", ("method.coordinates=20",)),
    "stopped": (SEARCH, ("objective.loss=test_pins:interrupts", "method.candidates=100000")),
    "without an answer": (SEARCH, ("objective.loss=test_pins:nowhere",)),
    "gradient without an answer": (
        GRADIENT,
        ("space={ x = { shape = [3], normal = [0, 1] }, k = 3, c = 2.5 }", "objective.loss=test_pins:nowhere"),
    ),
}
"""Small sweeps: a file's text, or its name in `sweeps/`, and overrides."""


def small(folder: Path, name: str) -> tuple[Path, Sequence[str]]:
    """A file of one of them, and its overrides."""
    text, overrides = SMALL[name]
    path = folder / f"{name.replace(' ', '_')}.toml"
    path.write_text(text if "\n" in text else (SWEEPS / f"{text}.toml").read_text())
    return path, (*overrides, "run.executor=serial")


@cache
def ended(name: str) -> dict[str, Any]:
    """What the command says of one of them, and all that it leaves."""
    with TemporaryDirectory() as scratch:
        path, overrides = small(Path(scratch), name)
        said = [word for one in (*overrides, "tracking.use=none") for word in ("--set", one)]
        answer = run("sweep", path, "--json", "--quiet", "--state-dir", path.with_name("state"), *said)
        (state,) = path.with_name("state").iterdir()
        shown = run("show", state.name, "--json", "--state-dir", state.parent)
        result = state / "result.json"
        keys_of = {"--json": keys(answer["said"]), "show --json": keys(shown["said"])}
        return {
            "answer": answer["said"],
            "identity.json": json.loads((state / "identity.json").read_bytes()),
            "contents": contents(state),
            "shape": {
                "exit status": answer["exit status"],
                "status": answer["said"]["status"],
                **keys_of,
                "result.json": keys(json.loads(result.read_bytes())) if result.exists() else None,
                "files": sorted(path.name for path in state.iterdir()),
                "facts": facts(state),
            },
        }


def facts(state: Path) -> dict[str, Any]:
    """The facts of a journal by name, with the keys of each, and which stages and columns its rows have."""
    with closing(sqlite3.connect(state / "journal.sqlite")) as database:
        known = {key: json.loads(value) for key, value in database.execute("SELECT key, value FROM meta")}
        rows = database.execute("SELECT stage, columns FROM part ORDER BY stage, lo").fetchall()
    for table in ("modules", "data"):  # what else was imported is not ours to say
        known.get("provenance", {}).pop(table, None)
    known.get("result", {}).pop("outcome", None)  # that of the result file
    heads = {f"columns of stage {stage}": heading(columns) for stage, columns in reversed(rows)}
    stages = {key: value[1:] for key, value in known.items() if key.startswith("stage ")}
    return {**keys(known), **stages, **heads}


def heading(columns: bytes) -> list[str]:
    return [f"{name} {dtype}" for name, dtype, _ in json.loads(columns.partition(b"\n")[0])]


def contents(state: Path) -> dict[str, Any]:
    """The result files of numbers: arrays by name, columns by name."""
    hashes: dict[str, Any] = {path.name: blake(path.read_bytes()) for path in sorted(state.glob("*.npz"))}
    for path in sorted(state.glob("*.parquet")):
        table = pq.read_table(path)
        hashes[path.name] = {name: hashed_array(table[name].to_numpy()) for name in table.column_names}
    return hashes


@pinned()
def test_format_of_the_journal(folder: Path) -> Any:
    """A journal of last year can be opened."""
    return {
        "schema": blake(SCHEMA.encode()),
        "insert": INSERT,
        "version": VERSION,
        "application": APPLICATION_ID,
    }


@pytest.mark.daily
@pinned()
def test_what_a_run_leaves(folder: Path) -> Any:
    """Names of files and of facts, and the keys of what is printed, of sweeps that end in every way."""
    return {name: ended(name)["shape"] for name in SMALL}


@pytest.mark.daily
@pinned("arithmetic")
def test_contents_of_files(folder: Path) -> Any:
    """Identity and numbers in the state directories of finished sweeps, to the bit."""
    finished = {name: ended(name) for name in SMALL if ended(name)["answer"]["status"] == "finished"}
    return {
        name: {
            "answer": {key: found["answer"][key] for key in ("identity", "items", "evaluated", "failures")},
            "identity.json": found["identity.json"],
            **found["contents"],
        }
        for name, found in finished.items()
    }


class Recording(InProcessClient):
    """Keeps the keys of what MLflow would be told."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {"metrics": set[str]()}

    def begin(self, run: Run) -> str:
        self.told |= {"params": sorted(run.params), "tags": sorted(run.tags)}
        return "run"

    def log(self, metrics: Sequence[Metric], tags: Mapping[str, str]) -> None:
        del tags
        self.told["metrics"] |= {metric[0] for metric in metrics}

    def conclude(self, ending: Ending) -> list[str]:
        self.log(ending.metrics, {})
        tags = sorted({*self.told["tags"], *ending.tags})
        self.told |= {
            "tags": tags,
            "state": ending.tags["optitrip.state"],
            "status": ending.status,
            "files": [Path(file).name for file in ending.files],
        }
        return []

    def keys(self) -> Mapping[str, Any]:
        return {**self.told, "metrics": sorted(self.told["metrics"])}


@pytest.mark.daily
@pinned()
def test_what_mlflow_is_told(folder: Path) -> Any:
    """Names of params, tags, metrics and files, and the words for how a sweep ended."""
    found: dict[str, Any] = {}
    for name in ("search", "screened", "gradient of digits", "stopped", "gradient without an answer"):
        path, overrides = small(folder, name)
        sweep = read(path, (*overrides, "tracking.use=mlflow"), folder)
        recording = Recording()
        with executors("serial") as workers:
            options, paths = Options(folder / path.stem), import_paths(folder)
            run = Context(sweep, load(sweep), paths, workers, options, Observer(), True, client=recording)
            with suppress(NoAnswer, Stopped, Interrupted):
                run_loaded(run)
        found[name] = recording.keys()
    return found


@pinned()
def test_digest_of_a_point(folder: Path) -> Any:
    """Part of every gradient's identity."""
    values = {"x": np.array([1.0, -0.0]), "k": np.array(3), "s": np.array("adam"), "o": np.array([1, "a"], object)}
    return {"varied": Point(values, ("x",)).digest, "nothing varied": Point(values, ()).digest}


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python tests/laws/test_pins.py --write")
    import test_pins  # not __main__: the names of losses hold that of their module

    test_pins.write()
