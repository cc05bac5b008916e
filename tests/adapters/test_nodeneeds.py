"""What is found on a host of the images that it needs."""

import pathlib

import pytest

from agent.adapters import nodeneeds
from agent.adapters.hostfiles import HostFiles
from agent.codec import manifestyaml
from agent.config.bootstrap import MAX_NEEDS
from agent.rules.lists import USUAL_SANDBOX

POD = b"""
apiVersion: v1
kind: Pod
metadata: {creationTimestamp: 2026-01-01, annotations: &a {image: not.this/one:1}}
spec:
  initContainers: [{name: first, image: "registry.k8s.io/etcd:3.6.4-0"}]
  containers:
  - name: main
    image: registry.k8s.io/kube-apiserver:v1.33.0
    env: [{name: image, value: not.this/either:1}]
  - <<: *a
    image: haproxy
"""
IMAGES = ["registry.k8s.io/etcd:3.6.4-0", "registry.k8s.io/kube-apiserver:v1.33.0", "haproxy"]


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A host with a folder for static pods."""
    (tmp_path / "etc/kubernetes/manifests").mkdir(parents=True)
    return tmp_path


def test_images_of_containers_alone_are_read() -> None:
    assert manifestyaml.images(POD) == IMAGES


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[", b"\xff", b"- a", b"spec: {containers: {image: x}}", b"spec: {containers: [[x], {image: []}]}",
        b"a: &a [*a]", b"a: " + b"[" * 50_000, b"a: b\n---\nspec: {containers: [{image: x}]}", b" " * 300_000 + POD,
        b"spec: {containers: [{image: ''}]}", b"spec: &s {containers: [*s]}",
    ],
    ids=range(12),
)  # fmt: skip
def test_what_is_no_manifest_has_none(content: bytes) -> None:
    assert manifestyaml.images(content) == []


def test_aliases_multiply_nothing() -> None:
    lines = ["a0: &a0 {image: x}"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 60)]
    assert manifestyaml.images("\n".join([*lines, "spec: {containers: *a1}"]).encode()) == ["x"] * 9


def test_each_image_is_named_once_and_as_the_runtime_does(root: pathlib.Path) -> None:
    folder = root / "etc/kubernetes/manifests"
    (folder / "a.yaml").write_bytes(POD)
    (folder / "b.yaml").write_bytes(POD)
    (folder / ".hidden").write_bytes(POD.replace(b"haproxy", b"hidden"))
    (folder / "link").symlink_to("a.yaml")
    (folder / "folder").mkdir()
    found = nodeneeds.found(HostFiles(str(root)), "registry.k8s.io/pause:3.10", "ghcr.io/x/nodeseal:1")
    assert found == (USUAL_SANDBOX, "ghcr.io/x/nodeseal:1", *IMAGES[:2], "docker.io/library/haproxy:latest")


def test_a_host_without_any_has_what_was_named(root: pathlib.Path) -> None:
    host = HostFiles(str(root))
    assert nodeneeds.found(host, "mirror.example/pause:3.10", "") == ("mirror.example/pause:3.10",)
    assert nodeneeds.found(host, "No Image", "") == ()


def test_there_are_no_more_than_a_document_may_name(root: pathlib.Path) -> None:
    for i in range(MAX_NEEDS + 1):
        content = POD.replace(b"haproxy", f"x{i}".encode())
        (root / f"etc/kubernetes/manifests/{i}.yaml").write_bytes(content)
    assert len(nodeneeds.found(HostFiles(str(root)), "", "")) == MAX_NEEDS
