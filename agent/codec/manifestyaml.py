"""What the manifest of a static pod says of its images.

The kubelet's YAML is not ours: anchors, tags and dates are no fault in it.  The parser's events are read, and every
scalar is a text: nothing is constructed that a document names, and an alias is the very value that it leads to, so
that aliases multiply nothing.  (PyYAML's own composer has no bound on depth, and overflows the stack.)  Never on the
pull path.
"""

from collections.abc import Iterator
from typing import Any

import yaml

MAX_SIZE = 256 * 1024
"""Most bytes of a manifest that are read."""

MAX_IMAGES = 64
"""Most images of one manifest."""

MAX_DEPTH = 50
"""Most levels of values in each other."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def images(data: bytes) -> list[str]:
    """The `image` of each container, as it is written; none of what is no manifest, or out of bounds."""
    if len(data) > MAX_SIZE:
        return []
    try:
        top = _first(yaml.parse(data.decode("utf-8"), Loader=_Loader))
    except (UnicodeDecodeError, yaml.YAMLError, ValueError):
        return []
    spec = _under(top, "spec")
    listed = (_under(spec, key) for key in _CONTAINERS)
    containers = (each for every in listed if isinstance(every, list) for each in every)
    found = (_under(container, "image") for container in containers)
    return [image for image in found if image and isinstance(image, str)][:MAX_IMAGES]


def _first(events: Iterator[Any]) -> object:
    """The value of the first document.  Raises `yaml.YAMLError`, `ValueError` for what is nested too deep."""
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            return _value(next(events), events, {}, 1)
    return None


def _value(event: Any, events: Iterator[Any], anchors: dict[str, object], depth: int) -> object:
    if depth > MAX_DEPTH:
        raise ValueError("too deep")
    if isinstance(event, yaml.AliasEvent):
        return anchors.get(str(event.anchor))
    found: object = None
    if isinstance(event, yaml.ScalarEvent):
        found = event.value
    elif isinstance(event, yaml.SequenceStartEvent):
        items: list[object] = []
        found = items
        while not isinstance(item := next(events), yaml.SequenceEndEvent):
            items.append(_value(item, events, anchors, depth + 1))
    elif isinstance(event, yaml.MappingStartEvent):
        mapping: dict[str, object] = {}
        found = mapping
        while not isinstance(item := next(events), yaml.MappingEndEvent):
            key = _value(item, events, anchors, depth + 1)
            value = _value(next(events), events, anchors, depth + 1)
            if isinstance(key, str):
                mapping[key] = value
    if event.anchor is not None:
        anchors[event.anchor] = found
    return found


def _under(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None
