"""One real API server, and one node, for each file of tests that asks for it."""

import os
from collections.abc import Iterator

import pytest

from tests.cluster.objects import NAMESPACE
from tests.testbed.kube import NODE, KubeServer
from tests.testbed.nodes import node as node


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeServer]:
    """With our namespace and one node."""
    if os.geteuid() != 0 or not os.access("/usr/bin/apt-get", os.X_OK):
        pytest.skip("kube-apiserver is built from Debian's packages, which takes root")
    with KubeServer(tmp_path_factory.mktemp("kube")) as running:
        running.namespace(NAMESPACE)
        running.make("/api/v1/nodes", {"metadata": {"name": NODE, "labels": {"zone": "a"}}})
        yield running
