"""Sweep files: which of them are the same sweep, and how mistakes are reported, with their place."""

from __future__ import annotations

import codecs
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optitrip.config.locations import Lines
from optitrip.config.sweep import Sweep
from optitrip.core.differences import differences, nearest
from optitrip.errors import InputError
from optitrip.methods.search.spec import SearchConfig
from optitrip.store.lookup import read

SWEEPS = sorted((Path(__file__).parents[3] / "sweeps").glob("*.toml"))

PLAIN = """\
seed = 3

[objective]
loss = "rosenbrock:loss"
block = 8

[objective.arguments]
a = 1.0
b = 100

[space]
x = { normal = [0, 1] }
W = { shape = [10, 65], uniform = [-1, 1], dtype = "float32" }
kernel = { choice = ["rbf", "linear"] }
n = { integer = [2, 10] }
c = 2.5

[method]
use = "search"
candidates = 500

[run]
workers = 2

[tracking]
use = "none"
"""

REORDERED = """\
# Another face of the same sweep.
tracking = { experiment = "elsewhere" }
method.candidates = 7_000   # raising it extends the sweep
method.use = 'search'
method.sampler = "random"
method.best = 10
run = { executor = "serial", num_gpus = 1, resources = { gpu4 = 1 } }

[space]
c = { constant = 2.50 }
"n" = { "integer" = [
    2,   # at least
    10,
] }
kernel.choice = ['rbf', "linear"]
[space.W]
dtype = "float32"
uniform = [-1.0, 1e0]
shape = [10, 65]
[space.x]
normal = [0.0, 1]

[objective]
arguments = { b = 100, a = 1e0 }
loss = '''rosenbrock:loss'''
"""


def sweep_of(folder: Path, text: str, *overrides: str, name: str = "plain.toml") -> Sweep:
    (folder / name).write_text(text + "\n", encoding="utf-8")
    return read(folder / name, overrides)


def mistake(folder: Path, text: str, *overrides: str, name: str = "bad.toml") -> str:
    """Return the error message for a bad file, without its folder."""
    with pytest.raises(InputError) as caught:
        sweep_of(folder, text, *overrides, name=name)
    return str(caught.value).replace(f"{folder}/", "")


def test_a_file_is_read_as_written(tmp_path: Path) -> None:
    """Every value arrives where it belongs."""
    sweep = sweep_of(tmp_path, PLAIN)
    assert (sweep.name, sweep.seed, sweep.folder) == ("plain", 3, tmp_path.resolve())
    assert (sweep.objective.loss, sweep.objective.make, sweep.objective.block) == ("rosenbrock:loss", None, 8)
    assert sweep.objective.arguments == {"a": 1.0, "b": 100}
    assert sweep.space.names == ["x", "W", "kernel", "n", "c"]
    assert sweep.method == SearchConfig(use="search", candidates=500, best=10, sampler="random")
    assert (sweep.run.workers, sweep.run.executor, sweep.tracking.use) == (2, "auto", "none")
    assert sweep.text == PLAIN + "\n"
    assert sweep.label == f"plain-{sweep.identity}"
    assert len(sweep.identity) == 8
    assert int(sweep.identity, 16) >= 0


def test_the_identity_is_frozen(tmp_path: Path) -> None:
    """Written down once: if it changes, nobody's unfinished sweep is found again, and ALGORITHM should say why."""
    assert sweep_of(tmp_path, PLAIN).identity == "0fa65662"


def test_reordered_is_the_same(tmp_path: Path) -> None:
    """Order, comments, quotes, spelling of numbers, item count, [run], [tracking] and block are no part of it."""
    assert sweep_of(tmp_path, REORDERED, "seed=3").identity == sweep_of(tmp_path, PLAIN).identity


@pytest.mark.parametrize(
    "override",
    [
        "name=other", "method.candidates=7", "run.workers=5", "run.executor=serial", "run.num_gpus=1.0",
        'run.resources={ "gpu4" = 1 }',
        "tracking.use=mlflow", "tracking.experiment=mine", "objective.block=1", "space.x.normal=[0.0, 1.0]",
        "space.c={ constant = 2.5 }", "space.W.uniform=[-1.0, 1]", "seed=0x3", "method.sampler=random",
        "method.best=10", 'space.x.dtype="float64"', "space.x.shape=[]",
    ],
)  # fmt: skip
def test_what_does_not_change_the_answer_does_not_change_the_identity(tmp_path: Path, override: str) -> None:
    """Defaults spelled out, other spellings of a value, and everything about where the work is done."""
    assert sweep_of(tmp_path, PLAIN, override).identity == sweep_of(tmp_path, PLAIN).identity


