"""The simulated API server does what the real one does (tests/full/test_kube.py holds that to the same)."""

from collections.abc import Iterator, Mapping, Sequence

import anyio
import pytest

from tests.adapters.kube import Given
from tests.adapters.kube_contract import CONTRACT, Check
from tests.cluster.objects import NAMESPACE
from tests.simulators.kube import ADMIN, READER, KubeSimulator


class Simulated:
    """`kube_contract.Cluster` of a simulator."""

    def __init__(self, simulator: KubeSimulator) -> None:
        """With one node."""
        self._simulator = simulator
        simulator.objects["nodes", "", "n1"] = {"metadata": {"name": "n1", "labels": {"zone": "a"}}, "spec": {}}

    def credentials(self, who: str) -> Given:
        """See there."""
        return Given(self._simulator.url, {"admin": ADMIN, "reader": READER}.get(who, "somebody-else"))

    def put(
        self, name: str, labels: Mapping[str, str], data: Mapping[str, str], binary: Mapping[str, bytes] | None = None
    ) -> None:
        """See there."""
        self._simulator.put(NAMESPACE, name, labels, data, binary)

    def delete(self, name: str) -> None:
        """See there."""
        self._simulator.delete(NAMESPACE, name)

    def forget(self) -> None:
        """See there."""
        self._simulator.forget()

    def event(self, name: str) -> Mapping[str, object]:
        """See there."""
        return self._simulator.objects["events", NAMESPACE, name]

    def taint(self, taints: Sequence[Mapping[str, str]]) -> None:
        """See there."""
        self._simulator.objects["nodes", "", "n1"]["spec"]["taints"] = list(taints)


@pytest.fixture
def cluster() -> Iterator[Simulated]:
    """One, empty."""
    with KubeSimulator() as simulator:
        yield Simulated(simulator)


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_simulator_keeps_the_contract(cluster: Simulated, check: Check) -> None:
    anyio.run(check, cluster)
