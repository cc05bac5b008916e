"""What tests of many modes share: a node."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.modes.glass import Node, node_under


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node of the test's own, with a configuration and a registry."""
    with node_under(tmp_path) as found:
        yield found
