"""The real tools, and a node for the tests that put whole hosts on it: `conftest.py` of their folders names them."""

from collections.abc import Iterator

import pytest

from tests.signing import usual_signer, write_config
from tests.testbed.node import Node
from tests.testbed.tools import Tools, fetch, unavailable


def tools_or_skip() -> Tools:
    """The real tools; skips the test where they are not to be had."""
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    return fetch()


@pytest.fixture(scope="module")
def tools() -> Tools:
    """The real tools, unpacked."""
    return tools_or_skip()


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """Its registry, its network, its namespaces; `config` in its folder trusts a signer who signs nothing."""
    with Node(tools_or_skip()) as node:
        write_config(node.work / "config", usual_signer("nobody.example.com").root_pem)
        yield node
