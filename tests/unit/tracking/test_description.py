"""The name and the description of a run say what a reader wants to know, and the user's words stay literal."""

from __future__ import annotations

import re
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from optitrip.app.context import Options
from optitrip.app.run_sweep import run_sweep
from optitrip.core.observer import Observer
from optitrip.errors import OptitripError
from optitrip.journal.facts import RecordedRun
from optitrip.store.lookup import read
from optitrip.store.state_dir import StateDir
from optitrip.tracking.description import LENGTH, Describer, run_name
from optitrip.tracking.markdown import code
from tracked import SWEEP

URI = "sqlite:////store.db"
LOSS = """
def loss(x, y):
    if y > 0.9:
        raise ValueError("`y` is *too* <large> | [a](b)\\nand more")
    return {"loss": x * x + y, **{f"output_{n}": n for n in range(OUTPUTS)}}
"""


PROGRAM = """
[program]
command = ["sh", "{here}/sim", "{n}"]
keep = ["best", "failed"]
[space]
n = { integer = [0, 9] }
[method]
use = "search"
candidates = 12
[failures]
allow = 1.0
[tracking]
use = "none"
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a working directory with a sweep, outside any repository."""
    monkeypatch.chdir(tmp_path)
    write_loss(1)
    text = SWEEP.replace("tracked_loss", "described_loss")
    Path("tracked.toml").write_text(f'{text}[tracking]\nuse = "none"\n')
    return tmp_path


def write_loss(outputs: int) -> None:
    Path("described_loss.py").write_text(LOSS.replace("OUTPUTS", str(outputs)))


@contextmanager
def described(*overrides: str) -> Generator[tuple[Describer, Any, StateDir]]:
    """Run a sweep without tracking; give its describer, its outcome and its state directory."""
    sys.modules.pop("described_loss", None)
    sweep = read(Path("tracked.toml"), overrides)
    try:
        outcome = run_sweep(sweep, Options(), Observer())
    except OptitripError as error:
        outcome = error.outcome
    with closing(StateDir(Path.cwd() / ".optitrip", sweep)) as state:
        yield Describer(sweep, state, URI, Path.cwd()), outcome, state


def four_lines(text: str) -> list[str]:
    """Return the lines before the fold, with the entities that Markdown shows as characters."""
    lines = text.split("\n\n")[0].split("  \n")
    return [re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), line) for line in lines]


def test_the_answer_in_four_lines(here: Path) -> None:
    """The verdict, the winner's parameters, how sure, the command; below them the table, the failures and the cost."""
    with described() as (describer, outcome, _):
        text, answer = describer.ended(outcome), outcome.answer
    verdict, parameters, sure, command = four_lines(text)
    assert outcome.failed > 0
    assert (
        verdict
        == f"**min loss {answer.loss:.8g} at candidate {answer.index}** of 40 candidates, {outcome.failed} failed"
    )
    assert parameters == f"**parameters:** x {answer.x['x']:.6g}, y {answer.x['y']:.6g}"
    assert sure.startswith("**how sure:** the runner-up (candidate ")
    assert command == "**again:** `optitrip sweep sweep.toml`"
    assert f"| x | {answer.x['x']:.8g} |" in text
    assert "with sweep.toml from the artifacts; there is no git repository" in text
    assert f"- **search: {outcome.failed} raised**" in text
    assert "ValueError: &#96;y&#96; is &#42;too&#42; &#60;large&#62; &#124; [a&#93;(b)  \n    and more\n" in text
    assert re.search(rf"optitrip replay tracked-{outcome.identity} \d+`", text)
    assert "the module described&#95;loss (BLAKE2b " in text
    assert re.search(r"\d s in all; [\d.]+ s in the last command", text)


def test_it_differs_from_the_sweep_before(here: Path) -> None:
    """With a link to that one's run in the same store; later commands say it too."""
    with described() as (describer, outcome, state):
        earlier = outcome.identity
        assert "first sweep of this name" in describer.running()
        state.journal.note(RecordedRun(URI, "optitrip", "5f" * 16))
    name = f"tracked-{earlier}"
    for overrides in (("seed=4",), ("seed=4", "method.candidates=50")):
        with described(*overrides) as (describer, outcome, _):
            linked = f"It differs from [{name}](#/experiments/0/runs/{'5f' * 16}?workflowType=machine_learning) in seed"
            for text in (describer.running(), describer.ended(outcome)):
                assert f"{linked}: 3 → 4." in text
            describer._uri = "http://other"
            assert f"It differs from {name} in seed: 3 → 4." in describer.running()


def test_a_run_that_begins_tells_its_plan(here: Path) -> None:
    """And how to resume it, where it is run."""
    with described("seed=4") as (describer, _, _):
        running, loss, _, command = four_lines(describer.running())
        assert "**Warnings:**" not in describer.running()
    assert running == "**running:** search: 40 candidates, random sampler, seed 4"
    assert loss == "**loss:** described_loss:loss of x normal: [0.0, 1.0], y uniform: [-1.0, 1.0]"
    assert command == "**resume:** `optitrip sweep tracked.toml --set seed=4`"


