"""Which images are about to be pulled for a pod: from JSON's types to names.  Nothing else of a pod is kept.

Whoever may create a pod writes what stands here, so what is strange is passed over, and all of it is bounded.
https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
"""

from collections.abc import Iterator, Mapping

from agent.cluster import messages
from agent.model.podimages import PodImages

MOST_IMAGES = 100
"""Images of one pod; the others are verified when they are pulled."""

MOST_CONTAINERS = 1000
"""Containers and volumes of each kind that are looked at."""

LONGEST = 512
"""Longest name of an image: 253 characters of a host, 255 of a path, a tag or digest would be more, and is nobody's."""

_KINDS = {
    "initContainers": "initContainerStatuses",
    "containers": "containerStatuses",
    "ephemeralContainers": "ephemeralContainerStatuses",
}
_BEFORE_START = ("", "Pending")


def read(value: object) -> PodImages:
    """One pod.  Raises `ApiError` if it has no name, namespace or version."""
    found = messages.mapping(value, "a pod")
    metadata = messages.mapping(found.get("metadata"), "a pod's metadata")
    name = f"{messages.text(metadata, 'namespace')}/{messages.text(metadata, 'name')}"
    images = () if metadata.get("deletionTimestamp") else _images(_mapping(found, "spec"), _mapping(found, "status"))
    unique = dict.fromkeys(image for image in images if isinstance(image, str) and _is_plain(image))
    return PodImages(name, messages.version(metadata, "a pod"), tuple(unique)[:MOST_IMAGES])


def _images(spec: Mapping[str, object], status: Mapping[str, object]) -> Iterator[object]:
    """The images of containers that have none yet; those of volumes before the pod has started."""
    for kind, told in _KINDS.items():
        has_one = {each.get("name") for each in _objects(status, told) if _is_text(each, "imageID")}
        for container in _objects(spec, kind):
            if container.get("name") not in has_one:
                yield container.get("image")
    if status.get("phase", "") in _BEFORE_START:
        for volume in _objects(spec, "volumes"):
            yield _mapping(volume, "image").get("reference")


def _is_plain(image: str) -> bool:
    """Whether it could be an image's name: visible ASCII, not too long."""
    return 0 < len(image) <= LONGEST and all("!" <= each <= "~" for each in image)


def _is_text(value: Mapping[str, object], key: str) -> bool:
    found = value.get(key)
    return isinstance(found, str) and found != ""


def _mapping(value: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _objects(value: Mapping[str, object], key: str) -> Iterator[Mapping[str, object]]:
    found = value.get(key)
    for each in found[:MOST_CONTAINERS] if isinstance(found, list) else ():
        if isinstance(each, dict) and isinstance(each.get("name", ""), str):
            yield each
