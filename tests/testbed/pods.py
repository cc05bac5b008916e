"""The part of the CRI's runtime service that tests use, over containerd's real socket: one container in one pod.

CRI API `runtime.v1`; the messages are built from the field numbers below, other fields are ignored by both sides.  Pods
are in the node's network: no network plugin is needed.
"""

import pathlib
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PAUSE = "testbed/pause"
"""The repository of the image that a pod begins with, on the node's registry; its tag is 1."""

_PACKAGE = "runtime.v1"
_FIELD = descriptor_pb2.FieldDescriptorProto
_KINDS = {
    "text": _FIELD.TYPE_STRING,
    "flag": _FIELD.TYPE_BOOL,
    "number": _FIELD.TYPE_INT64,
    "choice": _FIELD.TYPE_INT32,
}
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "ImageSpec": {"image": (1, "text")},
    "PodSandboxMetadata": {"name": (1, "text"), "uid": (2, "text"), "namespace": (3, "text")},
    "NamespaceOption": {"network": (1, "choice")},
    "LinuxSandboxSecurityContext": {"namespace_options": (1, "NamespaceOption")},
    "LinuxPodSandboxConfig": {"cgroup_parent": (1, "text"), "security_context": (2, "LinuxSandboxSecurityContext")},
    "PodSandboxConfig": {
        "metadata": (1, "PodSandboxMetadata"), "hostname": (2, "text"), "log_directory": (3, "text"),
        "linux": (8, "LinuxPodSandboxConfig"),
    },
    "RunPodSandboxRequest": {"config": (1, "PodSandboxConfig")},
    "RunPodSandboxResponse": {"pod_sandbox_id": (1, "text")},
    "StopPodSandboxRequest": {"pod_sandbox_id": (1, "text")},
    "StopPodSandboxResponse": {},
    "RemovePodSandboxRequest": {"pod_sandbox_id": (1, "text")},
    "RemovePodSandboxResponse": {},
    "ContainerMetadata": {"name": (1, "text")},
    "Mount": {"container_path": (1, "text"), "host_path": (2, "text"), "readonly": (3, "flag")},
    "Capability": {"add_capabilities": (1, "text*"), "drop_capabilities": (2, "text*")},
    "LinuxContainerSecurityContext": {
        "capabilities": (1, "Capability"), "namespace_options": (3, "NamespaceOption"), "readonly_rootfs": (7, "flag"),
        "no_new_privs": (11, "flag"),
    },
    "LinuxContainerConfig": {"security_context": (2, "LinuxContainerSecurityContext")},
    "ContainerConfig": {
        "metadata": (1, "ContainerMetadata"), "image": (2, "ImageSpec"), "command": (3, "text*"), "args": (4, "text*"),
        "mounts": (7, "Mount*"), "log_path": (11, "text"), "linux": (15, "LinuxContainerConfig"),
    },
    "CreateContainerRequest": {
        "pod_sandbox_id": (1, "text"), "config": (2, "ContainerConfig"), "sandbox_config": (3, "PodSandboxConfig"),
    },
    "CreateContainerResponse": {"container_id": (1, "text")},
    "StartContainerRequest": {"container_id": (1, "text")},
    "StartContainerResponse": {},
    "ContainerStatusRequest": {"container_id": (1, "text")},
    "ContainerStatus": {"state": (3, "choice"), "exit_code": (7, "choice"), "image_ref": (9, "text")},
    "ContainerStatusResponse": {"status": (1, "ContainerStatus")},
}  # fmt: skip
_NODE = 2  # NamespaceMode
_EXITED = 2  # ContainerState


def _build_messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="cri_runtime_subset.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            field = message.field.add(name=field_name, number=number, label=3 if kind.endswith("*") else 1)
            kind = kind.rstrip("*")
            if kind in _KINDS:
                field.type = _KINDS[kind]
            else:
                field.type = _FIELD.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


_CLASSES = _build_messages()


class Ended(NamedTuple):
    """How a container ended: exit code, everything that it printed, on both outputs, and the image that it ran."""

    code: int
    out: str
    image: str


class Pods:
    """A client of the runtime service at a unix socket; `folder` is for logs.  Removes its pods in the end."""

    def __init__(self, socket: str, folder: pathlib.Path) -> None:
        """Connects on first use."""
        self._channel = grpc.insecure_channel(f"unix://{socket}")
        self._folder = folder
        self._pods: list[str] = []

    def __enter__(self) -> "Pods":
        """Nothing to begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove every pod that was made."""
        for pod in self._pods:
            self._call("StopPodSandbox", pod_sandbox_id=pod)
            self._call("RemovePodSandbox", pod_sandbox_id=pod)
        self._channel.close()

    def run(
        self,
        image: str,
        words: Sequence[str],
        *,
        mounts: Mapping[str, pathlib.Path] | None = None,
        added: Sequence[str] = (),
        seconds: float = 60,
    ) -> Ended:
        """Run an image's own program with these arguments to its end, in a pod of its own, as a careful pod would.

        Read-only root, no capability but those `added`, no new privileges; `mounts` are folders of the host's.
        """
        name = f"pod-{len(self._pods)}"
        here = _CLASSES["NamespaceOption"](network=_NODE)
        sandbox = _CLASSES["PodSandboxConfig"](
            metadata=_CLASSES["PodSandboxMetadata"](name=name, uid=name, namespace="default"),
            log_directory=str(self._folder),
            linux=_CLASSES["LinuxPodSandboxConfig"](
                security_context=_CLASSES["LinuxSandboxSecurityContext"](namespace_options=here)
            ),
        )
        pod = self._call("RunPodSandbox", config=sandbox).pod_sandbox_id
        self._pods.append(pod)
        security = _CLASSES["LinuxContainerSecurityContext"](
            capabilities=_CLASSES["Capability"](drop_capabilities=["ALL"], add_capabilities=list(added)),
            namespace_options=here,
            readonly_rootfs=True,
            no_new_privs=True,
        )
        config = _CLASSES["ContainerConfig"](
            metadata=_CLASSES["ContainerMetadata"](name="main"),
            image=_CLASSES["ImageSpec"](image=image),
            args=list(words),
            mounts=[
                _CLASSES["Mount"](container_path=inside, host_path=str(outside))
                for inside, outside in (mounts or {}).items()
            ],
            log_path=f"{name}.log",
            linux=_CLASSES["LinuxContainerConfig"](security_context=security),
        )
        container = self._call(
            "CreateContainer", pod_sandbox_id=pod, config=config, sandbox_config=sandbox
        ).container_id
        self._call("StartContainer", container_id=container)
        end = time.monotonic() + seconds
        while (status := self._call("ContainerStatus", container_id=container).status).state != _EXITED:
            if time.monotonic() > end:
                raise AssertionError(f"{image} still runs after {seconds} s: {self._printed(name)}")
            time.sleep(0.05)
        return Ended(status.exit_code, self._printed(name), status.image_ref)

    def _printed(self, name: str) -> str:
        """What a container printed; in the CRI's log each line is TIME STREAM F TEXT."""
        path = self._folder / f"{name}.log"
        lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
        return "".join(f"{line.split(' ', 3)[3]}\n" for line in lines)

    def _call(self, method: str, **fields: Any) -> Any:
        call: Any = self._channel.unary_unary(
            f"/{_PACKAGE}.RuntimeService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=_CLASSES[f"{method}Response"].FromString,
        )
        return call(_CLASSES[f"{method}Request"](**fields), timeout=60)
