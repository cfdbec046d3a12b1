"""The manifests of `cluster/` are what their tools accept: unknown fields, wrong types and bad quantities are found."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

import crd_schemas
from command import ROOT

CLUSTER = ROOT / "cluster"
KUBERAY = CLUSTER / "kuberay"
Document = dict[str, Any]


def documents(name: str) -> list[Document]:
    return list(yaml.safe_load_all((KUBERAY / name).read_text()))


MANIFESTS = ["mlflow.yaml", "namespace.yaml", "network.yaml", "raycluster.yaml", "rayjob.yaml", "storage.yaml",
             "sweep-job.yaml"]  # fmt: skip
FIELDS = {
    "Deployment": {"replicas", "selector", "strategy", "template"},
    "Job": {"backoffLimit", "podFailurePolicy", "template"},
    "NetworkPolicy": {"ingress", "podSelector", "policyTypes"},
    "PersistentVolumeClaim": {"accessModes", "resources"},
    "Service": {"clusterIP", "ports", "selector"},
    "StatefulSet": {"replicas", "selector", "serviceName", "template", "volumeClaimTemplates"},
}
"""Fields of the specification of Kubernetes' own kinds that are used here, by `kubectl explain`."""
VERSIONS = {
    "Deployment": "apps/v1",
    "Job": "batch/v1",
    "Namespace": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PersistentVolumeClaim": "v1",
    "RayCluster": "ray.io/v1",
    "RayJob": "ray.io/v1",
    "Service": "v1",
    "StatefulSet": "apps/v1",
}


def problems(document: Document) -> list[str]:
    """Return all that Kubernetes would refuse in a document, as far as schemas tell."""
    kind, spec = document["kind"], document.get("spec", {})
    found = [] if document["apiVersion"] == VERSIONS[kind] else [f"apiVersion of {kind}: {document['apiVersion']}"]
    found += [f"unknown: {key}" for key in document.keys() - {"apiVersion", "kind", "metadata", "spec"}]
    if kind in ("RayCluster", "RayJob"):
        return found + crd_schemas.errors(document, crd_schemas.custom_resource(f"{kind.lower()}s"))
    found += [f"unknown: spec.{key}" for key in spec.keys() - FIELDS.get(kind, set())]
    if "template" in spec:
        found += crd_schemas.errors(spec["template"], crd_schemas.pod_template())
    claims = [spec] if kind == "PersistentVolumeClaim" else [c["spec"] for c in spec.get("volumeClaimTemplates", [])]
    return found + [error for claim in claims for error in crd_schemas.errors(claim, crd_schemas.claim())]


def test_every_manifest_is_listed() -> None:
    """A new file is checked as well."""
    assert sorted(path.name for path in KUBERAY.glob("*.yaml") if path.name != "kustomization.yaml") == MANIFESTS


@pytest.mark.parametrize("name", MANIFESTS)
def test_kubernetes_accepts_the_manifests(name: str) -> None:
    """By the schemas of KubeRay's custom resources, which hold those of pods and claims."""
    assert [problem for document in documents(name) for problem in problems(document)] == []


def misspelled(document: Document) -> None:
    document["spec"]["backoffLimits"] = 3


def misspelled_deeply(document: Document) -> None:
    document["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["volumeMount"] = []


def number_for_text(document: Document) -> None:
    document["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0


def text_for_number(document: Document) -> None:
    document["spec"]["backoffLimit"] = "20"


def bad_quantity(document: Document) -> None:
    worker = document["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]
    worker["resources"]["limits"]["memory"] = "16GB"


def other_mode(document: Document) -> None:
    document["spec"]["rayClusterSpec"]["authOptions"]["mode"] = "tokens"


def old_version(document: Document) -> None:
    document["apiVersion"] = "ray.io/v1alpha1"


def without_containers(document: Document) -> None:
    del document["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"]


@pytest.mark.parametrize(
    "spoil",
    [misspelled, misspelled_deeply, number_for_text, text_for_number, bad_quantity, other_mode, old_version,
     without_containers],
)  # fmt: skip
def test_mistakes_in_a_manifest_are_found(spoil: Callable[[Document], None]) -> None:
    """Each kind of mistake that Kubernetes would refuse."""
    (document,) = documents("rayjob.yaml")
    spoil(document)
    assert len(problems(document)) == 1


def test_ray_accepts_the_launcher_file() -> None:
    """By the schema that ships with Ray."""
    ray = find_spec("ray")  # which takes a second less than importing it
    if ray is None or ray.origin is None:
        pytest.skip("Ray is not installed")
    schema = json.loads((Path(ray.origin).parent / "autoscaler" / "ray-schema.json").read_text())
    launcher = yaml.safe_load((CLUSTER / "launcher.yaml").read_text())
    assert crd_schemas.errors(launcher, schema) == []
    assert crd_schemas.errors(launcher | {"max_worker": 3}, schema) != []


def test_compose_accepts_its_file() -> None:
    """By the schema of the Compose specification."""
    file = yaml.safe_load((CLUSTER / "compose.yaml").read_text())
    assert crd_schemas.errors(file, crd_schemas.compose()) == []
    file["services"]["head"]["healthchek"] = {}
    assert crd_schemas.errors(file, crd_schemas.compose()) != []


@pytest.mark.daily
@pytest.mark.parametrize("way", [["rayjob.yaml"], ["raycluster.yaml", "sweep-job.yaml"]], ids=["rayjob", "raycluster"])
def test_kustomize_builds_both_ways(way: list[str], tmp_path: Path) -> None:
    """With the secrets of `make_secrets.sh`, the image and the namespace of kustomization.yaml in all objects."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    shutil.copytree(KUBERAY, tmp_path / "kuberay")
    folder = tmp_path / "kuberay"
    subprocess.run([CLUSTER / "make_secrets.sh", folder / "secrets.env"], check=True, capture_output=True)
    text = (folder / "kustomization.yaml").read_text()
    assert "  - rayjob.yaml\n" in text
    for name in ("rayjob.yaml", "raycluster.yaml", "sweep-job.yaml"):
        text = text.replace(f"  # - {name}\n", f"  - {name}\n")
        text = text if name in way else text.replace(f"  - {name}\n", "")
    (folder / "kustomization.yaml").write_text(text)
    built = subprocess.run(["kubectl", "kustomize", folder], check=True, capture_output=True, text=True).stdout
    made = list(yaml.safe_load_all(built))
    assert {document["metadata"].get("namespace") for document in made if document["kind"] != "Namespace"} == {"sweeps"}
    assert "image: optitrip" not in built
    assert built.count("image: registry.example.com/optitrip:0.1.0") == 3
    secret = next(document for document in made if document["kind"] == "Secret")
    assert (secret["metadata"]["name"], secret["data"].keys()) == (
        "optitrip",
        {"auth_token", "postgres_password", "s3_secret_key"},
    )
    assert next(document for document in made if document["kind"] == "ConfigMap")["metadata"]["name"] == "sweep"
