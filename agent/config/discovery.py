"""Which ConfigMaps are configurations, and for which nodes: from values to candidates for a merge.

A label says that one is, annotations say the rest.  Nothing in a document is read here.  Pure: no cluster, no clock.

The node selector has the form that Kubernetes gives label selectors as text
(https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors): requirements between
commas, `KEY`, `!KEY`, `KEY=VALUE` (or `==`), `KEY!=VALUE`, `KEY in (VALUES)`, `KEY notin (VALUES)`; all of them must
hold.  `!=` and `notin` hold for a node without the label too.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from agent.config.bootstrap import MAX_PRIORITY
from agent.errors import Malformed, Problem
from agent.model.configmap import ConfigMap
from agent.rules.floor import Floor

LABEL = "nodeseal.dev/config"
ACTIVE = "active"
PREVIEW = "preview"
"""A value that is reserved: whoever has it counts for nothing yet, and nothing is said of it."""

PRIORITY = "nodeseal.dev/priority"
NODE_SELECTOR = "nodeseal.dev/node-selector"

MAX_SELECTOR = 4096
"""Longest node selector, in characters."""

MAX_REQUIREMENTS = 64
"""Most requirements of a node selector."""

_NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_DOMAIN = r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?"
_KEY = rf"(?:{_DOMAIN}/)?{_NAME}"
_VALUE = rf"(?:{_NAME})?"
_REQUIREMENT = re.compile(
    rf"\s*(?:(?P<absent>!)\s*(?P<no_key>{_KEY})"
    rf"|(?P<set_key>{_KEY})\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\)"
    rf"|(?P<key>{_KEY})(?:\s*(?P<is>==|=|!=)\s*(?P<value>{_VALUE}))?)\s*(?:,|\Z)"
)
_VALUE_ALONE = re.compile(rf"{_VALUE}\Z")
_KEY_ALONE = re.compile(rf"{_KEY}\Z")
_INTEGER = re.compile(r"[+-]?[0-9]{1,6}\Z")


class Candidate(NamedTuple):
    """A ConfigMap that says it is a configuration for this node.  `name` is `NAMESPACE/NAME`; `documents` are its keys.

    `refused` are problems of the ConfigMap itself: if one is fatal, it can't be used, whatever its documents say.
    """

    name: str
    uid: str
    resource_version: str
    created: datetime
    priority: int
    documents: Mapping[str, bytes]
    refused: tuple[Problem, ...] = ()


class Ignored(NamedTuple):
    """A ConfigMap that counts for nothing although somebody may have meant it to, and why."""

    name: str
    uid: str
    problem: Problem


class Discovery(NamedTuple):
    """What was found."""

    candidates: tuple[Candidate, ...]
    ignored: tuple[Ignored, ...]


def discovered(
    config_maps: Iterable[ConfigMap],
    *,
    floor: Floor,
    node_labels: Mapping[str, str] | None,
    label: str = LABEL,
    value: str = ACTIVE,
) -> Discovery:
    """The ConfigMaps that count on a node, by name.

    `node_labels` are the node's, None if nobody knows them: then a document with a node selector does not count.
    """
    candidates: list[Candidate] = []
    ignored: list[Ignored] = []
    for each in sorted(config_maps, key=lambda each: (each.namespace, each.name, each.uid)):
        given = each.labels.get(label)
        if given is None or (given == PREVIEW and value != PREVIEW):
            continue
        name = f"{each.namespace}/{each.name}"
        problem = _not_meant(each, given, label, value, floor)
        if problem is None:
            found = _candidate(name, each, floor)
            problem = _not_here(each, node_labels) if not _is_refused(found) else None
            if problem is None:
                candidates.append(found)
                continue
            if not problem.fatal:
                continue  # for other nodes, which is no news
        ignored.append(Ignored(name, each.uid, problem))
    return Discovery(tuple(candidates), tuple(ignored))


def has_selectors(config_maps: Iterable[ConfigMap], *, label: str = LABEL, value: str = ACTIVE) -> bool:
    """Whether it matters for any of them which labels a node has."""
    return any(each.labels.get(label) == value and NODE_SELECTOR in each.annotations for each in config_maps)


def is_label_key(text: str) -> bool:
    """Whether a label can have this key, with or without a domain before a slash."""
    return bool(_KEY_ALONE.match(text))


def selects(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether a node with `labels` is among those that `selector` means.  Raises `Malformed`.

    An empty one means every node, as in Kubernetes.
    """
    if len(selector) > MAX_SELECTOR:
        raise Malformed(f"got {len(selector)} characters; expected at most {MAX_SELECTOR}")
    at, held, count = 0, True, 0
    while selector.strip() and (at < len(selector) or selector[at - 1] == ","):
        match = _REQUIREMENT.match(selector, at)
        count += 1
        if not match or count > MAX_REQUIREMENTS:
            expected = f"at most {MAX_REQUIREMENTS} of KEY, !KEY, KEY=VALUE, KEY!=VALUE, KEY in (VALUES)"
            raise Malformed(f"got {ascii(selector[at : at + 40])}; expected {expected}")
        held = _holds(match, labels) and held
        at = match.end()
    return held


