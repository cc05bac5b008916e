"""`nodeseal install` and `nodeseal uninstall` on a host with the real containerd: gated afterwards, and as before."""

from collections.abc import Iterator

import pytest

from tests.signing import usual_signer, write_config
from tests.testbed.node import REGISTRY, Node
from tests.testbed.tools import fetch, unavailable
from tests.testbed.wholehost import whole_host

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A node, for its registry and its namespaces."""
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    with Node(fetch()) as node:
        write_config(node.work / "config", usual_signer("nobody.example.com").root_pem)
        yield node


def test_installed_host_verifies_and_is_as_before_afterwards(node: Node) -> None:
    with whole_host(node) as host:
        before = host.tree()
        node.push_image("install/unsigned")
        image = f"{REGISTRY}/install/unsigned:1"
        assert host.pull(image).ok

        told = host.installed()
        assert told["proof"]["state"] == "enforcing"
        assert (told["restarted"], told["restartPending"]) == (False, None)
        assert host.pull(image).ok, "until a configuration is published, nothing is blocked"
        program = f"{host.root}/opt/nodeseal/current/nodeseal"
        applied = host.nodeseal("config", "apply", str(node.work / "config"), "--root", str(host.root), program=program)
        assert applied.code == 0, applied.err
        refused = host.pull(image)
        assert not refused.ok
        assert "00-nodeseal rejected image" in refused.error

        again = host.tree()
        told = host.installed()
        assert told["steps"] == ["prove by the pull of a canary that pulls are verified"]
        assert told["proof"]["state"] == "enforcing"
        assert host.tree() == again

        done = host.uninstall()
        assert (done.code, done.err) == (0, "")
        assert host.pull(image).ok
        assert host.tree() == before
