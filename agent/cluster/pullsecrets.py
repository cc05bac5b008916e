"""Secrets with credentials for registries: which of them count, and what they hold; from JSON's types to values.

One counts if somebody has labelled it for us and its type is one of those that the kubelet takes for pulling.  What is
told of another one never holds a value.
https://kubernetes.io/docs/concepts/configuration/secret/#docker-config-secrets
"""

import base64
import binascii
from collections.abc import Mapping

from agent.cluster import messages
from agent.codec import strictjson
from agent.errors import Malformed
from agent.model.pullsecret import PullSecret

LABEL = "nodeseal.dev/config"
ACTIVE = "active"
"""The label that says that a Secret is meant for us, as `agent.config.discovery` has it for ConfigMaps."""

MAX_CONTENT = 1024 * 1024
"""Most bytes of a Secret's credentials; the API server takes no more."""

_WHOLE = "kubernetes.io/dockerconfigjson"
_AUTHS_ALONE = "kubernetes.io/dockercfg"
_KEYS = {_WHOLE: ".dockerconfigjson", _AUTHS_ALONE: ".dockercfg"}


def read(value: object, namespace: str, name: str) -> PullSecret:
    """One Secret, which must be the one of that name.  Raises `ApiError` for what the API does not promise."""
    found = messages.mapping(value, "a Secret")
    metadata = messages.mapping(found.get("metadata"), "a Secret's metadata")
    if (messages.text(metadata, "namespace"), messages.text(metadata, "name")) != (namespace, name):
        raise messages.malformed("a Secret's name", "the one that was asked for")
    labels = messages.texts(metadata.get("labels"), "a Secret's labels")
    data = messages.texts(found.get("data"), "a Secret's data")
    uid, version = messages.text(metadata, "uid"), messages.version(metadata, "a Secret")
    content, complaint, kind = b"", "", found.get("type")
    if labels.get(LABEL) != ACTIVE:
        complaint = f"it has no label {LABEL}: {ACTIVE}"
    elif not isinstance(kind, str) or kind not in _KEYS:
        complaint = f"it is of another type; expected {_WHOLE}"
    else:
        content, complaint = _content(kind, data)
    return PullSecret(name, uid, version, docker_config=b"" if complaint else content, complaint=complaint)


def _content(kind: str, data: Mapping[str, str]) -> tuple[bytes, str]:
    """What it holds, in the newer of the two forms; and what is wrong with it."""
    key = _KEYS[kind]
    content = _decoded(data.get(key, ""))
    if not content:
        return b"", f"it has nothing under {key}"
    if len(content) > MAX_CONTENT:
        return b"", f"it holds more than {MAX_CONTENT} bytes"
    if kind == _WHOLE:
        return content, ""
    auths = _auths(content)
    return (b"", f"{key} is no JSON") if auths is None else (strictjson.canonical({"auths": auths}), "")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


def _auths(content: bytes) -> object:
    try:
        return strictjson.decode(content, "a Secret", limit=MAX_CONTENT)
    except Malformed:
        return None