def _holds(match: re.Match[str], labels: Mapping[str, str]) -> bool:
    """Whether one requirement holds.  Raises `Malformed`."""
    if match["absent"]:
        return match["no_key"] not in labels
    if match["set"]:
        values = [each.strip() for each in match["values"].split(",")]
        if not all(map(_VALUE_ALONE.match, values)):
            raise Malformed(f"got {ascii(match['values'])[:60]}; expected values of labels between commas")
        return (labels.get(match["set_key"]) in values) is (match["set"] == "in")
    if match["is"]:
        return (labels.get(match["key"]) == match["value"]) is (match["is"] != "!=")
    return match["key"] in labels


def _not_meant(given: ConfigMap, said: str, label: str, value: str, floor: Floor) -> Problem | None:
    """Why a ConfigMap with the label does not count anywhere the floor is the same."""
    if said != value:
        return Problem(f"label {label}", ascii(said)[1:-1][:80], f"{value}, or {PREVIEW}, which is reserved")
    if floor.config_maps is not None and given.name not in dict(floor.config_maps):
        names = ", ".join(name for name, _ in floor.config_maps[:5]) or "none"
        return Problem("name", given.name[:253], f"one that floor.configMaps of this node lists: {names}")
    return None


def _not_here(given: ConfigMap, node_labels: Mapping[str, str] | None) -> Problem | None:
    """Why it does not count on this node: fatal if somebody should hear of it."""
    selector = given.annotations.get(NODE_SELECTOR)
    if selector is None:
        return None
    if node_labels is None:
        return Problem(_annotation(NODE_SELECTOR), "a selector", "none: nobody knows the labels of this node")
    if selects(selector, node_labels):
        return None
    return Problem(_annotation(NODE_SELECTOR), "other nodes", "this one", fatal=False)


def _candidate(name: str, given: ConfigMap, floor: Floor) -> Candidate:
    problems: list[Problem] = []
    try:
        selects(given.annotations.get(NODE_SELECTOR, ""), {})
    except Malformed as error:
        got, _, expected = error.message.removeprefix("got ").partition("; expected ")
        problems.append(Problem(_annotation(NODE_SELECTOR), got, expected))
    priority = _priority(given, floor, problems)
    texts = {key: text.encode("utf-8", "surrogatepass") for key, text in given.data.items()}
    problems += (
        Problem(ascii(key)[1:-1][:80], "a key in data and in binaryData", "it in one of the two")
        for key in sorted(texts.keys() & given.binary_data.keys())
    )
    documents = {**texts, **given.binary_data}
    return Candidate(name, given.uid, given.resource_version, given.created, priority, documents, tuple(problems))


def _priority(given: ConfigMap, floor: Floor, problems: list[Problem]) -> int:
    text = given.annotations.get(PRIORITY)
    if text is None:
        wanted = 0
    elif not _INTEGER.match(text) or abs(int(text)) > MAX_PRIORITY:
        expected = f"a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}"
        problems.append(Problem(_annotation(PRIORITY), ascii(text)[1:-1][:40], expected))
        wanted = 0
    else:
        wanted = int(text)
    highest = MAX_PRIORITY if floor.config_maps is None else dict(floor.config_maps)[given.name]
    if text is not None and wanted > highest:
        expected = f"at most {highest}, which floor.configMaps of this node allows it"
        problems.append(Problem(_annotation(PRIORITY), str(wanted), expected, fatal=False))
    return min(wanted, highest)


def _is_refused(candidate: Candidate) -> bool:
    return any(problem.fatal for problem in candidate.refused)


def _annotation(name: str) -> str:
    return f"annotation {name}"
