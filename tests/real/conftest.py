"""One real node for the whole session, with the program placed, configured and wired to containerd."""

import json
import pathlib
from typing import Iterator, NamedTuple

import pytest

from tests.frozen.program import Program
from tests.real.conformity import Bench
from tests.signing import trust_policy, write_config
from tests.simulators.responder import Responder
from tests.testbed.inside import Inside
from tests.testbed.node import Node
from tests.testbed.nodes import node as node
from tests.testbed.nodes import tools as tools
from tests.testbed.nodes import tools_or_skip
from tests.testbed.signatures import Signer


class Sealed(NamedTuple):
    """A node that trusts one signer."""

    node: Node
    program: Program
    trusted: Signer
    stranger: Signer
    config: pathlib.Path


@pytest.fixture(scope="session")
def sealed() -> Iterator[Sealed]:
    """A node under Nodeseal; `notation` on it trusts the same signer under the same policy."""
    with Node(tools_or_skip()) as node:
        trusted, stranger = Signer(node, "build.example.com"), Signer(node, "stranger.example.net")
        program = Program(node.root)
        config = node.work / "config"
        write_config(config, trusted.certificate)
        program.apply(config)
        node.install_verifier(program.path)
        trust_policy_of_notation = trust_policy(trustStores=[f"ca:{trusted.name}"])
        (node.work / "notation" / "trustpolicy.json").write_text(json.dumps(trust_policy_of_notation))
        yield Sealed(node, program, trusted, stranger, config)


@pytest.fixture(scope="session")
def bench(sealed: Sealed) -> Iterator[Bench]:
    """The same node, with a responder in its network, to compare `notation` and Nodeseal case by case."""
    with Inside(sealed.node.pid) as inside, Responder(inside.listener()) as responder:
        yield Bench(sealed.node, sealed.program, inside, responder)
