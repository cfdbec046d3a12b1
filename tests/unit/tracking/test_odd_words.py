"""Words of the user's that MLflow or git could stumble over: they are respelled, and never harm the sweep."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from driver_setup import Recording
from optitrip.tracking import git, record, runs
from optitrip.tracking.git import ask_git, checkout_of
from optitrip.tracking.location import store_file, tracking_uri
from optitrip.tracking.markdown import literal
from optitrip.tracking.mlflow_store import artifact_folder
from optitrip.tracking.names import encodable, key_of, keys_of
from tracked import incomplete, run

ODD = "a?b%41#[c] it's größe"
ODD_SWEEP = """
[objective]
loss = "odd_loss:loss"
arguments = { table = { "lr@0" = 1, "lr#0" = 2, lr_0 = 3, "" = 4, "/" = 5, "a/../b" = 6, "[b]" = "$x$" } }
[space]
x = { uniform = [1, 2] }
[method]
use = "search"
candidates = 10
[run]
executor = "serial"
[tracking]
experiment = "it's [a/b] \\"q\\" %41 ?"
"""


def only_run(store: Path) -> Any:
    """Return the only run in a file, of any experiment."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{store}")
    (found,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    return found


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a.b-c d:e/f", "a.b-c d:e/f"),
        ("größe", "größe"),
        ("lr@0\n", "lr_0_"),
        ("", "_"),
        ("/a//b/", "_/a/_/b/_"),
        ("../..", "___/___"),
        ("x" * 300, "x" * 250),
        ("./" * 125, ("__/" * 84)[:250].rstrip("/")),
    ],
)
def test_a_key_is_what_mlflow_takes(name: str, key: str) -> None:
    """A name that is a key stays; by MLflow's own check."""
    from mlflow.utils.validation import _validate_metric_name, _validate_param_name  # pyright: ignore

    assert key_of(name) == key
    _validate_metric_name(key)
    _validate_param_name(key)


def test_keys_stay_distinct() -> None:
    """Whatever is respelled or cut; names that are keys have theirs, wherever they come."""
    names = ["a@b", "a#b", "a_b", "a_b_2", *("y" * 250 + letter for letter in "abc"), "", "_"]
    keys = keys_of(names)
    assert list(keys) != names
    assert set(keys) == set(names)
    assert len(set(keys.values())) == len(names)
    assert all(len(key) <= 250 and key_of(key) == key for key in keys.values())
    assert [keys[name] for name in ("a_b", "a_b_2", "_")] == ["a_b", "a_b_2", "_"]
    assert len(set(keys_of("z" * 250 + str(number) for number in range(3_000)).values())) == 3_000


def test_values_and_descriptions() -> None:
    """What UTF-8 or Markdown lack is spelled out."""
    assert encodable("a\udc80\0b" + "c" * 900, 500) == r"a\udc80\x00b" + "c" * 488
    assert literal("a|b `c` *d* <e> [f](g)\nh") == r"a&#124;b &#96;c&#96; &#42;d&#42; &#60;e&#62; [f&#93;(g)&#92;nh"