CHANGES = [
    "seed=4", "seed=-3", "method.best=11", "objective.loss=rosenbrock:other", "objective.loss=other:loss",
    "objective.arguments.a=1.5", "objective.arguments.a=1", 'objective.arguments.a="1.0"', "objective.arguments.b=101",
    "objective.arguments.b=true", "objective.arguments.c=1", "space.x.normal=[0, 2]", "space.x.normal=[0.1, 1]",
    "space.x.shape=[1]", "space.x.dtype=float32", "space.W.shape=[65, 10]", "space.W.dtype=float64",
    "space.kernel.choice=[\"linear\", \"rbf\"]", "space.n.integer=[2, 11]", "space.c=2.6",
    "space.x={ log_normal = [0, 1] }", "space.c={ choice = [2.5] }",
]  # fmt: skip


def test_what_changes_the_answer_changes_the_identity(tmp_path: Path) -> None:
    """Seed, space, objective, arguments and best: all of these sweeps are different ones."""
    identities = [sweep_of(tmp_path, PLAIN, change).identity for change in CHANGES]
    identities += [sweep_of(tmp_path, PLAIN).identity, sweep_of(tmp_path, PLAIN + "[space.y]\nnormal=[0,1]").identity]
    identities.append(sweep_of(tmp_path, PLAIN.replace("loss =", "make =")).identity)
    assert len(set(identities)) == len(CHANGES) + 3


def test_a_date_is_not_its_text(tmp_path: Path) -> None:
    """An argument that is a date and one that is a string are different arguments."""
    date, text = "objective.arguments.a=2020-01-01", 'objective.arguments.a="2020-01-01"'
    assert sweep_of(tmp_path, PLAIN, date).identity != sweep_of(tmp_path, PLAIN, text).identity


def test_one_and_one_point_zero_as_constants_differ(tmp_path: Path) -> None:
    """The objective gets an int or a float, as the file says."""
    one, other = (sweep_of(tmp_path, PLAIN, f"space.c={value}") for value in ("1", "1.0"))
    assert one.identity != other.identity


def test_differences_name_the_keys_that_changed(tmp_path: Path) -> None:
    """Each changed key once, with its old and its new value, dotted and sorted."""
    before, after = (
        sweep_of(tmp_path, PLAIN).identity_fields,
        sweep_of(tmp_path, PLAIN, "seed=4", "space.c=1").identity_fields,
    )
    del after["objective"]["arguments"]["b"]
    assert differences(before, after) == [
        "objective.arguments.b: 100 -> (none)", "seed: 3 -> 4", "space.c.constant: 2.5 -> 1",
    ]  # fmt: skip
    assert differences(before, before) == []


OVERRIDES: list[tuple[str, str, Any]] = [
    ("method.candidates=7", "method.candidates", 7),
    ("method.candidates = 1_000", "method.candidates", 1000),
    ("objective.arguments.data=digits", "objective.arguments.data", "digits"),
    ('objective.arguments.data="digits"', "objective.arguments.data", "digits"),
    ("objective.arguments.data= two words ", "objective.arguments.data", "two words"),
    ("objective.arguments.path=/a/b=c", "objective.arguments.path", "/a/b=c"),
    ("objective.arguments.rate=1e-4", "objective.arguments.rate", 1e-4),
    ("objective.arguments.on=true", "objective.arguments.on", True),
    ("objective.arguments.on=True", "objective.arguments.on", "True"),
    ("objective.arguments.none=", "objective.arguments.none", ""),
    ("objective.arguments.list=[1, 2]", "objective.arguments.list", [1, 2]),
    ("objective.arguments.deep.er=1", "objective.arguments.deep", {"er": 1}),
    ("objective.arguments={ a = 2 }", "objective.arguments", {"a": 2}),
    ("seed=-5", "seed", -5),
    ("name=mine", "name", "mine"),
]


@pytest.mark.parametrize(("override", "key", "wanted"), OVERRIDES, ids=[given for given, _, _ in OVERRIDES])
def test_an_override_is_toml_else_a_plain_string(tmp_path: Path, override: str, key: str, wanted: Any) -> None:
    """The right-hand side is read as TOML; what is none is taken as it stands."""
    found: Any = sweep_of(tmp_path, PLAIN, override)
    for part in key.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == wanted
    assert type(found) is type(wanted)


KEYS = [
    ('"a.b"=1', {"a.b": 1}),
    ("'a=b' = 'c=d'", {"a=b": "c=d"}),
    ('"a\\"b".c=1', {'a"b': {"c": 1}}),
    ('"a\\u00e9" . b=1', {"aé": {"b": 1}}),
    ('"#"."".\'"x"\'=2', {"#": {"": {'"x"': 2}}}),
    ("a.b=c=d", {"a": {"b": "c=d"}}),
    ('"a]b"=[1, 2]', {"a]b": [1, 2]}),
    ("a=1\nb = 2", {"a": "1\nb = 2"}),
]


