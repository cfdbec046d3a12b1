"""Programs as losses: what is written for them, what is read from them, and what their failures say."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import sys
import tomllib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optitrip.loss.noisy import takes_seed
from optitrip.loss.program.fill import as_file, filled_template, filled_word, names_in_word
from optitrip.loss.program.folders import BEST, FAILED, OTHERS, Folders
from optitrip.loss.program.program import Program, ProgramFailed
from optitrip.loss.program.read import check_source, read_number

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
posix = pytest.mark.skipif(sys.platform == "win32", reason="the scripts are for a POSIX shell")


@given(FLOATS, st.integers(), st.text(st.characters(exclude_characters="@{}"), max_size=8))
def test_values_read_back_exactly(x: float, n: int, word: str) -> None:
    """In arguments, templates and files; numbers to the bit."""
    values = {"x": x, "n": n, "word": word}
    assert float(filled_word("{x}", values)) == x
    assert filled_word("--n={n} {word}", values) == f"--n={n} {word}"
    assert filled_template("x = @x@\nn=@n@", values) == f"x = {x!r}\nn={n}"
    assert json.loads(as_file({"x": x, "n": n}, ".json")) == {"x": x, "n": n}
    assert tomllib.loads(as_file({"x": x}, ".toml"))["x"] == x


def test_formats_and_arrays() -> None:
    """As Python's formats; what stands between @ signs and is no parameter stays."""
    values = {"rate": 0.00123456, "W": np.array([[1.0, 2.5], [3.0, -4.0]])}
    assert filled_word("{rate:.2e}|{{x}}", values) == "1.23e-03|{x}"
    assert filled_template("@rate:.3f@ me@host.org @other@", values) == "0.001 me@host.org @other@"
    assert filled_template("@W@; @W:.1f@", values) == "1.0 2.5 3.0 -4.0; 1.0 2.5 3.0 -4.0"
    assert json.loads(as_file(values, ".json"))["W"] == [[1.0, 2.5], [3.0, -4.0]]
    with pytest.raises(ValueError, match=r"rate = 0\.00123456 cannot be written as 'd'"):
        filled_word("{rate:d}", values)


@pytest.mark.parametrize("word", ["{}", "{x.y}", "{x[0]}", "{0}", "{x!r}", "{x", "x}"])
def test_words_with_other_braces(word: str) -> None:
    """Only a name may stand in braces: no attribute, no index, no conversion."""
    with pytest.raises(ValueError, match=r"."):
        list(names_in_word(word))


PRINTED: dict[str, tuple[str, dict[str, Any], float]] = {
    "the last number": ("step 1 loss 2.5\nstep 2 loss 1.25e-3\ndone\n", {}, 1.25e-3),
    "no number within a word": ("loss -2.5\nsee run3, file_4.txt and Hernan\n", {}, -2.5),
    "Fortran's": (" rms =  0.1234D-02 \n", {}, 0.1234e-2),
    "an infinity": ("loss: inf\n", {}, math.inf),
    "no number": ("loss: nan\n", {}, math.nan),
    "a sign": ("x=-.5", {}, -0.5),
    "a pattern, the last match": ("rms = 3\nrms = 4\n9", {"regex": r"rms = (\S+)"}, 4.0),
    "a pattern without a group": ("a 1 b 22 c", {"regex": r"\d\d"}, 22.0),
    "JSON": ('{"fit": {"rms": 0.5}}', {"json": "fit.rms"}, 0.5),
    "JSON, its last line": ('starting\n{"rms": 1}\n{"rms": 2}\nbye', {"json": "rms"}, 2.0),
}


@pytest.mark.parametrize("name", PRINTED)
def test_numbers_in_what_is_printed(name: str, tmp_path: Path) -> None:
    """From stdout, and from any file."""
    text, source, number = PRINTED[name]
    (tmp_path / "stdout").write_text(text)
    (tmp_path / "result").write_text(text)
    (tmp_path / "stdout").write_text(text)
    for where in (source, {**source, "file": "result"}):
        check_source(where)
        assert np.array_equal(read_number(where, tmp_path), number, equal_nan=True)


@pytest.mark.parametrize(
    ("text", "source", "message"),
    [
        ("", {}, "has no number in it; it is empty"),
        ("all is well", {}, "it ends with 'all is well'"),
        ("x", {"regex": r"rms = (\S+)"}, "nothing like"),
        ("rms = many", {"regex": r"rms = (\S+)"}, "has 'many' where a number was wanted"),
        ("{}", {"json": "rms"}, "has no key 'rms'"),
        ('{"rms": "x"}', {"json": "rms"}, "has 'x'"),
        ('{"rms": true}', {"json": "rms"}, "has True"),
        ("text", {"json": "rms"}, "is not JSON"),
        ("1", {"file": "absent"}, "the program did not write it"),
    ],
)
def test_output_without_the_number(text: str, source: dict[str, Any], message: str, tmp_path: Path) -> None:
    """The message says what was found instead."""
    (tmp_path / "stdout").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_number(source, tmp_path)


