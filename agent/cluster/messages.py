"""The API server's answers, read: pages of lists, changes of a watch, labels of a node, reasons.

Only what we use is looked at.  What is not as the API promises is `ApiError(MALFORMED)`: nothing is guessed, and a list
or an event counts whole or not at all.  https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime, timezone
from enum import Enum
from typing import NamedTuple, cast

from agent.cluster.troubles import ApiError, Trouble, refusal
from agent.codec import strictjson
from agent.errors import LimitExceeded, Malformed
from agent.model.configmap import ConfigMap

MAX_LINE = 8 * 1024 * 1024
"""Most bytes of one object.  etcd takes 1.5 MB; what JSON has to escape becomes six times as long."""

MAX_PAGE = 32 * 1024 * 1024
"""Most bytes of one page of a list."""

MAX_REASON = 4096
"""Most bytes that are read of an answer which is a refusal."""

MAX_NODE = 1024 * 1024
"""Most bytes of a node: its status lists up to 50 images."""

_MAX_NAME = 253


class Page(NamedTuple):
    """One page of a list.  `token` continues it; "" on the last page."""

    items: tuple[ConfigMap, ...]
    resource_version: str
    token: str


class Kind(str, Enum):
    """What happened to the object of a change."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"
    """To none: everything up to its resource version was told."""


class Change(NamedTuple):
    """One event of a watch; a bookmark has no object."""

    kind: Kind
    resource_version: str
    object: ConfigMap | None


def page(content: bytes, namespace: str) -> Page:
    """Read a page of a list of ConfigMaps.  Raises `ApiError`."""
    value = _object(_decoded(content, "the list", MAX_PAGE), "the list")
    metadata = _object(value.get("metadata"), "the list's metadata")
    items = value.get("items")
    if items is None:
        items = []  # Go writes an empty list as null
    if not isinstance(items, list):
        raise _malformed("the list's items", "a list")
    token = metadata.get("continue", "")
    if not isinstance(token, str):
        raise _malformed("the list's token", "a text")
    return Page(tuple(_configmap(item, namespace) for item in items), _version(metadata, "the list"), token)


def change(line: bytes, namespace: str) -> Change:
    """Read one line of a watch.  Raises `ApiError`: also the one that the server tells of in an event."""
    value = _object(_decoded(line, "an event", MAX_LINE), "an event")
    found = _object(value.get("object"), "an event's object")
    if value.get("type") == "ERROR":
        code = found.get("code")
        raise refusal(code if isinstance(code, int) else 500, _said(found))
    try:
        kind = Kind(cast("str", value.get("type")))
    except ValueError:
        raise _malformed("an event's type", ", ".join(Kind)) from None
    if kind is Kind.BOOKMARK:
        return Change(kind, _version(_object(found.get("metadata"), "a bookmark"), "a bookmark"), None)
    configmap = _configmap(found, namespace)
    return Change(kind, configmap.resource_version, configmap)


def reason(content: bytes) -> str:
    """What a refusal says of itself; "" if it is nothing of Kubernetes'."""
    try:
        value = strictjson.decode(content, "a status", limit=MAX_REASON)
    except (LimitExceeded, Malformed):
        return ""
    return _said(value) if isinstance(value, dict) else ""


def node_labels(content: bytes) -> Mapping[str, str]:
    """The labels of a node.  Raises `ApiError`."""
    value = _object(_decoded(content, "the node", MAX_NODE), "the node")
    return _texts(_object(value.get("metadata"), "the node's metadata").get("labels"), "the node's labels")


def _configmap(value: object, namespace: str) -> ConfigMap:
    found = _object(value, "a ConfigMap")
    metadata = _object(found.get("metadata"), "a ConfigMap's metadata")
    name = _text(metadata, "name")
    if _text(metadata, "namespace") != namespace:
        raise _malformed("a ConfigMap's namespace", namespace)
    where = f"ConfigMap {name}"
    try:
        created = datetime.fromisoformat(_text(metadata, "creationTimestamp"))
        binary = {
            key: base64.b64decode(text, validate=True)
            for key, text in _texts(found.get("binaryData"), f"{where}, binaryData").items()
        }
    except binascii.Error:
        raise _malformed(f"{where}, binaryData", "base64") from None
    except ValueError:
        raise _malformed(f"{where}, creationTimestamp", "a time") from None
    if created.tzinfo is None:
        raise _malformed(f"{where}, creationTimestamp", "a time with its zone")
    return ConfigMap(
        namespace,
        name,
        _text(metadata, "uid"),
        _version(metadata, where),
        created.astimezone(timezone.utc),
        _texts(metadata.get("labels"), f"{where}, labels"),
        _texts(metadata.get("annotations"), f"{where}, annotations"),
        _texts(found.get("data"), f"{where}, data"),
        binary,
    )


def _decoded(content: bytes, what: str, limit: int) -> object:
    """JSON whose values are as many as they like: the server made them of objects that it took."""
    try:
        return strictjson.decode(content, what, limit=limit, most=limit)
    except LimitExceeded as error:
        raise ApiError(Trouble.TOO_LONG, error.message) from None
    except Malformed as error:
        raise ApiError(Trouble.MALFORMED, error.message) from None


def _object(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _malformed(what, "an object")
    return value


def _texts(value: object, what: str) -> Mapping[str, str]:
    if value is None:
        return {}
    found = _object(value, what)
    if not all(isinstance(each, str) for each in found.values()):
        raise _malformed(what, "texts")
    return cast("Mapping[str, str]", found)


def _text(metadata: Mapping[str, object], key: str) -> str:
    value = metadata.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME:
        raise _malformed(f"a ConfigMap's {key}", f"a text of 1 to {_MAX_NAME} characters")
    return value


def _version(metadata: Mapping[str, object], what: str) -> str:
    value = metadata.get("resourceVersion")
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME:
        raise _malformed(f"{what}: the resource version", "a text")
    return value


def _said(status: Mapping[str, object]) -> str:
    message = status.get("message")
    return message if isinstance(message, str) else ""


def _malformed(what: str, expected: str) -> ApiError:
    return ApiError(Trouble.MALFORMED, f"{what}: got something else than {expected} of the API server")
