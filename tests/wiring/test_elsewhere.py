"""What a cluster says of nodes on which nothing can be installed."""

import pytest

from agent.wiring.distributions import DISTRIBUTIONS, Way
from agent.wiring.elsewhere import elsewhere
from agent.wiring.proof import Reason, State

CONTAINERD = "containerd://2.1.9"
SYSTEMS = {
    "talos": "Talos (v1.13.0)",
    "bottlerocket": "Bottlerocket OS 1.65.0 (aws-k8s-1.33)",
    "gke": "Container-Optimized OS from Google",
}
HANDS_OFF = {known.name: known for known, _ in DISTRIBUTIONS if known.hands_off}


@pytest.mark.parametrize("name", HANDS_OFF)
def test_distribution_that_takes_no_program_is_told_with_what_install_says_of_it(name: str) -> None:
    found = elsewhere(CONTAINERD, SYSTEMS[name])
    assert found is not None
    assert (found.state, found.reason) == (State.UNSUPPORTED, Reason.DISTRIBUTION)
    assert found.message == f"{HANDS_OFF[name].title}: {HANDS_OFF[name].instead}"


def test_other_runtimes_are_told_whatever_the_system() -> None:
    (crio,) = (known for known, _ in DISTRIBUTIONS if known.way is Way.REFUSE)
    found = elsewhere("cri-o://1.33.0", "Red Hat Enterprise Linux CoreOS 418")
    assert found is not None
    assert (found.reason, found.message) == (Reason.NOT_CONTAINERD, crio.instead)


@pytest.mark.parametrize(
    ("runtime", "system"),
    [
        (CONTAINERD, "Ubuntu 24.04.3 LTS"),
        (CONTAINERD, ""),
        ("", ""),
        ("containerd://2.3.4-k3s1", "SLE Micro"),
        (CONTAINERD, "not Talos"),
        ("containerd://1.7.30", "Ubuntu 22.04"),
    ],
)
def test_all_others_may_verify(runtime: str, system: str) -> None:
    assert elsewhere(runtime, system) is None
