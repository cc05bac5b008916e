"""Through containerd, under what people bring: the proof of concept's documents, and rules of our own beside them."""

import contextlib
import json
import pathlib
from collections.abc import Iterator

import pytest

from tests.frozen.test_policies import INSTALLED
from tests.real.conftest import Sealed
from tests.signing import write_config
from tests.testbed.node import REGISTRY

pytestmark = pytest.mark.real

RULES = f"""nodeseal:
  apiVersion: nodeseal.dev/v1alpha1
  default: {{enforcement: Enforce, failurePolicy: Fail}}
  rules:
  - name: shop
    match: ["{REGISTRY}/policies/shop/**"]
    verifiers: [notation]
    policy: {{any: [notation]}}
    evidenceRepository: "{REGISTRY}/policies/signatures"
  - name: everything
    match: ["**"]
    verifiers: [notation]
    policy: all-good.rego
"""


@contextlib.contextmanager
def in_force(sealed: Sealed, folder: pathlib.Path) -> Iterator[None]:
    """Publish a folder for as long as the context lasts."""
    sealed.program.apply(folder)
    try:
        yield
    finally:
        sealed.program.apply(sealed.config)


def proof_of_concept(sealed: Sealed, folder: pathlib.Path) -> pathlib.Path:
    """The three documents of the proof of concept's ConfigMap; the paths in them are those of its nodes."""
    policy = {"name": "regoPolicy", "policyPath": "/root/.ratify/policy.rego"}
    write_config(folder, sealed.trusted.certificate, policy=policy)
    (folder / "trusted.crt").rename(folder / "notation-test.crt")
    (folder / "policy.rego").write_text(INSTALLED)
    return folder


def test_proof_of_concepts_documents_decide_as_they_are(sealed: Sealed, tmp_path: pathlib.Path) -> None:
    node = sealed.node
    signed, unsigned, foreign = (node.push_image(f"policies/{each}") for each in ("signed", "unsigned", "foreign"))
    sealed.trusted.sign("policies/signed", signed)
    sealed.stranger.sign("policies/foreign", foreign)
    assert unsigned
    with in_force(sealed, proof_of_concept(sealed, tmp_path / "poc")):
        assert node.cri_pull(f"{REGISTRY}/policies/signed:1").ok
        for repository, code in (("unsigned", "NS-2001"), ("foreign", "NS-2103")):
            refused = node.cri_pull(f"{REGISTRY}/policies/{repository}:1")
            assert not refused.ok
            assert f"exit code 10): deny {code} rule=default: " in refused.error


def test_most_specific_rule_decides_and_its_evidence_lies_where_it_says(sealed: Sealed, tmp_path: pathlib.Path) -> None:
    node = sealed.node
    cart, web, other = (node.push_image(f"policies/{each}") for each in ("shop/cart", "shop/web", "other"))
    # The signature of one lies in another repository, those of the others beside them.
    source = f"{REGISTRY}/policies/shop/cart:1"
    node.must(["oras", "cp", "--from-plain-http", "--to-plain-http", source, f"{REGISTRY}/policies/signatures:cart"])
    sealed.trusted.sign("policies/signatures", cart)
    sealed.trusted.sign("policies/shop/web", web)
    sealed.trusted.sign("policies/other", other)
    folder = proof_of_concept(sealed, tmp_path / "rules")
    (folder / "policy.rego").rename(folder / "all-good.rego")
    (folder / "nodeseal.yaml").write_text(RULES)
    value = json.loads((folder / "config.json").read_text())
    del value["policy"]
    (folder / "config.json").write_text(json.dumps(value))
    with in_force(sealed, folder):
        assert node.cri_pull(f"{REGISTRY}/policies/shop/cart:1").ok
        refused = node.cri_pull(f"{REGISTRY}/policies/shop/web:1")
        assert not refused.ok
        assert "deny NS-2001 rule=shop: " in refused.error
        assert node.cri_pull(f"{REGISTRY}/policies/other:1").ok
