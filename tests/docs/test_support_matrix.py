"""The table of distributions in the support matrix, against what plans do with their configurations."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.modes.installing import unsupported
from agent.wiring.declared import FORMS
from agent.wiring.edits import EditFile, WriteFile
from agent.wiring.planning import Changes, Options, plan
from tests.wiring.nodes import SAMPLES, Sample, facts
from tests.wiring.test_distributions import ELSEWHERE, past
from tests.wiring.test_planning import after

MATRIX = Path(__file__).resolve().parents[2] / "docs" / "support-matrix.md"
ROWS = {
    "debian": "Debian, Ubuntu: package `containerd`",
    "debian-12": "Debian 12's own containerd",
    "containerd-io": "Docker's package",
    "eks": "EKS on Amazon Linux",
    "eks-soci": "EKS with SOCI",
    "aks": "AKS, Ubuntu 24.04",
    "aks-azurelinux": "AKS, Ubuntu 24.04",
    "aks-streaming": "AKS with artifact streaming",
    "aks-ubuntu2204": "AKS on Ubuntu 22.04",
    "gke": "GKE",
    "gke-ubuntu": "GKE",
    "k3s": "k3s and RKE2, releases that",
    "rke2": "k3s and RKE2, releases that",
    "rke2-template": "k3s and RKE2, releases that",
    "k3s-base": "k3s and RKE2, older",
    "k3s-template": "k3s and RKE2, older",
    "k0s": "k0s 1.36",
    "k0s-older": "k0s with containerd 1.7",
    "kubespray": "kubespray",
    "microk8s": "MicroK8s",
    "flatcar": "Flatcar",
    "kind": "kind",
    "minikube": "minikube",
    "minikube-docker": "minikube",
    "talos": "Talos",
    "bottlerocket": "Bottlerocket",
    "crio": "OpenShift",
}
"""How the row of a sample begins; the other samples are variants that it doesn't tell apart."""


class Row(NamedTuple):
    """One row of the table."""

    name: str
    known: str
    shipped: str
    does: str
    changed: str


def rows() -> list[Row]:
    """The table's."""
    section = MATRIX.read_text("utf-8").partition("## Distributions of nodes")[2].partition("\n**glibc")[0]
    found = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [Row(*each) for each in found[1:]]


@pytest.mark.parametrize("sample", [each for each in SAMPLES if each.folder in ROWS], ids=str)
def test_row_says_what_the_plan_of_that_distribution_says(sample: Sample) -> None:
    (row,) = (each for each in rows() if each.name.startswith(ROWS[sample.folder]))
    given = facts(sample)
    made = plan(given, Options(Changes.PULL_PATH))
    assert row.known == "played"
    refused = unsupported(made) != ""
    assert row.does.startswith("nothing") is refused
    shipped = tuple(name for name in past(given) if name != "not in the folder")
    if sample.name == "cri-o":
        assert row.shipped == "no: not containerd"
    elif "containerd is too old" in shipped:
        assert row.shipped == "no: too old"
    else:
        assert set(re.findall(r"`([a-z_.]+)`", row.shipped)) == set(shipped)
        assert row.shipped.startswith("no" if shipped else "yes")
    assert row.changed.startswith("no" if refused or past(after(given, made)) else "yes")
    elsewhere = plan(given, Options(Changes.PULL_PATH, bin_dir=ELSEWHERE)).edits
    assert ("our file" in row.does) is any(isinstance(edit, WriteFile) for edit in elsewhere) or "the same" in row.does
    assert ("one line" in row.does) is any(isinstance(edit, EditFile) for edit in elsewhere) or "the same" in row.does
    assert set(re.findall(r"install --print ([a-z0-9]+)", "".join(row))) <= set(FORMS)


def test_every_row_but_the_one_that_was_run_is_of_a_sample() -> None:
    ran, *others = rows()
    assert ran.known.startswith("**run**")
    assert {row.name for row in others if not row.name.startswith(tuple(ROWS.values()))} == set()
