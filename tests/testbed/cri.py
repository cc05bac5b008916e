"""The part of the CRI's image service that tests use, over containerd's real socket.

CRI API `runtime.v1`; the messages are built from the field numbers below, other fields are ignored by both sides.
"""

from typing import Any, NamedTuple

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "runtime.v1"
_STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "ImageSpec": {"image": (1, "")},
    "Image": {"id": (1, "")},
    "AuthConfig": {"username": (1, ""), "password": (2, "")},
    "PullImageRequest": {"image": (1, "ImageSpec"), "auth": (2, "AuthConfig")},
    "PullImageResponse": {"image_ref": (1, "")},
    "ImageStatusRequest": {"image": (1, "ImageSpec")},
    "ImageStatusResponse": {"image": (1, "Image")},
    "RemoveImageRequest": {"image": (1, "ImageSpec")},
    "RemoveImageResponse": {},
}


def _build_messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="cri_subset.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            field = message.field.add(name=field_name, number=number, label=1, type=_STRING)
            if kind:
                field.type = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


_CLASSES = _build_messages()


class Pulled(NamedTuple):
    """What a client was told: `ok`, or the error's text in `error`."""

    ok: bool
    error: str


class ImageService:
    """A client of the image service at a unix socket."""

    def __init__(self, socket: str) -> None:
        """Connect on first use."""
        self._channel = grpc.insecure_channel(f"unix://{socket}")

    def pull(self, image: str, credentials: tuple[str, str] | None = None) -> Pulled:
        """Pull, as the kubelet does; `credentials` are user name and password of a pull secret."""
        auth = _CLASSES["AuthConfig"](username=credentials[0], password=credentials[1]) if credentials else None
        try:
            self._call("PullImage", image, 60, auth=auth)
        except grpc.RpcError as error:
            return Pulled(False, str(error.details()))
        return Pulled(True, "")

    def is_present(self, image: str) -> bool:
        """Whether containerd has the image."""
        return bool(self._call("ImageStatus", image, 10).image.id)

    def remove(self, image: str) -> None:
        """Forget the image, if it is there."""
        self._call("RemoveImage", image, 10)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _call(self, method: str, image: str, seconds: float, **others: Any) -> Any:
        request = _CLASSES[f"{method}Request"](image=_CLASSES["ImageSpec"](image=image), **others)
        call: Any = self._channel.unary_unary(
            f"/{_PACKAGE}.ImageService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=_CLASSES[f"{method}Response"].FromString,
        )
        return call(request, timeout=seconds)
