"""`nodeseal doctor --fix` on a host with the real containerd: mends each setting that it may, and can be taken back."""

import json

import pytest

from tests.commands import Done
from tests.testbed.node import REGISTRY, Node
from tests.testbed.wholehost import CONFIG, WholeHost, whole_host
from tests.wiring.test_planning import BY_HAND, IN_V3

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def node(node: Node) -> Node:
    """With an image that nobody signed."""
    node.push_image("fix/unsigned")
    return node


def doctor(host: WholeHost, *words: str) -> Done:
    """As from a container that has the host mounted."""
    return host.nodeseal("doctor", "--root", str(host.root), "--host", str(host.root), *words)


def errors(host: WholeHost, *words: str) -> set[str]:
    """Ids of what is in the way."""
    told = json.loads(doctor(host, "--format", "json", *words).out)
    return {each["id"] for each in told["findings"] if each["severity"] == "error"}


@pytest.mark.parametrize("trigger", [each for each in IN_V3 if each not in BY_HAND])
def test_each_setting_that_a_later_file_can_set_back_is_mended_and_taken_back(node: Node, trigger: str) -> None:
    with whole_host(node, CONFIG + IN_V3[trigger]) as host:
        before = host.tree()
        image = f"{REGISTRY}/fix/unsigned:1"
        assert host.installed()["proof"]["state"] == "bypassed"
        host.apply(node.work / "config")
        assert host.pull(image).ok, "past the verifier"
        assert errors(host, "--prove") == {f"pull-path.{trigger}", "proof.bypassed"}

        installed = host.tree()
        dry = doctor(host, "--fix", "--dry-run")
        assert dry.code == 12
        assert "+imports = ['/etc/containerd/conf.d/zzz-nodeseal*.toml']" in dry.out.replace('"', "'")
        assert host.tree() == installed, "--dry-run writes nothing"

        done = doctor(host, "--fix")
        assert (done.code, done.err) == (0, "")
        assert "restarting containerd.service" in done.out
        assert "proof          enforcing: Enforcing" in done.out
        refused = host.pull(image)
        assert "00-nodeseal rejected image" in refused.error
        mended = host.tree()
        again = json.loads(doctor(host, "--fix", "--format", "json").out)
        assert (again["enforcing"], again["fix"]["steps"]) == (True, [])
        assert host.tree() == mended

        done = host.uninstall()
        assert (done.code, done.err) == (0, "")
        assert host.tree() == before
        assert host.pull(image).ok


def test_what_has_to_be_taken_out_by_hand_is_told_and_left(node: Node) -> None:
    text = f"{CONFIG}{IN_V3['registry.configs']}[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = ''\n"
    with whole_host(node, text) as host:
        host.installed()
        before = host.tree()
        done = doctor(host, "--fix")
        assert done.code == 12
        assert "to do by hand: registry.configs = r.example.com" in done.out
        assert "nothing was mended: there is nothing that can be mended safely" in done.out
        assert host.tree() == before


def test_host_without_nodeseal_is_left_alone(node: Node) -> None:
    with whole_host(node, CONFIG + IN_V3["discard_unpacked_layers"]) as host:
        before = host.tree()
        done = doctor(host, "--fix")
        assert done.code == 12
        assert "nothing was mended: Nodeseal is not installed here" in done.out
        assert host.tree() == before
