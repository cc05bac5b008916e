"""ConfigMaps as values and as the API server writes them, for tests."""

import base64
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from agent.cluster.selections import configmaps
from agent.model.configmap import ConfigMap

NAMESPACE = "nodeseal"
LABEL = "nodeseal.dev/config"
SELECTOR = f"{LABEL}=active"
SELECTED = configmaps(NAMESPACE, SELECTOR)
CREATED = datetime(2026, 11, 27, 20, 0, tzinfo=timezone.utc)


def configmap(name: str, version: int = 1, **data: str) -> ConfigMap:
    """One ConfigMap of our namespace, with the label."""
    return ConfigMap(NAMESPACE, name, f"uid-{name}", str(version), CREATED, {LABEL: "active"}, {}, data, {})


def written(value: ConfigMap) -> dict[str, Any]:
    """It as JSON's types."""
    found: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": value.name,
            "namespace": value.namespace,
            "uid": value.uid,
            "resourceVersion": value.resource_version,
            "creationTimestamp": value.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "labels": dict(value.labels),
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:data": {"f:a": {}}}}],
        },
    }
    if value.annotations:
        found["metadata"]["annotations"] = dict(value.annotations)
    if value.data:
        found["data"] = dict(value.data)
    if value.binary_data:
        found["binaryData"] = {key: base64.b64encode(each).decode() for key, each in value.binary_data.items()}
    return found


def event(kind: str, value: Mapping[str, Any]) -> bytes:
    """One line of a watch, without its end."""
    return json.dumps({"type": kind, "object": value}).encode()
