"""Strict JSON schemas made of Kubernetes' custom resource definitions, which are not part of this repository.

`OPTITRIP_SCHEMAS` names a folder that has KubeRay's definitions in `kuberay-crds/` (those of its Helm chart), and the
Compose specification's schema as `compose-spec.json`.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml


def stored(name: str) -> Path:
    """Return a file of the folder that OPTITRIP_SCHEMAS names; skip the test without it."""
    folder = os.environ.get("OPTITRIP_SCHEMAS")
    if folder is None:
        pytest.skip("OPTITRIP_SCHEMAS names no folder with KubeRay's and Compose's schemas")
    path = Path(folder) / name
    if not path.exists():
        pytest.skip(f"OPTITRIP_SCHEMAS has no {name}")
    return path


@cache
def custom_resource(kind: str) -> dict[str, Any]:
    """Return the schema of version v1 of `rayjobs` or `rayclusters`; unknown fields are errors, as for kubectl."""
    text = stored(f"kuberay-crds/ray.io_{kind}.yaml").read_text()
    definition = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    version = next(version for version in definition["spec"]["versions"] if version["name"] == "v1")
    return strict(version["schema"]["openAPIV3Schema"])


def pod_template() -> dict[str, Any]:
    """Return the schema of a pod template, of which KubeRay's definitions have all fields."""
    return at(custom_resource("rayclusters"), "spec", "headGroupSpec", "template")


def claim() -> dict[str, Any]:
    """Return the schema of the specification of a PersistentVolumeClaim."""
    volume = at(pod_template(), "spec", "volumes")["items"]
    return at(volume, "ephemeral", "volumeClaimTemplate", "spec")


def at(schema: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        schema = schema["properties"][name]
    return schema


def strict(schema: Any) -> Any:
    """Return a schema that allows no other fields than it names, and both integers and strings where either is good."""
    if isinstance(schema, list):
        return [strict(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if made.pop("x-kubernetes-int-or-string", False):
        made.pop("type", None)
        made.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    named = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    if named and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def errors(document: Any, schema: dict[str, Any]) -> list[str]:
    """Return what a schema finds wrong in a document, one line each."""
    found = jsonschema.Draft202012Validator(schema).iter_errors(document)
    return [f"{error.json_path}: {error.message:.200}" for error in found]


def compose() -> dict[str, Any]:
    return json.loads(stored("compose-spec.json").read_text())