@pytest.mark.parametrize(
    "source", [{"jsn": "x"}, {"json": "x", "regex": "y"}, {"regex": "("}, {"regex": "(a)(b)"}, {"regex": 3}]
)
def test_sources_of_no_number(source: dict[str, Any]) -> None:
    """They are refused before anything runs."""
    with pytest.raises(ValueError, match="was"):
        check_source(source)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory is the test's own: kept folders are in it."""
    monkeypatch.chdir(tmp_path)


def program(here: Path, script: str, *, keep: str = "none", seconds: float | None = None, **given: Any) -> Program:
    """A program of a shell."""
    kinds = {"none": [], "all": [FAILED, BEST, OTHERS]}.get(keep, keep.split())
    return Program(["sh", "-c", script], **given).at(here, Folders(here / "runs", kinds, "label"), seconds)


@posix
def test_everything_that_a_program_gets(tmp_path: Path) -> None:
    """Arguments, deck, file of parameters, environment, copies and links, in a folder of its own that is deleted."""
    (tmp_path / "deck.in").write_text("x = @x:.3f@\n")
    (tmp_path / "data.txt").write_text("17\n")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "one").write_text("18\n")
    script = "pwd > {here}/place; cat deck.in p.json data.txt tables/one >&2; echo $RATE $OMP_NUM_THREADS; echo {n}"
    loss = program(
        tmp_path, script, templates=["deck.in"], parameters="p.json", environment={"RATE": "r{x}"},
        copy=["data.txt"], link=["tables"], threads=3,
        outputs={"rate": {"regex": "r(.*) "}, "threads": {"regex": "(.)\n"}, "deck": {"file": "deck.in"}},
    )  # fmt: skip
    found = loss(x=0.25, n=7)
    loss.close()
    assert found == {"loss": 7.0, "rate": 0.25, "threads": 7.0, "deck": 0.25}
    place = Path((tmp_path / "place").read_text().strip())
    assert place != tmp_path
    assert not place.exists()


@posix
@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo bad input >&2; exit 3", r"(?s)ended with status 3.*bad input"),
        ("kill -SEGV $$", "SIGSEGV"),
        ("echo nothing", "no number"),
        ("sleep 100", "longer than timeout_seconds = 0.3"),
        ("sleep 100 & exit 1", "status 1"),
    ],
)
def test_a_program_that_fails(script: str, message: str, tmp_path: Path) -> None:
    """The failure says how, with the end of stderr; its folder is kept if wanted."""
    loss = program(tmp_path, f"echo made > file; {script}", keep="failed", seconds=0.3)
    with pytest.raises(ProgramFailed, match=message) as raised:
        loss(x=1.0)
    loss.close()
    (kept,) = (tmp_path / "runs").iterdir()
    assert (kept / "file").read_text() == "made\n"
    assert str(kept) in str(raised.value)


@posix
def test_folders_with_more_than_files(tmp_path: Path) -> None:
    """Pipes are not copied, nor waited for in place of what should have the loss or the errors."""
    loss = program(
        tmp_path, "rm stdout stderr; mkfifo stdout stderr other; ln -s absent link; echo 1 > file", keep="all"
    )
    with pytest.raises(ProgramFailed, match="stdout is not a file"):
        loss(x=1.0)
    loss.close()
    (kept,) = (tmp_path / "runs").iterdir()
    assert sorted(path.name for path in kept.iterdir()) == ["file", "link"]


