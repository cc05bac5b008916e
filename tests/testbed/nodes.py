"""A node for the tests that put whole hosts on it: `node`, which `conftest.py` of their folders names."""

from collections.abc import Iterator

import pytest

from tests.signing import usual_signer, write_config
from tests.testbed.node import Node
from tests.testbed.tools import fetch, unavailable


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """Its registry, its network, its namespaces; `config` in its folder trusts a signer who signs nothing."""
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    with Node(fetch()) as node:
        write_config(node.work / "config", usual_signer("nobody.example.com").root_pem)
        yield node
