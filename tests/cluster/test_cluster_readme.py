"""The commands in `cluster/` exist: files, options, and what can run on any machine runs.

`test_real_ray.py` runs `local.sh`, `test_scripts.py` the scripts of Slurm and the merge, `test_schemas.py` kustomize.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from command import ROOT
from optitrip.cli.main import app

CLUSTER = ROOT / "cluster"
README = (CLUSTER / "README.md").read_text()
BLOCKS = [line.strip() for line in README.splitlines() if line.startswith("    ")]
SUBCOMMANDS: dict[str, Any] = vars(get_command(app))["commands"]


def sweep_job() -> dict[str, Any]:
    """The specification of the pod that submits a sweep."""
    return yaml.safe_load((CLUSTER / "kuberay" / "sweep-job.yaml").read_text())["spec"]["template"]["spec"]


def optitrip_commands() -> list[list[str]]:
    """The subcommand and the options of all commands of optitrip in the README, the manifests and the scripts."""
    files = [path for path in CLUSTER.rglob("*") if path.suffix in (".md", ".sh", ".sbatch", ".yaml")]
    text = "\n".join(re.sub(r"\\\n#?", " ", path.read_text()) for path in files)
    found = [
        [match[1], *re.findall(r"(?<![\w-])--[a-z-]+", match[2])]
        for match in re.finditer(r"\boptitrip ([a-z]+)(?!\w)([^\n|`)]*)", text)
    ]
    (container,) = sweep_job()["containers"]
    return [*found, [container["command"][1], *[word for word in container["args"] if word.startswith("--")]]]


@pytest.mark.parametrize("name", ["sweep", "merge", "submit", "fetch"])
def test_options_of_optitrip_exist(name: str) -> None:
    """In every command that the README, a manifest or a script gives."""
    given = {option for word, *options in optitrip_commands() if word == name for option in options}
    if name not in SUBCOMMANDS:
        pytest.skip(f"this version has no command {name}")
    assert given <= {option for parameter in SUBCOMMANDS[name].params for option in parameter.opts}


def test_files_and_commands_of_the_readme_exist() -> None:
    """What it links to, and the scripts that it starts."""
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (CLUSTER / target).exists(), target
    named = {word for line in BLOCKS for word in re.findall(r"(?:cluster|sweeps)/[\w./]+", line)}
    made = {"cluster/.env", "cluster/kuberay/secrets.env"}
    assert made <= named
    assert all((ROOT / name).exists() for name in named - made), named


def test_the_token_is_read_from_the_file_of_secrets(tmp_path: Path) -> None:
    """By the lines of the README, for Docker and for Kubernetes."""
    (tmp_path / "cluster" / "kuberay").mkdir(parents=True)
    shutil.copy(CLUSTER / "make_secrets.sh", tmp_path / "cluster")
    lines = [line for line in BLOCKS if line.startswith(("cluster/make_secrets.sh ", "export "))]
    assert len(lines) == 4
    script = "\n".join([*lines[:2], "echo $RAY_AUTH_MODE ${#RAY_AUTH_TOKEN}", *lines[2:], "echo ${#RAY_AUTH_TOKEN}"])
    done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["token", "64", "64"]


def test_code_inside_manifests_is_code(tmp_path: Path) -> None:
    """A shell can read it, with Compose's `$$` read as `$`."""
    services = yaml.safe_load((CLUSTER / "compose.yaml").read_text())["services"]
    scripts = [services["mlflow"]["command"][2], services["s3"]["command"][0]]
    for script in scripts:
        assert subprocess.run(["sh", "-n"], input=script.replace("$$", "$"), text=True, check=False).returncode == 0
    for name in ("head", "worker"):
        assert shlex.split(services[name]["command"])[:2] == ["ray", "start"]


def test_the_main_readme_points_here() -> None:
    """A reader of the first page finds the way."""
    assert "(cluster/README.md)" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("word", ["TODO", "latest", "FIXME"])
def test_nothing_is_left_to_be_done(word: str) -> None:
    """Neither in comments nor in tags."""
    for path in CLUSTER.rglob("*"):
        assert not path.is_file() or word not in path.read_text(), path