@posix
def test_a_folder_that_cannot_be_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure is told, and no part of the folder is left."""

    def full(source: Path, target: Path, **options: Any) -> None:
        target.mkdir()
        (target / "a").write_bytes((source / "a").read_bytes())
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    loss = program(tmp_path, "echo 1 > a; exit 3", keep="failed")
    with pytest.raises(ProgramFailed, match=r"status 3$"):
        loss(x=1.0)
    loss.close()
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="watchers are found in /proc")
@pytest.mark.parametrize("kills", [2, 3])
def test_a_program_that_kills_who_watches_it(kills: int, tmp_path: Path) -> None:
    """It runs again, as a slice does whose worker has died, and fails after three times; no folder is left."""
    script = f"echo $PWD >> log; [ $(wc -l < log) -gt {kills} ] || kill -9 $PPID; sleep 0.2; echo {{x}}"
    script = script.replace("log", "{here}/log")
    loss = program(tmp_path, script, keep="failed")
    with nullcontext() if kills == 2 else pytest.raises(ProgramFailed, match="3 processes that watched"):
        assert loss(x=1.5) == 1.5
    loss.close()
    folders = (tmp_path / "log").read_text().split()
    assert len(folders) == 3
    assert not any(map(os.path.exists, [*folders, tmp_path / "runs"]))


@posix
def test_which_folders_are_kept(tmp_path: Path) -> None:
    """None, those that failed, or all, each under a name that depends on its parameters alone."""
    for keep, names in (("none", 0), ("failed", 0), ("all", 2)):
        loss = program(tmp_path, "echo {x}", keep=keep)
        for x in (1.0, 2.0, 1.0):
            assert loss(x=x) == x
        loss.close()
        kept = list((tmp_path / "runs").iterdir()) if (tmp_path / "runs").exists() else []
        assert len(kept) == names


@posix
@pytest.mark.parametrize("where", ["command", "environment", "deck"])
def test_a_program_may_take_a_seed(where: str, tmp_path: Path) -> None:
    """It is passed as a parameter, but is none of the space."""
    (tmp_path / "deck").write_text("seed @seed@\n" if where == "deck" else "no seed\n")
    words = {"command": "echo {seed}", "environment": "echo $SEED", "deck": "cat deck"}
    options: dict[str, Any] = {"environment": {"SEED": "{seed}"}} if where == "environment" else {}
    loss = program(tmp_path, words[where], templates=["deck"], **options)
    assert takes_seed(loss)
    assert loss(x=0.5, seed=2**31 - 1) == 2**31 - 1
    loss.close()
    assert not takes_seed(program(tmp_path, "echo {x}"))


@posix
def test_the_best_run_so_far_is_kept(tmp_path: Path) -> None:
    """One for each process that runs programs, until the answer is known: its folder goes to the answer's files."""
    first, second = (program(tmp_path, "echo {x} | tee result", keep="best failed") for _ in range(2))
    for x in (5.0, 3.0, 4.0):
        first(x=x)
    second(x=2.0)
    kept = sorted((tmp_path / "runs" / "best-label").iterdir())
    assert sorted(float((place / "result").read_text()) for place in kept) == [2.0, 3.0]
    assert program(tmp_path, "", keep="none").folders.conclude({"x": 2.0}, tmp_path / "answer") is None
    assert first.folders.conclude({"x": 2.0}, tmp_path / "answer")
    (made,) = (tmp_path / "answer").iterdir()
    assert (made / "result").read_text() == "2.0\n"
    assert not (tmp_path / "runs" / "best-label").exists()
    assert first.folders.conclude({"x": 2.0}, tmp_path / "answer")  # where it is
    assert not first.folders.conclude({"x": 1.0}, tmp_path / "answer")
    for loss in (first, second):
        loss.close()


@posix
def test_arrays_in_files_of_their_own(tmp_path: Path) -> None:
    """As NumPy's files or as text that reads back exactly."""
    matrix = np.array([[1 / 3, 2.0], [-1e-300, 4.0]])
    loss = program(tmp_path, "cat W.csv b.txt; echo 7", keep="all", arrays={"W": "W.csv", "b": "b.txt", "V": "V.npy"})
    loss(W=matrix, b=matrix[0], V=matrix)
    loss.close()
    (kept,) = (tmp_path / "runs").iterdir()
    np.testing.assert_array_equal(np.loadtxt(kept / "W.csv", delimiter=","), matrix)
    np.testing.assert_array_equal(np.loadtxt(kept / "b.txt"), matrix[0])
    np.testing.assert_array_equal(np.load(kept / "V.npy"), matrix)


@posix
def test_a_shell_runs_the_words_if_asked(tmp_path: Path) -> None:
    """With pipes; a parameter cannot be taken for a command."""
    command = ["echo {word} > said;", "echo 1 {x} | cut -d ' ' -f 2"]
    loss = Program(command, shell=True).at(tmp_path, Folders(tmp_path / "runs", ["others"]), None)
    assert loss(x=0.25, word="$(touch /tmp/never); a") == 0.25
    loss.close()
    (kept,) = (tmp_path / "runs").iterdir()
    assert (kept / "said").read_text() == "$(touch /tmp/never); a\n"


@posix
def test_decks_in_any_encoding(tmp_path: Path) -> None:
    """Bytes, ends of lines and modes of a template are kept."""
    (tmp_path / "deck").write_bytes(b"# temp\xe9rature\r\nx = @x@\r\n")
    (tmp_path / "deck").chmod(0o755)
    loss = program(tmp_path, "cp deck {here}/seen; ls -l deck >&2; echo {x}", templates=["deck"], keep="all")
    assert loss(x=0.5) == 0.5
    loss.close()
    assert (tmp_path / "seen").read_bytes() == b"# temp\xe9rature\r\nx = 0.5\r\n"
    (kept,) = (tmp_path / "runs").iterdir()
    assert "rwxr-xr-x" in (kept / "stderr").read_text()


def test_the_digest_is_that_of_the_files(tmp_path: Path) -> None:
    """A changed deck or program is another loss; other files are not looked at."""
    (tmp_path / "run").write_text("#!/bin/sh\n")
    (tmp_path / "deck").write_text("@x@")

    def digest() -> str:
        return Program(["sh", "{here}/run"], templates=["deck"]).at(tmp_path, Folders(tmp_path), None).digest()

    before = digest()
    (tmp_path / "other").write_text("x")
    assert digest() == before
    (tmp_path / "deck").write_text("@x@ ")
    changed = digest()
    (tmp_path / "run").write_text("#!/bin/sh\ntrue\n")
    assert len({before, changed, digest()}) == 3
