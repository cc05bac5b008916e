"""The container image on the real containerd: pushed to the real registry, pulled, and run as a careful pod runs it."""

import json
import pathlib
import sys
from typing import Iterator, NamedTuple

import image
import pytest

from agent import __version__
from tests.frozen.program import BUILT
from tests.real.conftest import Sealed
from tests.testbed.node import REGISTRY
from tests.testbed.pods import PAUSE, Pods

pytestmark = pytest.mark.real

ROOT = pathlib.Path(__file__).resolve().parents[2]
REPOSITORY = f"{REGISTRY}/images/nodeseal"
PLACEHOLDER = "registry.example.com/nodeseal@sha256:" + "0" * 64


class Shipped(NamedTuple):
    """The image's reference by digest, what pushing it printed, and pods that run it."""

    reference: str
    printed: str
    manifest: str
    pods: Pods


@pytest.fixture(scope="module")
def shipped(sealed: Sealed) -> Iterator[Shipped]:
    """The image, pushed, signed by the trusted signer, and pulled past our own verifier."""
    node = sealed.node
    layout, manifest = node.work / "image" / "layout", node.work / "daemonset.yaml"
    layout.parent.mkdir()
    image.main(BUILT, layout)
    manifest.write_text(f"image: {PLACEHOLDER}\n")
    command = [sys.executable, str(ROOT / "build" / "push.py"), REPOSITORY, str(layout), str(manifest)]
    printed = node.must(command)
    reference = printed.split()[1]
    sealed.trusted.sign("images/nodeseal", reference.partition("@")[2])
    sealed.trusted.sign(PAUSE, node.push_pause())
    pulled = node.cri_pull(reference)
    assert pulled.ok, pulled.error
    with Pods(str(node.work / "containerd.sock"), node.work / "pods") as pods:
        yield Shipped(reference, printed, manifest.read_text(), pods)


def test_the_manifest_names_what_was_pushed(shipped: Shipped) -> None:
    assert shipped.manifest == f"image: {shipped.reference}\n"
    assert shipped.reference.startswith(f"{REPOSITORY}@sha256:")


def test_another_client_finds_the_same_image(sealed: Sealed, shipped: Shipped) -> None:
    resolved = sealed.node.must(["oras", "resolve", "--plain-http", f"{REPOSITORY}:{__version__}"]).strip()
    assert shipped.reference == f"{REPOSITORY}@{resolved}"


def test_it_runs_without_capabilities_on_a_root_that_it_cannot_write(shipped: Shipped) -> None:
    ended = shipped.pods.run(shipped.reference, ["version"])
    assert (ended.code, ended.out) == (0, f"nodeseal {__version__}\n")
    assert ended.image.endswith(shipped.reference.partition("@")[2])


def test_it_knows_what_it_is_made_of(shipped: Shipped) -> None:
    ended = shipped.pods.run(shipped.reference, ["version", "--components", "--format", "json"])
    assert ended.code == 0, ended.out
    assert "CPython" in [each["name"] for each in json.loads(ended.out)["components"]]


def test_everything_that_it_needs_is_in_it(sealed: Sealed, shipped: Shipped) -> None:
    # A configuration is read with YAML, JSON Schema, regular expressions, OpenSSL: all of the program's libraries.
    ended = shipped.pods.run(
        shipped.reference, ["config", "check", "/host/config"], mounts={"/host/config": sealed.config}
    )
    assert ended.code == 0, ended.out


def test_it_asks_a_registry_from_within(sealed: Sealed, shipped: Shipped) -> None:
    words = ["verify", shipped.reference, "--config", "/host/config"]
    ended = shipped.pods.run(shipped.reference, words, mounts={"/host/config": sealed.config})
    assert ended.code == 0, ended.out


def test_it_can_change_nothing_of_its_own(sealed: Sealed, shipped: Shipped) -> None:
    ended = shipped.pods.run(
        shipped.reference, ["config", "apply", "/host/config"], mounts={"/host/config": sealed.config}
    )
    assert ended.code == 5
    assert "Read-only file system" in ended.out


def test_it_changes_what_is_mounted_for_it(sealed: Sealed, shipped: Shipped) -> None:
    host = sealed.node.work / "other-host"
    host.mkdir(mode=0o755)
    words = ["config", "apply", "/host/config", "--root", "/host/root"]
    mounts = {"/host/config": sealed.config, "/host/root": host}
    ended = shipped.pods.run(shipped.reference, words, mounts=mounts)
    assert ended.code == 0, ended.out
    assert (host / "var/lib/nodeseal/current/snapshot.json").is_file()