@pytest.mark.parametrize(("override", "wanted"), KEYS, ids=[given for given, _ in KEYS])
def test_the_key_of_an_override_is_read_as_in_a_file(tmp_path: Path, override: str, wanted: Any) -> None:
    """Dots and equals signs in quotes belong to the key, and escapes are read; nothing behind the value is lost."""
    found = sweep_of(tmp_path, PLAIN, f"objective.arguments.table.{override}")
    assert found.objective.arguments["table"] == wanted


def test_a_quoted_key_is_the_bare_one(tmp_path: Path) -> None:
    """In the space too, and a mistake in it is still found."""
    assert sweep_of(tmp_path, PLAIN, "space.\"x\".'normal'=[0, 2]").space.describe()["x"]["normal"] == [0.0, 2.0]
    assert "no variable 'a.b'" in mistake(tmp_path, PLAIN, 'space."a.b".uniform=[0, 1]')


@pytest.mark.parametrize("override", ['"a=1', "a b=1", 'x."=1', "'a'b=1", "arguments[0]=1", ".=1", '"""a"""=1'])
def test_what_is_no_key_in_toml_is_refused(tmp_path: Path, override: str) -> None:
    """The message says what a key is."""
    assert f"--set {override}: wanted key=value" in mistake(tmp_path, PLAIN, override)


def test_overrides_apply_in_order(tmp_path: Path) -> None:
    """The last word counts, and the others stay."""
    sweep = sweep_of(tmp_path, PLAIN, "seed=1", "method.candidates=9", "seed=2")
    assert (sweep.seed, sweep.items) == (2, 9)


def test_an_override_equals_the_file_that_says_so(tmp_path: Path) -> None:
    """`--set` is the same sweep as the edited file, and its resolved text is that file with its name."""
    edited = sweep_of(tmp_path, PLAIN.replace("seed = 3", "seed = 5").replace("[0, 1]", "[0, 2]"))
    sweep = sweep_of(tmp_path, PLAIN, "seed=5", "space.x.normal=[0, 2]")
    assert sweep.identity_fields == edited.identity_fields
    assert sweep.resolved == edited.text.replace("seed = 5\n", 'seed = 5\nname = "plain"\n')


WRONG_OVERRIDES = [
    ("seed", ["--set seed:", "key=value"]),
    ("=3", ["--set =3:", "key=value"]),
    ("method.=3", ["--set method.=3:", "key=value"]),
    ("method..best=3", ["--set method..best=3:", "key=value"]),
    ("method.candidate=5", ["--set method.candidate=5: method.candidate: unknown key; did you mean candidates?"]),
    ("methods.candidates=5", ["--set methods.candidates=5: methods: unknown key; did you mean method?"]),
    ("method.candidates=0", ["--set method.candidates=0: method.candidates: was 0, wanted", "1"]),
    ("method.candidates=many", ["--set method.candidates=many: method.candidates: was 'many', wanted", "integer"]),
    ("method.candidates.x=3", ["--set method.candidates.x=3:", "method.candidates is 500, not a table"]),
    ("seed.x=3", ["--set seed.x=3:", "seed is 3, not a table"]),
    ("space.c.normal=[0, 1]", ["--set space.c.normal=[0, 1]:", "space.c is 2.5, not a table"]),
    ("space.kernal.choice=[1]", ["--set space.kernal.choice=[1]:", "no variable 'kernal'", "did you mean kernel?"]),
    ("space.y=1", ["--set space.y=1:", "no variable 'y'", "x, W, kernel, n, c"]),
    ("space.n.integer=[5, 4]", ["--set space.n.integer=[5, 4]: space.n.integer:", "[5, 4]"]),
    ("space.n={ integer = [5, 4] }", ["--set space.n={ integer = [5, 4] }: space.n.integer:", "[5, 4]"]),
    ("space={}", ["--set space={}: space: is empty"]),
    ("space=3", ["--set space=3: space: was 3, wanted a table"]),
    ("run.workers=0", ["--set run.workers=0: run.workers: was 0"]),
    ("run.executor=slurm", ["--set run.executor=slurm: run.executor: was 'slurm'", "'auto', 'serial' or 'ray'"]),
]


@pytest.mark.parametrize(("override", "expected"), WRONG_OVERRIDES, ids=[given for given, _ in WRONG_OVERRIDES])
def test_a_wrong_override_is_blamed_itself(tmp_path: Path, override: str, expected: list[str]) -> None:
    """The message names the `--set` that was given, not a line of the file."""
    message = mistake(tmp_path, PLAIN, override)
    assert [part for part in expected if part not in message] == []
    assert "bad.toml" not in message


