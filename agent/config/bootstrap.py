"""The node's bootstrap document, `/etc/nodeseal/bootstrap.json`, as it is read on a pull.

JSON; its form, with words for people, is `agent.config.bootstrapschema`'s.  Here it is read without a schema: what is
not exactly of the form is `Malformed`, and the node keeps the strictest floor.
"""

from collections.abc import Mapping
from typing import cast

from agent.codec import strictjson
from agent.config import times
from agent.errors import Cause, Malformed
from agent.model.reference import MAX_LENGTH
from agent.rules import lists, matching
from agent.rules.floor import Bootstrap, Floor, HostFacts
from agent.rules.rule import Enforcement, FailureAction, FailurePolicy

API_VERSION = "nodeseal.dev/v1alpha1"
MAX_SIZE = 256 * 1024
MAX_PRIORITY = 1_000
"""Highest priority of a ConfigMap; the lowest is as far below 0."""

MAX_NEEDS = 64
"""Most images that a node is said to need."""

FOUND_VERSION = 1
"""Version of what `install` records of a host; what is of another one is not there until it is installed again."""

LONGEST_DEADLINE = 25
"""Seconds within which the verifier answers at the latest, however long containerd waits.

The daemon keeps connections of a configuration that is gone a little longer than that.
"""

MAX_PROXY = 16 * 1024
"""Most characters of one proxy variable."""

MAX_FOLDERS = 256
"""Most folders of `certs.d`."""

MAX_CANDIDATES = 16
"""Most places that are asked for one registry's images."""

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def decode(content: bytes) -> Bootstrap:
    """Read a bootstrap document.  Raises `Malformed`."""
    value = strictjson.decode(content, "bootstrap document", limit=MAX_SIZE)
    try:
        top = _object(value, "apiVersion", "$schema", "node", "untilFirstSnapshot", "floor", "host", "found")
        if top.get("apiVersion") != API_VERSION:
            raise ValueError(f"apiVersion {top.get('apiVersion')!r}, not {API_VERSION!r}")
        node = _object(top.get("node", {}), "name", "needs")
        return Bootstrap(
            _text(node.get("name", "")),
            Enforcement(top.get("untilFirstSnapshot", Enforcement.ENFORCE)),
            _floor(_object(top.get("floor", {}), *_FLOOR_KEYS)),
            _needs(node["needs"]) if "needs" in node else (lists.USUAL_SANDBOX,),
            _host(top.get("host", {}), top.get("found", {})),
        )
    except (TypeError, ValueError, KeyError) as error:
        said = ascii(str(error))[1:-1][:120]
        raise Malformed(f"bootstrap document: got {said}; expected the form of its schema") from None


_FLOOR_KEYS = (
    "enforcement", "failurePolicy", "breakGlass", "exemptWithoutDigest", "configMaps", "programs", "signedBy",
    "localKeys",
)  # fmt: skip


def _needs(given: object) -> tuple[str, ...]:
    """As they are written: on a pull nobody asks what they are."""
    found = _texts(given)
    if len(found) > MAX_NEEDS or not all(0 < len(each) <= MAX_LENGTH for each in found):
        raise ValueError("needs")
    return found


def _host(written: object, found: object) -> HostFacts:
    """What the node's owner wrote of the host; where that says nothing, what an installation found."""
    said = {**recorded(found), **_object(written, *_HOST_KEYS, "caBundleFrom")}
    deadline = said.get("deadline")
    if deadline is not None and deadline not in _DEADLINES:
        raise ValueError("deadline")
    bundle = said.get("caBundle")
    if bundle is not None and not _text(bundle).startswith("/"):
        raise ValueError("caBundle")
    return HostFacts(
        None if bundle is None else _text(bundle),
        _proxy(said["proxy"]) if "proxy" in said else None,
        _DEADLINES[_text(deadline)] if deadline is not None else None,
        _registries(said.get("registries", {})),
    )


def recorded(found: object) -> Mapping[str, object]:
    """What an installation recorded; nothing if it was one of another version.  Raises `TypeError` and the like."""
    if not isinstance(found, dict):
        raise TypeError("found")
    version = found.get("version", FOUND_VERSION if not found else None)
    if isinstance(version, bool) or not isinstance(version, int):
        raise TypeError("found: version")
    return _object(found, "version", *_HOST_KEYS, *_FOUND_KEYS) if version == FOUND_VERSION else {}


