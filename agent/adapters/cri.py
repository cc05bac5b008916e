"""A client of a container runtime's CRI, as far as proving and looking take it: version, images, pulling one.

CRI API `runtime.v1` (https://github.com/kubernetes/cri-api/blob/master/pkg/apis/runtime/v1/api.proto); messages are
built from the field numbers below, and both sides pass over fields that they don't know.
"""

from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from agent.adapters.unary import RpcError, call
from agent.wiring.proof import Pulled

SOCKETS = (
    "run/k3s/containerd/containerd.sock",
    "run/k0s/containerd.sock",
    "var/snap/microk8s/common/run/containerd.sock",
    "run/containerd/containerd.sock",
)
"""Where kubelets' containerds listen, below the root.

Nodes of k3s, k0s and MicroK8s may run another one for other purposes, at the place of the last.
"""

MOST_IMAGES = 10_000
"""Images that are looked at; a node has hundreds."""

_PACKAGE = "runtime.v1"
_SECONDS = 5.0
_PULL_SECONDS = 20.0  # containerd gives a verifier ten
_SMALL = 64 * 1024
_FIELDS: dict[str, dict[str, tuple[int, str]]] = {
    "VersionRequest": {"version": (1, "string")},
    "VersionResponse": {"runtime_name": (2, "string"), "runtime_version": (3, "string")},
    "ImageSpec": {"image": (1, "string")},
    "PullImageRequest": {"image": (1, "ImageSpec")},
    "PullImageResponse": {"image_ref": (1, "string")},
    "ListImagesRequest": {},
    "Image": {"id": (1, "string"), "repo_tags": (2, "string[]"), "repo_digests": (3, "string[]")},
    "ListImagesResponse": {"images": (1, "Image[]")},
}


class Runtime(NamedTuple):
    """What a runtime calls itself."""

    name: str
    version: str


class Image(NamedTuple):
    """An image that is present: names with tags, and `REPOSITORY@DIGEST`."""

    tags: tuple[str, ...]
    digests: tuple[str, ...]


class Cri:
    """A CRI at a unix socket; each call has a connection of its own, and a limit in time and bytes."""

    def __init__(self, socket: str) -> None:
        """No connection is made yet."""
        self._socket = socket

    async def version(self) -> Runtime:
        """Name and version of the runtime.  Raises `RpcError`."""
        answer = await self._asked("RuntimeService/Version", "Version", most=_SMALL)
        return Runtime(answer.runtime_name, answer.runtime_version)

    async def images(self) -> tuple[Image, ...]:
        """The images that are present, `MOST_IMAGES` at most.  Raises `RpcError`."""
        answer = await self._asked("ImageService/ListImages", "ListImages")
        return tuple(Image(tuple(each.repo_tags), tuple(each.repo_digests)) for each in answer.images[:MOST_IMAGES])

    async def pull(self, image: str) -> Pulled:
        """Have an image pulled, as the kubelet does.  Raises `RpcError` if there is no answer, refusals are one."""
        request = _CLASSES["PullImageRequest"](image=_CLASSES["ImageSpec"](image=image))
        method = f"/{_PACKAGE}.ImageService/PullImage"
        reply = await call(self._socket, method, request.SerializeToString(), seconds=_PULL_SECONDS, most=_SMALL)
        return Pulled(reply.code, reply.text)

    async def _asked(self, method: str, name: str, **limits: int) -> Any:
        """Raises `RpcError`."""
        request = _CLASSES[f"{name}Request"]().SerializeToString()
        reply = await call(self._socket, f"/{_PACKAGE}.{method}", request, seconds=_SECONDS, **limits)
        if reply.code != 0:
            raise RpcError(f"{self._socket}: {name}: got status {reply.code}: {reply.text}")
        try:
            return _CLASSES[f"{name}Response"].FromString(reply.message)
        except DecodeError:
            raise RpcError(f"{self._socket}: {name}: got something else than the message expected") from None


def _classes() -> dict[str, Any]:
    """A class for each message of `_FIELDS`."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="nodeseal/cri.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            label = kinds.LABEL_REPEATED if kind.endswith("[]") else kinds.LABEL_OPTIONAL
            field = message.field.add(name=field_name, number=number, label=label, type=kinds.TYPE_STRING)
            if not kind.startswith("string"):
                field.type = kinds.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{kind.removesuffix('[]')}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _FIELDS}


_CLASSES = _classes()
