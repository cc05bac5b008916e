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

from tests.workload import Bound, Powers, Workload

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
    "NamespaceOption": {"network": (1, "choice"), "pid": (2, "choice")},
    "LinuxSandboxSecurityContext": {"namespace_options": (1, "NamespaceOption"), "privileged": (6, "flag")},
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
    "SELinuxOption": {"user": (1, "text"), "role": (2, "text"), "type": (3, "text"), "level": (4, "text")},
    "Int64Value": {"value": (1, "number")},
    "SecurityProfile": {"profile_type": (1, "choice"), "localhost_ref": (2, "text")},
    "LinuxContainerSecurityContext": {
        "capabilities": (1, "Capability"), "privileged": (2, "flag"), "namespace_options": (3, "NamespaceOption"),
        "selinux_options": (4, "SELinuxOption"), "run_as_user": (5, "Int64Value"), "readonly_rootfs": (7, "flag"),
        "no_new_privs": (11, "flag"), "seccomp": (15, "SecurityProfile"),
    },
    "LinuxContainerResources": {"memory_limit_in_bytes": (4, "number")},
    "LinuxContainerConfig": {
        "resources": (1, "LinuxContainerResources"), "security_context": (2, "LinuxContainerSecurityContext"),
    },
    "KeyValue": {"key": (1, "text"), "value": (2, "text")},
    "ContainerConfig": {
        "metadata": (1, "ContainerMetadata"), "image": (2, "ImageSpec"), "command": (3, "text*"), "args": (4, "text*"),
        "envs": (6, "KeyValue*"), "mounts": (7, "Mount*"), "log_path": (11, "text"),
        "linux": (15, "LinuxContainerConfig"),
    },
    "CreateContainerRequest": {
        "pod_sandbox_id": (1, "text"), "config": (2, "ContainerConfig"), "sandbox_config": (3, "PodSandboxConfig"),
    },
    "CreateContainerResponse": {"container_id": (1, "text")},
    "StartContainerRequest": {"container_id": (1, "text")},
    "StartContainerResponse": {},
    "StopContainerRequest": {"container_id": (1, "text"), "timeout": (2, "number")},
    "StopContainerResponse": {},
    "ContainerStatusRequest": {"container_id": (1, "text")},
    "ContainerStatus": {"state": (3, "choice"), "exit_code": (7, "choice"), "image_ref": (9, "text")},
    "ContainerStatusResponse": {"status": (1, "ContainerStatus")},
}  # fmt: skip
_POD, _NODE = 0, 2  # NamespaceMode
_RUNTIME_DEFAULT, _UNCONFINED = 0, 1  # SecurityProfile.ProfileType
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


class Started:
    """A container that was started; `id` is what the runtime calls it."""

    def __init__(self, pods: "Pods", container: str, name: str) -> None:
        """`name` is its pod's."""
        self._pods, self.id, self._name = pods, container, name

    @property
    def out(self) -> str:
        """What it has printed so far, on both outputs."""
        return self._pods.printed(self._name)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return bool(self._status().state != _EXITED)

    def wait(self, seconds: float = 60) -> Ended:
        """Wait for its end, for as long as it prints something in so many seconds."""
        said, end = "", time.monotonic() + seconds
        while (status := self._status()).state != _EXITED:
            if self.out != said:
                said, end = self.out, time.monotonic() + seconds
            if time.monotonic() > end:
                raise AssertionError(f"{self._name} still runs, and has printed nothing for {seconds} s: {said}")
            time.sleep(0.05)
        return Ended(status.exit_code, self.out, status.image_ref)

    def stop(self, seconds: int = 30) -> Ended:
        """Ask it to end, as a kubelet does, with so long for it."""
        self._pods.call("StopContainer", container_id=self.id, timeout=seconds)
        return self.wait()

    def _status(self) -> Any:
        return self._pods.call("ContainerStatus", container_id=self.id).status


def _security(powers: Powers, here: Any) -> Any:
    """The runtime's words for what a container may do; `here` are its namespaces."""
    user = {} if powers.user is None else {"run_as_user": _CLASSES["Int64Value"](value=powers.user)}
    profile = _RUNTIME_DEFAULT if powers.seccomp == "RuntimeDefault" else _UNCONFINED
    return _CLASSES["LinuxContainerSecurityContext"](
        capabilities=_CLASSES["Capability"](drop_capabilities=powers.dropped, add_capabilities=powers.added),
        privileged=powers.privileged,
        namespace_options=here,
        selinux_options=_CLASSES["SELinuxOption"](type=powers.selinux_type),
        readonly_rootfs=powers.readonly_root,
        no_new_privs=powers.no_new_privileges,
        seccomp=_CLASSES["SecurityProfile"](profile_type=profile),
        **user,
    )


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
            self.call("StopPodSandbox", pod_sandbox_id=pod)
            self.call("RemovePodSandbox", pod_sandbox_id=pod)
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
        powers = Powers(False, None, True, True, added, ["ALL"], "", "")
        bound = [Bound(inside, outside, False) for inside, outside in (mounts or {}).items()]
        return self.start(image, Workload(words, {}, bound, powers, 0)).wait(seconds)

    def start(self, image: str, workload: Workload) -> "Started":
        """Start an image's own program in a pod of its own."""
        name = f"pod-{len(self._pods)}"
        here = _CLASSES["NamespaceOption"](network=_NODE, pid=_NODE if workload.host_pid else _POD)
        sandbox = _CLASSES["PodSandboxConfig"](
            metadata=_CLASSES["PodSandboxMetadata"](name=name, uid=name, namespace="default"),
            log_directory=str(self._folder),
            linux=_CLASSES["LinuxPodSandboxConfig"](
                security_context=_CLASSES["LinuxSandboxSecurityContext"](
                    namespace_options=here, privileged=workload.powers.privileged
                )
            ),
        )
        pod = self.call("RunPodSandbox", config=sandbox).pod_sandbox_id
        self._pods.append(pod)
        config = _CLASSES["ContainerConfig"](
            metadata=_CLASSES["ContainerMetadata"](name="main"),
            image=_CLASSES["ImageSpec"](image=image),
            args=list(workload.words),
            envs=[_CLASSES["KeyValue"](key=key, value=value) for key, value in workload.environment.items()],
            mounts=[
                _CLASSES["Mount"](container_path=each.inside, host_path=str(each.outside), readonly=each.readonly)
                for each in workload.mounts
            ],
            log_path=f"{name}.log",
            linux=_CLASSES["LinuxContainerConfig"](
                resources=_CLASSES["LinuxContainerResources"](memory_limit_in_bytes=workload.memory),
                security_context=_security(workload.powers, here),
            ),
        )
        container = self.call("CreateContainer", pod_sandbox_id=pod, config=config, sandbox_config=sandbox).container_id
        self.call("StartContainer", container_id=container)
        return Started(self, container, name)

    def printed(self, name: str) -> str:
        """What the container of a pod printed; in the CRI's log each line is TIME STREAM F TEXT."""
        path = self._folder / f"{name}.log"
        lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
        return "".join(f"{line.split(' ', 3)[3]}\n" for line in lines)

    def call(self, method: str, **fields: Any) -> Any:
        """One call of the runtime service.  Raises `grpc.RpcError`."""
        call: Any = self._channel.unary_unary(
            f"/{_PACKAGE}.RuntimeService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=_CLASSES[f"{method}Response"].FromString,
        )
        return call(_CLASSES[f"{method}Request"](**fields), timeout=60)
