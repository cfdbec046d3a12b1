"""The command in a run's description makes the same answer in a clone of the repository."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from command import optitrip
from optitrip.journal.facts import StoredResult
from optitrip.store.lookup import find_sweep, read
from optitrip.store.state_dir import peek_fact
from optitrip.tracking.commands import bytes_of, repeat, replay, resume, source, without_quotes, word
from optitrip.tracking.git import checkout_of

LOSS = """
import numpy as np
def loss(x, y):
    if x > 1.5:
        raise ValueError("too far")
    return {"loss": x * x + y, "size": abs(x)}
def smooth(x):
    return float(np.sum((x - 1) ** 2))
"""
HEAD = '[run]\nexecutor = "serial"\n[tracking]\nuse = "none"\n[failures]\nallow = 1.0\n'
SEARCH = 'use = "search"\ncandidates = 60\n'
NAMED = (
    f'{HEAD}[objective]\nloss = "my_losses:loss"\n[space]\nx.normal = [0, 1]\ny.uniform = [-1, 1]\n[method]\n{SEARCH}'
)
SMOOTH = f'{HEAD}[objective]\nloss = "my_losses:smooth"\n[space]\nx = {{ shape = [3], normal = [0, 1] }}\n[method]\n'
DIGITS = f'{HEAD}[objective]\nloss = "optitrip.objectives:Softmax"\n[space.W]\nshape = [10, 65]\nnormal = [0, 0.03]\n'
FILES = {
    "named.toml": NAMED,
    "sub/smooth.toml": f"{SMOOTH}{SEARCH}",
    "sub/at.toml": f'{SMOOTH}use = "gradient"\nat = {{ fill = 0.5 }}\n',
    "digits.toml": f"{DIGITS}[method]\n{SEARCH}",
    "odd names/-it's größe.toml": f'name = "odd"\n{NAMED}',
}
KINDS = {
    "failures": (".", "named.toml", ()),
    "maximised, extended, by another sampler": (
        ".",
        "named.toml",
        ("objective.maximize=true", "method.candidates=90", "method.sampler=halton"),
    ),
    "an early end": (".", "named.toml", ("stop.target_loss=0.3",)),
    "screened": (".", "digits.toml", ("method.screen=float32", "seed=3")),
    "gradient": (".", "sub/at.toml", ("method.scheme=central",)),
    "gradient at a candidate": (".", "sub/at.toml", ("method.at={candidate=7}", "seed=1")),
    "gradient at the best": (".", "sub/at.toml", ('method.at={best_of="smooth.toml"}',)),
    "modules and results of a folder": ("sub", "at.toml", ('method.at={best_of="smooth.toml"}',)),
    "a file of another folder": ("sub", "../named.toml", ()),
    "odd names and values": (
        ".",
        "odd names/-it's größe.toml",
        ("space.x={normal=[0,\n2]}", 'space."y".uniform = [0, 1] # $`\\', "tracking.experiment=it's \x07$`"),
    ),
}


OFTEN = ("failures", "modules and results of a folder", "odd names and values")
"""Kinds that are tested for every change; the others are tested daily."""


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-c", "user.name=me", "-c", "user.email=me@here", *words], cwd=folder, check=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a small repository with sweep files."""
    root = tmp_path / "repository"
    for name, text in {**FILES, "sub/my_losses.py": LOSS, "my_losses.py": LOSS}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "odd names" / "my_losses.py").write_text(LOSS)
    (root / ".gitignore").write_text(".optitrip\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "sweeps")
    return root


def run(folder: Path, *words: str) -> tuple[str, str]:
    """Run the command; return the identity and the digests of the answer's files."""
    done = optitrip(folder, "sweep", *words, "--quiet", "--json")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    stored = peek_fact(folder / outcome["state_dir"], StoredResult)
    assert stored is not None
    return outcome["identity"], str({name: file for name, file in stored.files.items() if not name.endswith(".png")})


def set_by(overrides: tuple[str, ...]) -> list[str]:
    return [part for option in overrides for part in ("--set", option)]


def commands_in(line: str, folder: Path) -> list[tuple[Path, list[str]]]:
    """Let a shell run a line, in which `optitrip` only tells where it is called and with what."""
    told = "optitrip() { printf '%s\\0' \"$PWD\" \"$@\" ''; }\n"
    shell = subprocess.run(["bash", "-c", told + line], cwd=folder, check=True, stdout=subprocess.PIPE)
    calls = shell.stdout.decode().split("\0\0")[:-1]
    return [(Path(call.split("\0")[0]), call.split("\0")[1:]) for call in calls]


@pytest.mark.mostly_daily
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.daily] * (kind not in OFTEN)) for kind in KINDS]
)
def test_a_clone_gives_the_same_answer(
    kind: str, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every kind of sweep, by the line alone, also after later commits."""
    place, file, overrides = KINDS[kind]
    here = repository / place
    if "best" in str(overrides):
        run(here, str((here / file).parent / "smooth.toml"))
    wanted = run(here, file, *set_by(overrides))
    monkeypatch.chdir(here)
    sweep = read(Path(file), overrides)
    command = repeat(sweep, checkout_of(here / file), here)
    assert command.where == "in a clone of the repository"
    (repository / "named.toml").write_text("")
    git(repository, "commit", "-q", "-a", "-m", "later")
    git(tmp_path, "clone", "-q", str(repository), "clone")
    monkeypatch.chdir(tmp_path)
    found = [run(at, *words[1:]) for at, words in commands_in(command.line, tmp_path / "clone")]
    assert found[-1] == wanted
    monkeypatch.chdir(here)
    assert f"{sweep.name}-{wanted[0]}" == sweep.label


def test_where_no_clone_has_the_file(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The artifact is named, and why; changes beside the commit are told."""
    monkeypatch.chdir(repository)
    sweep = read(Path("named.toml"), ("seed=1",))
    checkout = checkout_of(repository / "named.toml")
    assert not checkout.dirty
    assert source(sweep, checkout) == "named.toml --set seed=1"
    nowhere = repeat(sweep, None, repository)
    assert (nowhere.line, nowhere.where) == (
        "optitrip sweep sweep.toml",
        "with sweep.toml from the artifacts; there is no git repository",
    )
    (repository / "my_losses.py").write_text(f"{LOSS}# changed\n")
    assert (
        "there were changes beside this commit"
        in repeat(sweep, checkout_of(repository / "named.toml"), repository).where
    )
    (repository / "new.toml").write_text(NAMED)
    new = checkout_of(repository / "new.toml")
    assert repeat(read(Path("new.toml")), new, repository).where.endswith("; the sweep file is in no commit")


def test_the_command_that_resumes(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same folder, with its state directories; also of a sweep that was found by its name, which still has its
    file if that is as it was."""
    run(repository, "sub/at.toml", "--set", "seed=7", "--state-dir", "my state")
    monkeypatch.chdir(repository)
    for changed in (False, True):
        if changed:
            (repository / "sub" / "at.toml").write_text("")
        sweep, folder = find_sweep("at", repository / "my state")
        assert folder is not None
        command = resume(sweep, folder, repository)
        ((place, words),) = commands_in(command.line, repository)
        assert (place, command.where) == (repository, f"in {repository}")
        assert words[1] == (str(folder.relative_to(repository) / "sweep.toml") if changed else "sub/at.toml")
        again = optitrip(repository, *words, "--json", "--quiet")
        assert json.loads(again.stdout)["evaluated"] == 0
        assert source(read(folder / "sweep.toml"), None) == source(sweep, None)
    ((_, words),) = commands_in(replay(sweep, 3, folder, repository), repository)
    assert optitrip(repository, *words).returncode == 0


@pytest.mark.parametrize(
    ("option", "plain"),
    [
        ('method.use="search"', "method.use=search"),
        ("a.b = 'it is'", "a.b = it is"),
        ('a="1"', 'a="1"'),
        ('a=" x"', 'a=" x"'),
        ("a=[1, 2]", "a=[1, 2]"),
        ("a=b", "a=b"),
        ('a="b\\n"', 'a="b\\n"'),
    ],
)
def test_overrides_without_quotes(option: str, plain: str) -> None:
    """They mean the same: a text that would be read as something else keeps its quotes."""
    assert without_quotes(option) == plain


@pytest.mark.parametrize("text", ["", "a b", "it's", "-x", "ü\n\x1b[0m'\\", "\udcff\ud800", '$`"!*?[]{}~#&|;<>()%\t'])
def test_a_word_of_a_shell(text: str, tmp_path: Path) -> None:
    """It is on one line, and the shell reads the same bytes."""
    assert word(text).isprintable()
    shell = subprocess.run(["bash", "-c", f"printf %s {word(text)}"], cwd=tmp_path, check=True, stdout=subprocess.PIPE)
    assert shell.stdout == bytes_of(text)
