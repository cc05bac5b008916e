"""A verifier that asks for several signers: from the configuration to the verdict, over all layouts of cosign's."""

import json
from typing import Any

import pytest

from agent.config import ratify
from agent.config.config import VerifierSettings
from agent.errors import Cause, Code, ConfigurationError, Unavailable
from agent.formats.cosign import CosignFormat
from agent.model.digest import Digest
from agent.model.documents import Document
from agent.model.verdict import Decision, Verdict
from agent.rules.rule import PolicySettings
from tests import signing_sigstore as sigstore
from tests.config.test_dialect import WithPolicy
from tests.formats.cosigned import KeyDocuments
from tests.formats.support import SUBJECT
from tests.formats.test_cosign_sigstore import IDENTITY, I, by_bundle, of_layer
from tests.signing_cosign import Layer, bundle, layer, payload, public_pem, statement
from tests.test_engine_cosign import Cosigned
from tests.test_engine_nested import verdict

KEYS = {f"{number}.pub": public_pem(number=number) for number in range(3)}
ALLOWED = (Decision.ALLOW, Code.VERIFIED)


class WithKeys(WithPolicy):
    """A set with three public keys and a policy."""

    def file(self, path: str) -> Document | None:
        """By the last component."""
        name = path.rpartition("/")[2]
        return Document(name, KEYS[name], name) if name in KEYS else super().file(path)


def configured(threshold: object, policy: object, **options: Any) -> ratify.Checked:
    """A configuration with one verifier of our own, and one rule unless `policy` is None."""
    verifier = {"name": "release", "type": "cosign", "keys": list(KEYS), "threshold": threshold, **options}
    rule = {"name": "all", "match": ["**"], "verifiers": ["release"], "policy": policy}
    section = {
        "apiVersion": "nodeseal.dev/v1alpha1",
        "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
        "verifiers": [verifier],
        **({"rules": [rule]} if policy is not None else {}),
    }
    ratifys = {"policy": {"plugin": {"name": "configPolicy"}}} if policy is None else {}
    content = json.dumps({**ratifys, "nodeseal": section}).encode()
    return ratify.read(Document("config.json", content, "config.json"), WithKeys())


def problems(threshold: object, policy: object, **options: Any) -> dict[str, str]:
    """What is wrong with it: place -> got and expected."""
    with pytest.raises(ConfigurationError) as refused:
        configured(threshold, policy, **options)
    return {each.path: f"got {each.got}; expected {each.expected}" for each in refused.value.problems if each.fatal}


def asked(registry: Cosigned, threshold: int = 2) -> Verdict:
    """The verdict under a rule that asks for so many of the three keys."""
    config = configured(threshold, {"any": ["release"]}).config
    (settings,) = config.verifiers
    return verdict(registry, config.rules[0].policy, (settings, dict(config.certificates)))


def by_layer(number: int) -> Layer:
    """A key's signature in the older layout."""
    return layer(payload(SUBJECT), number=number)


def by_key(number: int) -> Layer:
    """A key's signature in a bundle."""
    return bundle(statement(SUBJECT), number=number)


def told(found: Verdict) -> tuple[Decision, Code]:
    """How it ended."""
    return found.decision, found.code


def test_two_signers_are_enough_wherever_their_signatures_lie() -> None:
    for arrange in (
        lambda registry: registry.tag(by_layer(0), by_layer(2)),
        lambda registry: (registry.refer(by_key(0)), registry.refer(by_key(1))),
        lambda registry: (registry.tag(by_layer(1)), registry.refer(by_key(2))),
        lambda registry: registry.tag(by_layer(9), by_layer(0), by_layer(0), by_layer(1)),
    ):
        registry = Cosigned()
        arrange(registry)
        assert told(asked(registry)) == ALLOWED


def test_one_signer_is_one_however_often() -> None:
    registry = Cosigned()
    registry.tag(by_layer(0), by_layer(0))
    registry.refer(by_key(0))
    found = asked(registry)
    assert told(found) == (Decision.DENY, Code.POLICY_NOT_SATISFIED)
    assert found.message.endswith("release found 1 of 2 different signers")
    assert told(asked(registry, 1)) == ALLOWED


def test_signer_that_nobody_answers_for_may_be_the_one_that_is_missing() -> None:
    registry = Cosigned()
    gone = layer(payload(SUBJECT, optional={"a": "b"}), number=1)
    registry.tag(by_layer(0), gone)
    assert told(asked(registry)) == ALLOWED
    registry.broken[str(Digest.of(gone.content))] = Unavailable("no answer", cause=Cause.REGISTRY_UNAVAILABLE)
    assert asked(registry).decision is Decision.CANNOT_TELL
    registry.refer(by_key(1))
    registry.refer(by_key(2))
    assert told(asked(registry)) == ALLOWED


def test_identities_are_told_apart_by_issuer_and_subject() -> None:
    from cryptography import x509

    root = json.dumps(I.trusted_root()).encode()
    options = {"identities": [IDENTITY], "trustRoot": "root.json", "threshold": 2}
    parsed = CosignFormat.parse(options, KeyDocuments({"root.json": root}), "v")
    assert not parsed.problems
    settings = VerifierSettings("release", "cosign", CosignFormat.artifact_types, parsed.settings)
    policy = PolicySettings("nodeseal", {"threshold": 1, "of": ["release"], "signers": {"release": 2}})
    other = I.leaf(names=[x509.UniformResourceIdentifier("https://github.com/acme/other")])
    registry = Cosigned()
    registry.refer(by_bundle(I, sigstore.statement(str(SUBJECT.digest))))
    registry.tag(of_layer(I))  # another certificate for the same identity
    material = dict(parsed.certificates)
    assert told(verdict(registry, policy, (settings, material))) == (Decision.DENY, Code.POLICY_NOT_SATISFIED)
    registry.tag(of_layer(I, leaf=other))
    found = verdict(registry, policy, (settings, material))
    assert told(found) == ALLOWED
    assert " signatures verified by https://github.com/acme/" in found.message
    elsewhere = "https://elsewhere.example"
    options["identities"] = [IDENTITY, {"issuer": elsewhere, "subject": sigstore.SUBJECT}]
    parsed = CosignFormat.parse(options, KeyDocuments({"root.json": root}), "v")
    settings = settings._replace(settings=parsed.settings)
    registry.tag(of_layer(I, leaf=I.leaf(issuer=elsewhere)))  # a subject is one issuer's
    assert told(verdict(registry, policy, (settings, material))) == ALLOWED


@pytest.mark.parametrize("policy", [{"any": ["release"]}, {"all": ["release"]}, {"threshold": 1, "of": ["release"]}])
def test_rules_policy_counts_signers(policy: object) -> None:
    (rule,) = configured(3, policy).config.rules
    assert rule.policy == PolicySettings("nodeseal", {"threshold": 1, "of": ["release"], "signers": {"release": 3}})
    (usual,) = configured(1, policy).config.rules
    assert "signers" not in usual.policy.settings
    assert usual.ground != rule.ground


def test_threshold_that_can_not_be_is_refused() -> None:
    at = "config.json: nodeseal.verifiers[0]"
    usual = {"any": ["release"]}
    assert problems(4, usual) == {f"{at}.threshold": "got 4; expected at most 3, as many as can sign"}
    for wrong in (0, 17, "2", True, 1.5):
        assert list(problems(wrong, usual)) == [f"{at}.threshold"]
    for policy in ("policy.rego", None):
        assert problems(2, policy)[f"{at}.threshold"].startswith(
            "got 2; expected 1 here, as this policy does not count"
        )
