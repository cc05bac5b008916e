"""What is followed at an API server: which objects of which resource, and how one of them is read.  Pure."""

from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, Protocol, TypeVar
from urllib.parse import quote

from agent.cluster import messages, podimages, pullsecrets
from agent.model.configmap import ConfigMap
from agent.model.podimages import PodImages
from agent.model.pullsecret import PullSecret


class Followed(Protocol):
    """What a followed object must have."""

    @property
    def name(self) -> str:
        """What tells it from the others of the selection."""
        ...

    @property
    def resource_version(self) -> str:
        """Opaque: another one is another state."""
        ...

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        ...


Found = TypeVar("Found", bound=Followed)


class Selection(NamedTuple, Generic[Found]):
    """The objects at `path` that `query` selects; `read` makes one of JSON's types, and raises `ApiError`."""

    path: str
    query: Mapping[str, str]
    read: Callable[[object], Found]


def configmaps(namespace: str, label_selector: str) -> Selection[ConfigMap]:
    """The ConfigMaps of a namespace that a label selector names."""

    def read(value: object) -> ConfigMap:
        """Of this namespace."""
        return messages.configmap(value, namespace)

    return Selection(_path(namespace, "configmaps"), {"labelSelector": label_selector}, read)


def pull_secret(namespace: str, name: str) -> Selection[PullSecret]:
    """One Secret, by its name: a Role that grants this name alone allows it.

    https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources
    """

    def read(value: object) -> PullSecret:
        """This very one."""
        return pullsecrets.read(value, namespace, name)

    return Selection(_path(namespace, "secrets"), {"fieldSelector": f"metadata.name={name}"}, read)


def pods_of(node: str) -> Selection[PodImages]:
    """The pods that are bound to a node and have not ended, of all namespaces.

    https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
    """
    escaped = "".join(f"\\{character}" if character in "\\,=" else character for character in node)
    fields = f"spec.nodeName={escaped},status.phase!=Succeeded,status.phase!=Failed"
    return Selection("/api/v1/pods", {"fieldSelector": fields}, podimages.read)


def _path(namespace: str, resource: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/{resource}"