_HOST_KEYS = ("caBundle", "proxy", "deadline", "registries")
_FOUND_KEYS = ("caBundleFrom", "verifierTimeout", "certsFolders")
_DEADLINES = {f"{seconds}s": float(seconds) for seconds in range(1, LONGEST_DEADLINE + 1)}


def _proxy(given: object) -> Mapping[str, str]:
    """Messages about it hold no value: it may be a password."""
    found = {name: _text(value) for name, value in _object(given, *PROXY_VARIABLES).items()}
    if any(len(value) > MAX_PROXY or not (value.isascii() and value.isprintable()) for value in found.values()):
        raise ValueError("proxy")
    return found


def _registries(given: object) -> Mapping[str, object]:
    """Their outer form; what a place says is read when a registry of it is asked (`agent.registry.hosts`)."""
    if not isinstance(given, dict) or len(given) > MAX_FOLDERS:
        raise ValueError("registries")
    for places in given.values():
        if not isinstance(places, list) or not 0 < len(places) <= MAX_CANDIDATES:
            raise ValueError("registries")
        for each in places:
            if any(not isinstance(value, _PLACE[key]) for key, value in _object(each, *_PLACE).items()):
                raise TypeError("registries")
    return given


_PLACE = {"url": str, "resolves": bool, "ca": str, "client": list, "skipVerify": bool, "headers": list}


def _floor(given: Mapping[str, object]) -> Floor:
    usual = Floor()
    glass = _object(given.get("breakGlass", {}), "longest", "allImages")
    for_all = glass.get("allImages", False)
    if not isinstance(for_all, bool):
        raise TypeError("allImages")
    local_keys = given.get("localKeys", False)
    if not isinstance(local_keys, bool):
        raise TypeError("localKeys")
    patterns = _texts(given["exemptWithoutDigest"]) if "exemptWithoutDigest" in given else usual.without_digest
    if any(map(matching.complaint, patterns)):
        raise ValueError("exemptWithoutDigest")
    return Floor(
        enforcement=Enforcement(given.get("enforcement", usual.enforcement)),
        failure_policy=_failure_policy(given.get("failurePolicy", {}), usual.failure_policy),
        longest_break_glass=_seconds(glass["longest"]) if "longest" in glass else usual.longest_break_glass,
        break_glass_for_all=for_all,
        without_digest=tuple(map(matching.canonical, patterns)),
        config_maps=_config_maps(given["configMaps"]) if "configMaps" in given else None,
        programs=_texts(given.get("programs", [])),
        signed_by=_texts(given.get("signedBy", [])),
        local_keys=local_keys,
    )


def _config_maps(given: object) -> tuple[tuple[str, int], ...]:
    """Names alone, or with the highest priority that each may have; the lowest of several."""
    if not isinstance(given, list):
        raise TypeError("configMaps")
    found: dict[str, int] = {}
    for each in given:
        entry = {"name": each} if isinstance(each, str) else _object(each, "name", "priority")
        priority = entry.get("priority", 0)
        if isinstance(priority, bool) or not isinstance(priority, int) or abs(priority) > MAX_PRIORITY:
            raise ValueError("configMaps: priority")
        name = _text(entry["name"])
        found[name] = min(found.get(name, priority), priority)
    return tuple(found.items())


def _failure_policy(given: object, usual: FailurePolicy) -> FailurePolicy:
    """One word for every cause, or words by cause; the causes that are never ignored stay so unless they are named."""
    words = {"default": given} if isinstance(given, str) else given
    actions = {
        key: FailureAction(word) for key, word in _object(words, "default", *(each.value for each in Cause)).items()
    }
    causes = {cause: actions[cause.value] for cause in Cause if cause.value in actions}
    return FailurePolicy(actions.get("default", usual.default), {**usual.causes, **causes})


def _object(value: object, *keys: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError("no object")
    for key in value:
        if key not in keys:
            raise ValueError(f"an unknown key {str(key)[:40]}")
    return cast("Mapping[str, object]", value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("no list")
    return tuple(map(_text, value))


def _seconds(value: object) -> float:
    seconds = times.seconds(_text(value))
    if seconds is None:
        raise ValueError(value)
    return seconds