def test_an_override_of_a_space_that_is_no_table_is_reported(tmp_path: Path) -> None:
    """The message names the value that stands in place of the table, as for any other table."""
    message = mistake(tmp_path, "space = 3\n", "space.x=1")
    assert "--set space.x=1:" in message
    assert "space is 3, not a table" in message


def test_an_override_below_a_number_that_the_file_leaves_out_is_blamed_itself(tmp_path: Path) -> None:
    """The file has no seed, so the mistake is the override's."""
    message = mistake(tmp_path, changed("seed = 3\n", ""), "seed.x=3")
    assert message.startswith("--set seed.x=3: seed: was {'x': 3}, wanted")


def changed(old: str, new: str) -> str:
    assert PLAIN.count(old) == 1, old
    return PLAIN.replace(old, new)


BAD: dict[str, tuple[str, list[str]]] = {
    # not TOML
    "no value": (changed("seed = 3", "seed ="), ["bad.toml:1:7: not TOML:"]),
    "open string": (changed('"search"', '"search'), ["bad.toml:19:14: not TOML:"]),
    "twice": (changed("[run]", "[space]"), ["bad.toml:22:", "not TOML:", "space"]),
    "key twice": (changed("b = 100", "a = 100"), ["bad.toml:9:", "not TOML:"]),
    "yaml": ("seed: 3\n", ["bad.toml:1:", "not TOML:"]),
    "open array": (changed("[0, 1]", "[0, 1"), ["bad.toml:12:", "not TOML:"]),
    # unknown keys
    "unknown table": (changed("[tracking]", "[trackin]"), ["bad.toml:25: trackin: unknown key; did you mean tracking"]),
    "unknown key at the top": ("sed = 4\n" + PLAIN, ["bad.toml:1: sed: unknown key; did you mean seed?"]),
    "unknown key": (
        changed("candidates = 500", "candidates = 500\nbets = 3"),
        ["bad.toml:21: method.bets: unknown key; did you mean best?", "candidates, sampler, points, first"],
    ),
    "unlike any key": (changed("block = 8", "zzzz = 8"), ["bad.toml:5: objective.zzzz: unknown key; known: loss,"]),
    "unknown key of a variable": (
        changed("x = { normal", "x = { norml"), ["bad.toml:12: space.x.norml: unknown key; did you mean normal?"],
    ),
    "unknown dotted key": (changed("[run]\nworkers", "[run]\nfoo.bar"), ["bad.toml:23: run.foo: unknown key"]),
    "unknown array of tables": (PLAIN + '[[lag]]\nuse = "x"\n[[lag]]\n', ["bad.toml:27: lag: unknown key"]),
    # missing keys
    "nothing at all": ("", ["objective: is missing; wanted a table", "space: is missing; wanted a table", "method:"]),
    "no candidates": (
        changed("candidates = 500\n", ""), ["bad.toml:18: method.candidates: is missing; wanted a whole number"],
    ),
    "no use": (changed('use = "search"\n', ""), ["bad.toml:18: method.use: is missing; wanted 'search'"]),
    "no method": (
        changed('[method]\nuse = "search"\ncandidates = 500\n', ""),
        ["bad.toml:1: method: is missing; wanted this table, or [[leg]]"],
    ),
    "a method and legs": (
        PLAIN + '[[leg]]\nuse = "search"\n', ["bad.toml:18: method: is given beside [[leg]]"],
    ),
    # wrong types and values
    "text for a number": (changed("500", '"500"'), ["bad.toml:20: method.candidates: was '500', wanted", "integer"]),
    "a fraction": (changed("500", "500.5"), ["bad.toml:20: method.candidates: was 500.5, wanted", "integer"]),
    "a float": (changed("500", "500.0"), ["bad.toml:20: method.candidates: was 500.0, wanted", "integer"]),
    "a bool": (changed("seed = 3", "seed = true"), ["bad.toml:1: seed: was True, wanted", "integer"]),
    "number for a table": (
        changed("[run]\nworkers = 2\n", "").replace("seed = 3", "seed = 3\nrun = 2"),
        ["bad.toml:2: run: was 2, wanted a table"],
    ),
    "number for a name": (changed("seed = 3", "name = 3"), ["bad.toml:1: name: was 3, wanted", "string"]),
    "text for a resource": (
        changed("workers = 2", 'resources = { gpu4 = "one" }'), ["bad.toml:23: run.resources.gpu4: was 'one', wanted"],
    ),
    "GPUs among custom resources": (
        changed("workers = 2", "resources = { GPU = 1 }"), ["bad.toml:23: run.resources.GPU", "num_gpus in [run]"],
    ),
    "no candidate": (changed("500", "0"), ["bad.toml:20: method.candidates: was 0, wanted greater than or equal to 1"]),
    "negative candidates": (changed("500", "-5"), ["bad.toml:20: method.candidates: was -5, wanted greater than or"]),
    "too many candidates": (
        changed("500", "9_007_199_254_740_993"), ["bad.toml:20: method.candidates: was 9007199254740993, wanted less"],
    ),
    "no best": (changed("candidates = 500", "candidates = 5\nbest = 0"), ["bad.toml:21: method.best: was 0, wanted"]),
    "more children than best": (
        changed('use = "none"', "children = 11"),
        ["bad.toml:26: tracking.children: was 11, wanted at most 10", "set best in [method] to 11"],
    ),
    "children of a gradient": (
        '[objective]\nloss = "a:b"\n[space]\nx = { normal = [0, 1] }\n[method]\nuse = "gradient"\nat = { fill = 0 }\n'
        "[tracking]\nchildren = 1\n",
        ["bad.toml:9: tracking.children: is for the best of many, and a gradient has none; remove this line"],
    ),
    "another method": (changed('"search"', '"serch"'), ["bad.toml:19: method.use: was 'serch', wanted 'search'"]),
    "a list of methods": (
        changed('"search"', '["search"]'), ["bad.toml:19: method.use: was ['search'], wanted 'search' or"],
    ),
    "another tracking": (changed('"none"', '"wandb"'), ["bad.toml:26: tracking.use: was 'wandb', wanted 'mlflow' or"]),
    "zero workers": (changed("workers = 2", "workers = 0"), ["bad.toml:23: run.workers: was 0, wanted greater than"]),
    "zero block": (changed("block = 8", "block = 0"), ["bad.toml:5: objective.block: was 0, wanted greater than or"]),
    "empty experiment": (
        changed('"none"', '"none"\nexperiment = ""'),
        ["bad.toml:27: tracking.experiment: was '', wanted at least 1 character"],
    ),
    # the objective
    "no colon": (
        changed("rosenbrock:loss", "rosenbrock.loss"),
        ["bad.toml:4: objective.loss: was 'rosenbrock.loss', wanted \"module:name\""],
    ),
    "a path": (changed("rosenbrock:loss", "./r.py:loss"), ["bad.toml:4: objective.loss: was './r.py:loss', wanted"]),
    "both": (
        changed("block = 8", 'make = "a:b"'),
        ["bad.toml:3: objective: wanted exactly one of loss and make, found both"],
    ),
    "neither": (
        changed('loss = "rosenbrock:loss"\n', ""),
        ["bad.toml:3: objective: wanted exactly one of loss and make, found neither"],
    ),
    # the space
    "empty space": (
        PLAIN[: PLAIN.index("x = {")] + PLAIN[PLAIN.index("[method]") :], ["bad.toml:11: space: is empty"],
    ),
    "zero in a shape": (changed("[10, 65]", "[10, 0]"), ["bad.toml:13: space.W.shape: was [10, 0]", "at least 1"]),
    "low above high": (changed("[-1, 1]", "[1, -1]"), ["bad.toml:13: space.W.uniform: low must be below", "[1, -1]"]),
    "low is high": (changed("[-1, 1]", "[1, 1]"), ["bad.toml:13: space.W.uniform: low must be below", "[1, 1]"]),
    "log of zero": (
        changed("uniform = [-1, 1]", "log_uniform = [0, 1]"), ["bad.toml:13: space.W.log_uniform: low must be above 0"],
    ),
    "log of a negative": (
        changed("uniform = [-1, 1]", "log_uniform = [-1, 1]"), ["bad.toml:13: space.W.log_uniform:", "above 0", "-1"],
    ),
    "no deviation": (changed("[0, 1]", "[0, 0]"), ["bad.toml:12: space.x.normal: standard deviation", "above 0", "0"]),
    "half an integer": (changed("[2, 10]", "[2, 10.5]"), ["bad.toml:15: space.n.integer:", "[2, 10.5]"]),
    "no option": (changed('["rbf", "linear"]', "[]"), ["bad.toml:14: space.kernel.choice:", "[]"]),
    "two distributions": (
        changed("x = { normal = [0, 1] }", "x = { normal = [0, 1], uniform = [0, 1] }"),
        ["bad.toml:12: space.x: wanted exactly one distribution", "found normal and uniform"],
    ),
    "a table of options": (
        changed('["rbf", "linear"]', '{ a = ["b"] }'), ["bad.toml:14: space.kernel.choice: wanted a list", "{'a': "],
    ),
    "an empty name": (changed("c = 2.5", '"" = 2.5'), ["bad.toml:16: space.\"\": '' cannot be the name"]),
    "half a name": (changed("c = 2.5", r'"a\u0000b" = 2.5'), [r'bad.toml:16: space."a\u0000b": ', "the name"]),
    "a date": (changed("c = 2.5", "c = 2020-01-01"), ["bad.toml:16: space.c.constant: wanted a number", "2020"]),
    "no finite number": (changed("c = 2.5", "c = nan"), ["bad.toml:16: space.c.constant: ", "not finite"]),
    # the name
    "a bad name": (changed("seed = 3", 'name = "a/b"'), ["bad.toml:1: name: was 'a/b', wanted letters, digits"]),
    "an empty name of the sweep": (changed("seed = 3", 'name = ""'), ["bad.toml:1: name: was ''"]),
    "a hidden name": (changed("seed = 3", 'name = ".."'), ["bad.toml:1: name: was '..'"]),
    "more than all may fail": (PLAIN + "\n[failures]\nallow = 1.5", ["failures.allow: was 1.5, wanted a whole number"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_reported_with_line_key_and_value(tmp_path: Path, name: str) -> None:
    """File, line, dotted key, what was given and what was wanted."""
    text, expected = BAD[name]
    message = mistake(tmp_path, text)
    assert [part for part in expected if part not in message] == []


WORDS = [
    "name", "objective.loss", "objective.make", "space.x.dtype", "space.x.shape", "space.x.normal",
    "method.use", "method.sampler", "method.screen", "method.device", "run.executor",
    "run.resources.gpu4", "failures.allow", "tracking.use", "tracking.experiment",
]  # fmt: skip
WORDS_OF_GRADIENTS = ["sampler", "scheme", "at", "at.candidate", "at.best_of", "at.file", "at.values", "at.fill"]


@pytest.mark.parametrize("given", ['[["a"]]', '{ a = ["b"] }'])
@pytest.mark.parametrize("key", [*WORDS, *(f"method.{key}" for key in WORDS_OF_GRADIENTS)])
def test_a_list_or_a_table_for_a_word_is_reported(tmp_path: Path, key: str, given: str) -> None:
    """It cannot be looked up among the words that there are; the message has the key like any other."""
    text = PLAIN
    if key.removeprefix("method.") in WORDS_OF_GRADIENTS and key != "method.sampler":
        text = PLAIN.replace('"search"\ncandidates = 500', '"gradient"')
        text = text.replace('{ choice = ["rbf", "linear"] }', '"rbf"').replace("{ integer = [2, 10] }", "3")
    message = mistake(tmp_path, text, f"{key}={given}")
    assert f"--set {key}={given}: " in message


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    """One line each, so that a file is not corrected one run at a time."""
    text = changed("seed = 3", "sed = 3").replace("500", "0").replace("workers", "wokers")
    assert [line.split(": ")[:2] for line in mistake(tmp_path, text).splitlines()] == [
        ["bad.toml:20", "method.candidates"], ["bad.toml:23", "run.wokers"], ["bad.toml:1", "sed"],
    ]  # fmt: skip


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """No such file, with its whole path."""
    with pytest.raises(InputError, match="no such file") as caught:
        read(tmp_path / "nowhere.toml")
    assert str(tmp_path / "nowhere.toml") in str(caught.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """A folder is named and refused."""
    with pytest.raises(InputError, match="cannot be read") as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """Named as such, with the file."""
    (tmp_path / "latin.toml").write_bytes("# größe\n".encode("latin-1") + PLAIN.encode())
    with pytest.raises(InputError, match="UTF-8") as caught:
        read(tmp_path / "latin.toml")
    assert str(tmp_path / "latin.toml") in str(caught.value)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_marks_and_line_ends_of_other_systems(tmp_path: Path, mark: bytes, end: str) -> None:
    """A byte order mark and any line ends change neither the sweep nor the lines of mistakes."""
    (tmp_path / "plain.toml").write_bytes(mark + PLAIN.replace("\n", end).encode())
    sweep = read(tmp_path / "plain.toml")
    assert sweep.identity == sweep_of(tmp_path, PLAIN).identity
    assert sweep.text == PLAIN
    wrong = PLAIN.replace("seed = 3", "sead = 3")
    (tmp_path / "bad.toml").write_bytes(mark + wrong.replace("\n", end).encode())
    with pytest.raises(InputError) as caught:
        read(tmp_path / "bad.toml")
    assert str(caught.value).replace(f"{tmp_path}/", "") == mistake(tmp_path, wrong)
    (tmp_path / "bad.toml").write_bytes(mark + f"seed = 3{end}{end}seed ={end}".encode())
    with pytest.raises(InputError, match=r"bad\.toml:3:\d+: not TOML"):
        read(tmp_path / "bad.toml")


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_refused(tmp_path: Path, coding: str) -> None:
    """With a mark or without one, by its name."""
    (tmp_path / "wide.toml").write_text(PLAIN, encoding=coding)
    with pytest.raises(InputError, match=r"wide\.toml: is UTF-16 text.*save it as UTF-8"):
        read(tmp_path / "wide.toml")


@pytest.mark.parametrize("stem", ["two words", "-dash", "größe", "x" * 65])
def test_a_stem_that_is_no_name_asks_for_one(tmp_path: Path, stem: str) -> None:
    """The file's stem is its name unless the file gives another."""
    message = mistake(tmp_path, PLAIN, name=f"{stem}.toml")
    assert repr(stem) in message
    assert 'name = "..."' in message
    assert sweep_of(tmp_path, PLAIN, "name=fine", name=f"{stem}.toml").name == "fine"


def test_windows_line_ends_are_read(tmp_path: Path) -> None:
    """A file from another system is the same sweep, and its lines are counted alike."""
    (tmp_path / "dos.toml").write_bytes(PLAIN.replace("\n", "\r\n").encode())
    assert read(tmp_path / "dos.toml").identity == sweep_of(tmp_path, PLAIN).identity
    (tmp_path / "dos.toml").write_bytes(PLAIN.replace("\n", "\r\n").replace("500", "0").encode())
    with pytest.raises(InputError, match=r"dos\.toml:20: method\.candidates: was 0"):
        read(tmp_path / "dos.toml")


def line_of(text: str, *key: str | int) -> int:
    """Where a key stands, by what is said of it."""
    return int(Lines(Path("f.toml"), text).at(key, "").split(":")[1])


LINES: list[tuple[str, str, tuple[str | int, ...], int]] = [
    ("top", "a = 1\nb = 2\n", ("b",), 2),
    ("in a table", "a = 1\n[t]\nb = 1\n[u]\nb = 2\n", ("u", "b"), 5),
    ("the table", "a = 1\n\n  [ t ]  # comment\nb = 1\n", ("t",), 3),
    ("a nested table", "[t]\nb = 1\n[t.u]\nb = 2\n", ("t", "u", "b"), 4),
    ("a missing key is at its table", "[t]\n[t.u]\nb = 2\n", ("t", "u", "c"), 2),
    ("nowhere is line 1", "\n[t]\n", ("u",), 1),
    ("dotted", "[t]\na.b = 1\na . c = 2\n", ("t", "a", "c"), 3),
    ("dotted header", "[a . b]\nc = 1\n", ("a", "b", "c"), 2),
    ("below a dotted key", "a = 1\nt.u = { v = 1 }\n", ("t", "u", "v"), 2),
    ("quoted", "'x' = 1\n\"my key\" = 2\n", ("my key",), 2),
    ("a dot in quotes", '"a.b" = 1\na.b = 2\n', ("a", "b"), 2),
    ("a dot in quotes, itself", 'c = 0\n"a.b" = 1\n', ("a.b",), 2),
    ("quoted header", '\n["t x".\'u\']\nb = 1\n', ("t x", "u", "b"), 3),
    ("a bracket in a quoted header", '\n["a]b"]\nc = 1\n', ("a]b", "c"), 3),
    ("digits and dashes", "1 = 2\na-b_c = 3\n", ("a-b_c",), 2),
    ("indented", "[t]\n    b = 1\n\tc = 2\n", ("t", "c"), 3),
    ("no spaces", "[t]\nb=1\nc=2\n", ("t", "c"), 3),
    ("a comment is no key", "# b = 1\n[t]\n# c = 1\nc = 2\n", ("t", "c"), 4),
    ("a multi-line string is no key", 'a = """\nc = 1\n[t]\n"""\nc = 2\n', ("c",), 5),
    ("a literal multi-line string", "a = '''\nc = 1\n'''\nc = 2\n", ("c",), 4),
    ("one on its own line", 'a = """x"""\nc = 2\n', ("c",), 2),
    ("the other marks inside", "a = '''\n\"\"\"\nc = 1\n'''\nc = 2\n", ("c",), 5),
    ("the other marks inside, turned", "a = \"\"\"\n'''\nc = 1\n\"\"\"\nc = 2\n", ("c",), 5),
    ("two after each other", "a = '''\nc\n'''\nb = '''\nc = 1\n'''\nc = 2\n", ("c",), 7),
    ("three quotes in a comment", 'a = 1  # """\nb = 2\nc = 3\n', ("c",), 3),
    ("three quotes in a string", "a = \"'''\"\nb = 2\nc = 3\n", ("c",), 3),
    ("three quotes in a literal", "a = '\"\"\"'\nb = 2\nc = 3\n", ("c",), 3),
    ("an escaped quote before the end", 'a = """x\\""""\nc = 2\n', ("c",), 2),
    ("an array over lines", 'a = [\n  "c = 1",\n  "[t]",\n]\nc = 2\n', ("c",), 5),
    ("rows of one over lines", "[t]\na = [\n  [1],\n  [2],\n]\nc = 2\n", ("t", "c"), 6),
    ("rows of fractions over lines", "[t]\na = [\n  [0.5],\n  [1.5],\n]\nc = 2\n", ("t", "c"), 6),
    ("an array of tables", "a = 1\n[[leg]]\nb = 1\n", ("leg",), 2),
    ("a key of an array of tables", "a = 1\n[[leg]]\nb = 1\n", ("leg", 0, "b"), 3),
    ("the second of them", "a = 1\n[[leg]]\nb = 1\n[[leg]]\nb = 2\n", ("leg", 1, "b"), 5),
    ("after them", "[[leg]]\nb = 1\n[[leg]]\n[t]\nb = 2\n", ("t", "b"), 5),
    ("a line separator in a comment", "a = 1 # x\u2028y\nb = 2\n", ("b",), 2),
]  # fmt: skip


@pytest.mark.parametrize(("text", "key", "line"), [case[1:] for case in LINES], ids=[case[0] for case in LINES])
def test_a_key_is_found_where_it_stands(text: str, key: tuple[str | int, ...], line: int) -> None:
    """Tables, dotted and quoted keys, strings over many lines, arrays: lines are counted as an editor does."""
    tomllib.loads(text)  # the case itself is TOML
    assert line_of(text, *key) == line


@given(st.lists(st.sampled_from(["", "# c = 1", "[t]", "x = 1", "s = '''\nkey = 0\n[u]\n'''", "a = [\n 1,\n]"])))
def test_a_key_is_found_below_anything(before: list[str]) -> None:
    """However many lines of whatever kind stand above it, a key is where it is."""
    text = "\n".join([*before, "[there]", "key = 1"])
    assert line_of(text, "there", "key") == len(text.splitlines())


def test_the_message_is_whole() -> None:
    """File, line, dotted key, message; and without a key, file and message."""
    lines = Lines(Path("f.toml"), "[t]\nb = 1\n")
    assert lines.at(("t", "b"), "was wrong") == "f.toml:2: t.b: was wrong"
    assert lines.at((), "was wrong") == "f.toml: was wrong"


@pytest.mark.parametrize(
    ("word", "wanted"),
    [("sed", "did you mean seed? (known: seed, name)"), ("zzz", "known: seed, name")],
)
def test_nearest_names_the_nearest(word: str, wanted: str) -> None:
    """The nearest known word if one is near, and all of them in any case."""
    assert nearest(word, ["seed", "name"]) == wanted


def test_nearest_of_nothing() -> None:
    """Nothing known is said to be nothing."""
    assert nearest("a", []) == "known: none"


def test_there_are_sweeps() -> None:
    """The folder of examples is found."""
    assert len(SWEEPS) >= 3


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_example_reads(path: Path) -> None:
    """Each file of sweeps/ is a valid sweep of its own name."""
    sweep = read(path)
    assert sweep.name == path.stem
    assert sweep.text == path.read_text(encoding="utf-8")


def test_examples_are_different_sweeps() -> None:
    """No two of them share an identity."""
    assert len({read(path, root=Path("nowhere")).identity for path in SWEEPS}) == len(SWEEPS)


@pytest.mark.daily
def test_descriptions_import_nothing(tmp_path: Path) -> None:
    """A fresh interpreter describes every example, and a module that would raise, without importing any."""
    trap = tmp_path / "trap_of_description.py"
    trap.write_text("raise RuntimeError('imported')\n")
    sweep_of(tmp_path, PLAIN.replace("rosenbrock:loss", "trap_of_description:loss"), name="trap.toml")
    sweep_of(tmp_path, PLAIN.replace("rosenbrock:loss", "absent_of_description.sub:loss"), name="absent.toml")
    script = """if True:
        import sys
        from pathlib import Path
        from optitrip.store.lookup import read
        from optitrip.store.inspect import description
        from optitrip.store.lookup import read

        for path in sys.argv[1:]:
            sweep = read(Path(path), root=Path("nowhere"))
            print(description(sweep))
            module = sweep.objective.reference.partition(":")[0]
            assert module not in sys.modules, module
        assert not {"ray", "mlflow"} & set(sys.modules)
    """
    files = [*SWEEPS, tmp_path / "trap.toml", tmp_path / "absent.toml"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *map(str, files)], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    for path in files:
        sweep = read(path, root=Path("nowhere"))
        assert f"{sweep.label}: a valid sweep" in done.stdout
        assert f"{sweep.items:,} {sweep.unit}" in done.stdout
        for name in sweep.space.names:
            assert f"    {name}: " in done.stdout
    assert f"imports trap_of_description for loss, found in {tmp_path.resolve()}" in done.stdout
    assert "imports absent_of_description.sub for loss, which is NOT FOUND" in done.stdout