def test_a_sweep_full_of_odd_words_is_tracked_and_may_move(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with an odd name, on a branch with an odd one; moved along with its store, it goes on in its run."""
    home = folder / ODD
    home.mkdir()
    shutil.copy(folder / "mlflow.db", home)
    values = ", ".join(f"k{number} = {number}" for number in range(150))
    (home / "tracked.toml").write_text(ODD_SWEEP.replace("table = {", f"table = {{ {values}, "))
    (home / "odd_loss.py").write_text("def loss(x, table):\n    return {'loss': x, 'a@b': 1.0, 'a#b': 2.0}\n")
    for words in (["init", "-q"], ["checkout", "-q", "-b", os.fsdecode(b"gr\xf6\xdfe")]):
        subprocess.run(["git", *words], cwd=home, check=True)
    monkeypatch.chdir(home)
    watch = Recording()
    first = run(watch=watch)
    assert incomplete(watch) == []
    moved = home.rename(folder / "moved")
    monkeypatch.chdir(moved)
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()  # another process has none
    del sys.modules["odd_loss"]
    second = run("method.candidates=20", watch=watch)
    del sys.modules["odd_loss"]
    assert incomplete(watch) == []
    assert second.mlflow["run_id"] == first.mlflow["run_id"]
    assert not home.exists()
    found = only_run(moved / "mlflow.db")
    assert found.info.status == "FINISHED"
    prefix = "objective.arguments.table."
    params = {key.removeprefix(prefix): value for key, value in found.data.params.items() if key.startswith(prefix)}
    assert len(params) == 157
    assert {params["lr_0"], params["lr_0_2"], params["lr_0_3"]} == {"1", "2", "3"}
    assert {found.data.metrics["a_b"], found.data.metrics["a_b_2"]} == {1.0, 2.0}
    assert found.info.artifact_uri.startswith((moved / "mlartifacts").as_uri())
    assert {path.name for path in moved.glob("mlartifacts/*/*/artifacts/*")} >= {"best.npz", "losses.png"}


def test_what_mlflow_refuses_costs_only_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of a param, of a metric and of a tag that it refuses; the run has all else, and says so once."""
    odd = {"seed": "no@param", "best/x": "no@metric", "optitrip.identity": "no@tag"}
    named = lambda names: {name: odd.get(name, name) for name in names}  # noqa: E731
    monkeypatch.setattr(runs, "keys_of", named)
    monkeypatch.setattr(record, "keys_of", named)
    tags = runs.tags_of
    monkeypatch.setattr(runs, "tags_of", lambda sweep: {odd.get(key, key): tag for key, tag in tags(sweep).items()})
    watch = Recording()
    assert run(watch=watch).mlflow is not None
    (notice,) = incomplete(watch)
    assert all(key in notice for key in odd.values())
    found = only_run(folder / "mlflow.db")
    assert found.info.status == "FINISHED"
    assert {"objective.loss", "space.x"} <= found.data.params.keys()
    assert {"loss", "best/y", "best/index"} <= found.data.metrics.keys()
    assert {"optitrip.version", "mlflow.note.content"} <= found.data.tags.keys()


@pytest.mark.parametrize("name", [".", "..", "a/..", "x" * 500])
def test_artifacts_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    """Whatever an experiment is called."""
    folder = artifact_folder(tmp_path / "mlflow.db", name)
    assert folder.resolve().parent == tmp_path.resolve() / "mlartifacts"


def test_relative_locations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are meant from the working directory, whatever its name."""
    home = tmp_path / ODD
    home.mkdir()
    monkeypatch.chdir(home)
    for given, file in {
        "": "mlflow.db",
        "sqlite:///sub/x%3Fy.db": "sub/x?y.db",
        "sqlite:////abs.db": "/abs.db",
    }.items():
        monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
        assert store_file(tracking_uri()) == home / file
        from sqlalchemy import make_url

        assert make_url(tracking_uri()).database == str(home / file)
    for given, wanted in {
        "runs": str(home / "runs"),
        "http://h": "http://h",
        "http://me:a 'b@h\n": "http://me:a%20%27b@h",
        "databricks": "databricks",
    }.items():
        monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
        assert (tracking_uri(), store_file(tracking_uri())) == (wanted, None)


GITS = {
    "hangs": "sleep 600",
    "hangs with a child": "sleep 600 & wait",
    "never stops": "yes",
    "asks": "read answer </dev/tty && echo $answer",
    "refuses": 'echo "fatal: detected dubious ownership in repository" >&2; exit 128',
    "kills itself": "kill -9 $$",
}


@pytest.mark.parametrize("case", GITS)
def test_git_may_do_what_it_wants(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for long, nothing of it is left behind, and it is no reason to fail."""
    fake = tmp_path / "git"
    fake.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/started\n{GITS[case]}\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(git, "GIT_SECONDS", 0.3)
    began = time.monotonic()
    if case == "never stops":
        assert re.fullmatch(r"(y\n)+y", ask_git(tmp_path, "status"))
    else:
        with pytest.raises((OSError, subprocess.SubprocessError)):
            checkout_of(tmp_path / "f")
    assert time.monotonic() - began < 60  # ten minutes otherwise
    for number in (tmp_path / "started").read_text().split():
        assert not Path(f"/proc/{number}").exists()


def test_git_in_any_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are no UTF-8 are escaped; without git, or without a repository, there is nothing."""
    (tmp_path / "git").write_text("#!/bin/sh\nprintf 'gr\\366\\337e\\n'\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checkout_of(tmp_path / "f").tags["mlflow.source.git.branch"] == r"gr\xf6\xdfe"
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(OSError, match="git"):
        checkout_of(tmp_path / "f")