@pytest.mark.skipif(sys.platform == "win32", reason="runs sh")
def test_the_run_of_a_program_tells_what_it_printed(here: Path) -> None:
    """With each of the first failures the last lines of stderr; its command, its files, and where the best run is."""
    Path("sim").write_text("[ $1 -gt 4 ] && { seq 9 >&2; echo *too* large >&2; exit 3; }\necho $1\n")
    Path("tracked.toml").write_text(PROGRAM)
    with described() as (describer, outcome, _):
        text, running = describer.ended(outcome), describer.running()
        (kept,) = Path(".optitrip").glob("*/run-*")
    assert "ProgramFailed: the program ended with status 3  \n    6  \n" in text
    assert "    9  \n    &#42;too&#42; large  \n    its folder is " in text
    assert f"{kept}." in text
    assert "files of the program (sim) with the digest " in text
    assert four_lines(running)[1] == "**loss:** sh {here}/sim {n} of n integer: [0, 9]"
    with described("program.command=['sh', '{here}/sim', '{n}', 'more']") as (describer, *_):
        assert "in program.command: ['sh', '{here}/sim', '{n}'] → ['sh'" in describer.running()


@pytest.mark.daily
def test_a_stopped_run_tells_the_best_so_far(here: Path) -> None:
    """What is left, why it stopped, the failures, and how to go on."""
    Path("described_loss.py").write_text(LOSS.replace("OUTPUTS", "0") + "    import time\n")
    overrides = ("method.candidates=1_000_000_000", "stop.max_seconds=0.5")
    with described(*overrides) as (describer, outcome, _):
        text = describer.ended(outcome)
    done, best, left, command = four_lines(text)
    failed = f"{outcome.failed:,} failed" if outcome.failed else "none failed"  # on a slow machine, with few items done
    assert done.startswith(f"**stopped:** {outcome.items:,} of 1,000,000,000 candidates, {failed}; **min")
    assert best.startswith("**best so far:** x ")
    assert left.startswith(f"**{1_000_000_000 - outcome.items:,} are left:** stopped after ")
    assert command.startswith("**resume:** `optitrip sweep tracked.toml --set ")
    assert (f"- **search: {outcome.failed:,} raised**" in text) == (outcome.failed > 0)


def test_a_run_without_an_answer_tells_why(here: Path) -> None:
    """The reason, the first failure as it was raised, and the line that shows it again."""
    Path("described_loss.py").write_text("def loss(x, y):\n    raise KeyError('| <b>')\n")
    with described() as (describer, outcome, _):
        text = describer.ended(outcome)
    first = four_lines(text)[0]
    assert first == "**failed:** 40 of 40 candidates, 40 failed; no answer"
    assert four_lines(text)[1].startswith("**why:** no answer: none of the 40 candidates has a finite loss")
    assert "\n    KeyError: '| <b>'\n" in text
    assert "item 0: KeyError: '&#124; &#60;b&#62;'" in text
    assert f"`optitrip replay tracked-{outcome.identity} 0`" in text


def test_a_long_description_is_cut_at_a_line(here: Path) -> None:
    """Also one with a password, which is hidden, and with hundreds of outputs."""
    write_loss(500)
    with described("tracking.experiment='postgres://me:S3NTINEL@h/x'") as (
        describer,
        outcome,
        _,
    ):
        text = describer.ended(outcome)
        assert "S3NTINEL" not in text + describer.running() + str(describer.tags())
    assert len(text) <= LENGTH + 40
    assert len(four_lines(text)) == 4
    assert all(line.count("|") == 3 for line in text.split("\n") if line.startswith("| output"))


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ((), "tracked"),
        (
            ("method.candidates=9", "seed=1", "method.sampler=halton"),
            "tracked · sampler=halton · seed=1 · candidates=9",
        ),
        (("seed=1", "seed=2", "run.workers=3"), "tracked · seed=2"),
        (("space.x.normal=[0,  1]", "name=mine"), "mine · normal=[0,  1]"),
        (("objective.arguments.s=a\x1b[0m\n|b",), "tracked · s=a\\x1b[0m\\n|b"),
        (("objective.arguments.uri=http://me:S3NTINEL@h",), "tracked · uri=http://me:***@h"),
        ((f"objective.arguments.{'k' * 90}={'v' * 90}",), f"tracked · {'k' * 29}…={'v' * 29}…"),
    ],
)
def test_a_run_has_a_name_that_tells(here: Path, overrides: tuple[str, ...], name: str) -> None:
    """It is the sweep's, and what was set beside the file: short, bounded, and visible."""
    assert run_name(read(Path("tracked.toml"), overrides)) == name


def test_a_name_is_bounded(here: Path) -> None:
    """However much is set."""
    overrides = [f"objective.arguments.key{number}=1" for number in range(100)]
    name = run_name(read(Path("tracked.toml"), overrides))
    assert len(name) == 200
    assert name.endswith("…")


@pytest.mark.parametrize(("text", "wanted"), [("a", "`a`"), ("a`b", "``a`b``"), ("`", "`` ` ``"), ("a\nb", "`a\\nb`")])
def test_code(text: str, wanted: str) -> None:
    """A fence is longer than any in the text."""
    assert code(text) == wanted
