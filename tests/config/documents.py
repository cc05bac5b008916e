"""ConfigMaps and candidates for merges, as short as they can be written."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from agent.config import merging
from agent.config.dialect import Node
from agent.config.discovery import Candidate
from agent.config.inforce import InForce
from agent.config.merging import Merged
from agent.model.configmap import ConfigMap
from agent.rules.floor import Floor
from tests.config.support import FORMATS

NOW = datetime(2027, 3, 1, 12, tzinfo=timezone.utc)
NODE = Node(Floor(), NOW)
DIGEST = "sha256:" + "5" * 64
UNTIL = (NOW + timedelta(hours=2)).isoformat()


def config_map(name: str, data: Mapping[str, str] | None = None, **fields: Any) -> ConfigMap:
    """One with the label, of the namespace `nodeseal`."""
    usual: dict[str, Any] = {
        "namespace": "nodeseal",
        "name": name,
        "uid": f"uid-{name}",
        "resource_version": "1",
        "created": NOW,
        "labels": {"nodeseal.dev/config": "active"},
        "annotations": {},
        "data": data or {"nodeseal.yaml": "{}"},
        "binary_data": {},
    }
    return ConfigMap(**usual | fields)


def says(*match: str, verifier: str = "key", options: object = None, **keys: object) -> dict[str, Any]:
    """What a document says that has one rule for `match`, and other keys of the section."""
    given = options if isinstance(options, dict) else {}
    rule = {"name": "only", "match": list(match), "verifiers": [verifier], "policy": {"any": [verifier]}}
    plugin = {"name": verifier, "artifactTypes": "a/b", "type": "other"}
    section = {"apiVersion": "nodeseal.dev/v1alpha1", "rules": [rule], **keys}
    store = {"plugins": [given.get("store", {"name": "oras"})]}
    beside = {key: value for key, value in given.items() if key != "store"}
    return {"verifier": {"plugins": [{**plugin, **beside}]}, "store": store, "nodeseal": section}


def candidate(name: str, value: object, **fields: Any) -> Candidate:
    """The ConfigMap `nodeseal/NAME` with one document, or with documents by key if they are bytes."""
    is_whole = isinstance(value, Mapping) and bool(value) and all(isinstance(each, bytes) for each in value.values())
    documents = value if is_whole else {"config.json": json.dumps(value).encode()}
    usual: dict[str, Any] = {
        "name": f"nodeseal/{name}",
        "uid": f"uid-{name}",
        "resource_version": "1",
        "created": NOW,
        "priority": 0,
        "documents": documents,
    }
    return Candidate(**usual | fields)


def merge(candidates: Sequence[Candidate], before: Merged | InForce | None = None, node: Node = NODE) -> Merged:
    """Merge, behind what was in force."""
    in_force = before.in_force if isinstance(before, Merged) else before or InForce()
    return merging.merged(candidates, in_force, node=node, formats=FORMATS)


def names(merged: Merged) -> list[str]:
    """Which documents have a place, without the namespace; with `!` if it is not in their newest version."""
    newest = {each.name for each in merged.accepted}
    return [
        each.name.removeprefix("nodeseal/") + ("" if each.name in newest else "!") for each in merged.in_force.documents
    ]


def told(merged: Merged) -> str:
    """Everything that people hear, as one text."""
    return "\n".join(f"{name}: {problem}" for name, problem in merged.problems)
