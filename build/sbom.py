"""The list of components as a CycloneDX document (1.6): https://cyclonedx.org/docs/1.6/json/.

The same components give the same bytes: its serial number comes of its content, its time is that of the release.
"""

import datetime
import hashlib
import json
import uuid
from collections.abc import Sequence
from typing import Any

from components import Component

NAME = "sbom.cdx.json"
"""Its name inside a built program; `agent.adapters.components` reads it there."""

_HASHED = "nodeseal:hashed"

Json = dict[str, Any]


def document(components: Sequence[Component], what: Component, epoch: int) -> bytes:
    """The document about `what`, which consists of `components`; `epoch` is its time, in seconds since 1970."""
    listed = [_as_json(each) for each in components if each is not what]
    return _encoded({**_as_json(what), "type": "application"}, listed, epoch)


def extended(content: bytes, others: Sequence[Component], epoch: int) -> bytes:
    """A document of ours with further components; those that it has already stay as they are."""
    value = json.loads(content)
    known = {each["purl"] for each in value["components"]}
    added = [_as_json(each) for each in others if each.purl not in known]
    return _encoded(value["metadata"]["component"], [*added, *value["components"]], epoch)


def _encoded(subject: Json, listed: list[Json], epoch: int) -> bytes:
    held = hashlib.sha256(json.dumps([subject, listed], sort_keys=True).encode()).digest()
    value = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.UUID(bytes=held[:16], version=4)}",
        "version": 1,
        "metadata": {"timestamp": time_of(epoch), "component": subject},
        "components": listed,
        "dependencies": [{"ref": subject["bom-ref"], "dependsOn": [each["bom-ref"] for each in listed]}],
    }
    return json.dumps(value, indent=1, ensure_ascii=True).encode() + b"\n"


def time_of(epoch: int) -> str:
    """Seconds since 1970 as RFC 3339 has them."""
    return f"{datetime.datetime.fromtimestamp(epoch, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"


def _as_json(component: Component) -> Json:
    licence = {"expression": component.licence} if component.is_expression else {"license": {"name": component.licence}}
    value: Json = {
        "type": "library",
        "bom-ref": component.purl,
        "name": component.name,
        "version": component.version,
        "licenses": [licence],
        "hashes": [{"alg": "SHA-256", "content": component.digest}],
        "purl": component.purl,
        "properties": [{"name": _HASHED, "value": component.hashed}],
    }
    if component.inside:
        value["components"] = list(component.inside)
    return value
