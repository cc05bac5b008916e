"""The API server's answers, read: pages of lists, changes of a watch, labels of a node, reasons.

Only what we use is looked at.  What is not as the API promises is `ApiError(MALFORMED)`: nothing is guessed, and a list
or an event counts whole or not at all.  https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from enum import Enum
from typing import Generic, NamedTuple, TypeVar, cast

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


Item = TypeVar("Item")


class Page(NamedTuple, Generic[Item]):
    """One page of a list.  `token` continues it; "" on the last page."""

    items: tuple[Item, ...]
    resource_version: str
    token: str


class Kind(str, Enum):
    """What happened to the object of a change."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"
    """To none: everything up to its resource version was told."""


class Change(NamedTuple, Generic[Item]):
    """One event of a watch; a bookmark has no object."""

    kind: Kind
    resource_version: str
    object: Item | None


def page(content: bytes, read: Callable[[object], Item]) -> Page[Item]:
    """Read a page of a list; `read` makes an item of each of its objects.  Raises `ApiError`."""
    value = mapping(decoded(content, "the list", MAX_PAGE), "the list")
    metadata = mapping(value.get("metadata"), "the list's metadata")
    items = value.get("items")
    if items is None:
        items = []  # Go writes an empty list as null
    if not isinstance(items, list):
        raise malformed("the list's items", "a list")
    token = metadata.get("continue", "")
    if not isinstance(token, str):
        raise malformed("the list's token", "a text")
    return Page(tuple(map(read, items)), version(metadata, "the list"), token)


def change(line: bytes, read: Callable[[object], Item]) -> Change[Item]:
    """Read one line of a watch, as `page` does.  Raises `ApiError`: also the one that the server tells in an event."""
    value = mapping(decoded(line, "an event", MAX_LINE), "an event")
    found = mapping(value.get("object"), "an event's object")
    if value.get("type") == "ERROR":
        code = found.get("code")
        raise refusal(code if isinstance(code, int) else 500, _said(found))
    try:
        kind = Kind(cast("str", value.get("type")))
    except ValueError:
        raise malformed("an event's type", ", ".join(Kind)) from None
    if kind is Kind.BOOKMARK:
        return Change(kind, version(mapping(found.get("metadata"), "a bookmark"), "a bookmark"), None)
    return Change(kind, version(mapping(found.get("metadata"), "an event's object"), "an event's object"), read(found))


def reason(content: bytes) -> str:
    """What a refusal says of itself; "" if it is nothing of Kubernetes'."""
    try:
        value = strictjson.decode(content, "a status", limit=MAX_REASON)
    except (LimitExceeded, Malformed):
        return ""
    return _said(value) if isinstance(value, dict) else ""


def node_labels(content: bytes) -> Mapping[str, str]:
    """The labels of a node.  Raises `ApiError`."""
    value = mapping(decoded(content, "the node", MAX_NODE), "the node")
    return texts(mapping(value.get("metadata"), "the node's metadata").get("labels"), "the node's labels")


def configmap(value: object, namespace: str) -> ConfigMap:
    """A ConfigMap, which must be of that namespace.  Raises `ApiError`."""
    found = mapping(value, "a ConfigMap")
    metadata = mapping(found.get("metadata"), "a ConfigMap's metadata")
    name = text(metadata, "name")
    if text(metadata, "namespace") != namespace:
        raise malformed("a ConfigMap's namespace", namespace)
    where = f"ConfigMap {name}"
    try:
        created = datetime.fromisoformat(text(metadata, "creationTimestamp"))
        binary = {
            key: base64.b64decode(text, validate=True)
            for key, text in texts(found.get("binaryData"), f"{where}, binaryData").items()
        }
    except binascii.Error:
        raise malformed(f"{where}, binaryData", "base64") from None
    except ValueError:
        raise malformed(f"{where}, creationTimestamp", "a time") from None
    if created.tzinfo is None:
        raise malformed(f"{where}, creationTimestamp", "a time with its zone")
    return ConfigMap(
        namespace,
        name,
        text(metadata, "uid"),
        version(metadata, where),
        created.astimezone(timezone.utc),
        texts(metadata.get("labels"), f"{where}, labels"),
        texts(metadata.get("annotations"), f"{where}, annotations"),
        texts(found.get("data"), f"{where}, data"),
        binary,
    )


def decoded(content: bytes, what: str, limit: int) -> object:
    """JSON whose values are as many as they like: the server made them of objects that it took."""
    try:
        return strictjson.decode(content, what, limit=limit, most=limit)
    except LimitExceeded as error:
        trouble, message = Trouble.TOO_LONG, error.message
    except Malformed:
        trouble, message = Trouble.MALFORMED, f"{what}: got no valid JSON"
    # Outside of the handler: what was read hangs on the decoder's exception, and may be a Secret.
    raise ApiError(trouble, message)


def mapping(value: object, what: str) -> dict[str, object]:
    """`value`, which must be an object.  Raises `ApiError`."""
    if not isinstance(value, dict):
        raise malformed(what, "an object")
    return value


def texts(value: object, what: str) -> Mapping[str, str]:
    """`value`, which must be an object of texts; None is an empty one.  Raises `ApiError`."""
    if value is None:
        return {}
    found = mapping(value, what)
    if not all(isinstance(each, str) for each in found.values()):
        raise malformed(what, "texts")
    return cast("Mapping[str, str]", found)


def text(metadata: Mapping[str, object], key: str) -> str:
    """What stands under `key` of an object's metadata.  Raises `ApiError`."""
    value = metadata.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME:
        raise malformed(f"an object's {key}", f"a text of 1 to {_MAX_NAME} characters")
    return value


def version(metadata: Mapping[str, object], what: str) -> str:
    """The resource version that metadata has.  Raises `ApiError`."""
    value = metadata.get("resourceVersion")
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME:
        raise malformed(f"{what}: the resource version", "a text")
    return value


def _said(status: Mapping[str, object]) -> str:
    message = status.get("message")
    return message if isinstance(message, str) else ""


def malformed(what: str, expected: str) -> ApiError:
    """That `what` is not as the API promises."""
    return ApiError(Trouble.MALFORMED, f"{what}: got something else than {expected} of the API server")
