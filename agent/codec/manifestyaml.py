"""What the manifest of a static pod says of its images.

The kubelet's YAML is not ours: anchors, tags and dates are no fault in it.  The parser's nodes are walked along one
path; nothing is constructed that a document names, so that aliases multiply nothing.  Never on the pull path.
"""

from collections.abc import Iterator
from typing import Any

import yaml

MAX_SIZE = 256 * 1024
"""Most bytes of a manifest that are read."""

MAX_IMAGES = 64
"""Most images of one manifest."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def images(data: bytes) -> list[str]:
    """The `image` of each container, as it is written; none of what is no manifest, or too large."""
    if len(data) > MAX_SIZE:
        return []
    try:
        found = [yaml.compose(data.decode("utf-8"), Loader=_Loader)]
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError):
        return []
    specs = [spec for top in found for spec in _under(top, "spec")]
    listed = [each for spec in specs for key in _CONTAINERS for each in _under(spec, key)]
    containers = [each for every in listed if isinstance(every, yaml.SequenceNode) for each in every.value]
    named = [each.value for container in containers for each in _under(container, "image") if _is_text(each)]
    return named[:MAX_IMAGES]


def _under(node: object, key: str) -> Iterator[Any]:
    """The values of a key; none if this is no mapping that has it."""
    for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(name, yaml.ScalarNode) and name.value == key:
            yield value


def _is_text(node: object) -> bool:
    return isinstance(node, yaml.ScalarNode) and bool(node.value)
