"""Which nodes' containerd is a server of the cluster: where that can't be told, it counts as one."""

import pytest

from agent.wiring.distributions import DISTRIBUTIONS, OTHER, is_server

BY_NAME = {known.name: known for known, _ in DISTRIBUTIONS}


@pytest.mark.parametrize("name", ["k3s", "rke2"])
def test_what_is_no_agent_s_unit_is_a_server(name: str) -> None:
    for unit in ("k3s.service", "rke2-server.service", "k3s-mine.service", ""):
        assert is_server(BY_NAME[name], unit)
    assert not is_server(BY_NAME[name], f"{name}-agent.service")


def test_unit_that_is_only_supposed_is_never_an_agents() -> None:
    for known in BY_NAME.values():
        assert "agent" not in known.unit
        assert is_server(known, known.unit) == (known.name in ("k3s", "rke2"))


def test_elsewhere_containerd_is_a_service_of_its_own() -> None:
    for known in (*BY_NAME.values(), OTHER):
        if known.name not in ("k3s", "rke2"):
            assert not is_server(known, "containerd.service")
