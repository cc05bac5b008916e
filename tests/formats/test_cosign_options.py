"""Options of cosign verifiers: our own and Ratify's, what they mean, and what of them is refused in which words."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from agent.codec import strictjson
from agent.config import ratify
from agent.config.trusted import entries
from agent.errors import ConfigurationError, Problem
from agent.formats import ParsedOptions
from agent.formats.cosign import LEGACY_TYPE, CosignFormat
from agent.formats.cosign_options import MAX_KEYS
from agent.model.digest import Digest
from agent.model.documents import Document
from agent.modes import supportparts
from tests.config.support import NoDocuments
from tests.formats.cosigned import KeyDocuments
from tests.signing import usual_signer
from tests.signing_cosign import public_der, public_pem

FINGERPRINTS = {kind: Digest.of(public_der(kind)).encoded for kind in ("P-256", "P-384", "Ed25519")}
DOCUMENTS = {
    "shop.pub": public_pem(),
    "team.pub": public_pem("P-384") + public_pem("Ed25519"),
    "web.crt": usual_signer().root_pem,
}
PROVIDERS = {"keys": public_pem("Ed25519"), "certificates": usual_signer().root_pem}
DIGEST = str(Digest.of(b"x"))

Json = dict[str, Any]


def parse(**options: object) -> ParsedOptions:
    """What becomes of options."""
    return CosignFormat.parse(options, KeyDocuments(DOCUMENTS, PROVIDERS), "v")


def fatal(parsed: ParsedOptions) -> dict[str, str]:
    """Place -> got and expected, of what is fatal."""
    return {each.path: f"got {each.got}; expected {each.expected}" for each in parsed.problems if each.fatal}


def policy(**changes: object) -> Json:
    """One of Ratify's trust policies."""
    usual: Json = {"name": "shop", "scopes": ["*"], "keys": [{"file": "keys/shop.pub"}], "tLogVerify": False}
    return {key: value for key, value in (usual | changes).items() if value is not None}


# --- our own


def test_our_own_verifier_trusts_its_keys_for_everything_and_looks_at_tags() -> None:
    parsed = parse(keys=["shop.pub", "/etc/keys/team.pub"], annotations={"env": "prod"})
    assert parsed.problems == ()
    keys = sorted(FINGERPRINTS.values())
    only = {"name": "", "scopes": ["*"], "keys": keys, "annotations": {"env": "prod"}}
    assert parsed.settings == {"policies": [only], "tags": True}
    assert dict(parsed.certificates) == {FINGERPRINTS[kind]: public_der(kind) for kind in FINGERPRINTS}


def test_key_provider_gives_keys_too() -> None:
    parsed = parse(keys=[{"provider": "keys"}])
    assert parsed.problems == ()
    assert list(parsed.certificates) == [FINGERPRINTS["Ed25519"]]


def test_order_of_keys_changes_nothing() -> None:
    assert parse(keys=["shop.pub", "team.pub"]) == parse(keys=["team.pub", "shop.pub", "shop.pub"])


@pytest.mark.parametrize(
    ("keys", "place", "told"),
    [
        (["nobody.pub"], "v.keys[0]", "'nobody.pub', which names nothing"),
        (["shop.pub", "web.crt"], "v.keys[1]: web.crt", "a block 'CERTIFICATE' (line 1)"),
        ([{"provider": "nobody"}], "v.keys[0]", "'nobody', which no key provider is called"),
        ([{"provider": "certificates"}], "v.keys[0]: provider certificates", "a block 'CERTIFICATE'"),
    ],
)
def test_key_that_is_none_is_told(keys: list[object], place: str, told: str) -> None:
    assert told in fatal(parse(keys=keys))[place]


def test_number_of_keys_has_a_bound() -> None:
    many = {"many.pub": b"".join(public_pem("P-256", number) for number in range(MAX_KEYS + 1))}
    parsed = CosignFormat.parse({"keys": ["many.pub"]}, KeyDocuments(many), "v")
    assert fatal(parsed) == {"v.keys": f"got {MAX_KEYS + 1} keys; expected at most {MAX_KEYS}"}


# --- Ratify's


def test_older_key_of_ratifys_is_for_everything_and_leaves_tags_to_the_store() -> None:
    parsed = parse(key="~/.ratify/shop.pub")
    assert parsed.problems == ()
    assert parsed.settings["tags"] is False
    assert parsed.settings["policies"] == [
        {"name": "", "scopes": ["*"], "keys": [FINGERPRINTS["P-256"]], "annotations": {}}
    ]


def test_log_beside_the_older_key_needs_a_trusted_root() -> None:
    found = fatal(parse(key="shop.pub", rekorURL="https://rekor.sigstore.dev"))
    assert list(found) == ["v.rekorURL"]
    assert "no document trusted_root.json" in found["v.rekorURL"] and found["v.rekorURL"].endswith("or no such key")


def test_verifier_without_a_key_is_refused_as_anybody_could_sign() -> None:
    for options in ({}, {"key": ""}):
        assert "anybody's signature" in fatal(parse(**options))["v.key"]


def test_trust_policies_of_ratifys_are_taken() -> None:
    two = [
        policy(),
        policy(name="team", scopes=["r.example/team/*"], keys=[{"file": "team.pub"}, {"provider": "keys"}]),
    ]
    parsed = parse(trustPolicies=two)
    assert parsed.problems == ()
    assert [(each["name"], each["scopes"], each["keys"]) for each in parsed.settings["policies"]] == [  # type: ignore[attr-defined]
        ("shop", ["*"], [FINGERPRINTS["P-256"]]),
        ("team", ["r.example/team/*"], sorted((FINGERPRINTS["P-384"], FINGERPRINTS["Ed25519"]))),
    ]


@pytest.mark.parametrize(
    ("changes", "place", "told"),
    [
        ({"tLogVerify": None}, "tLogVerify", "no document trusted_root.json"),
        ({"tLogVerify": True}, "tLogVerify", "or false"),
        ({"keys": [{}]}, "keys[0]", "either file or provider"),
        ({"keys": [{"file": "shop.pub", "provider": "keys"}]}, "keys[0]", "either file or provider"),
        ({"keys": [{"provider": "keys", "name": "k"}]}, "keys[0].name", "have no names here"),
        ({"keys": [{"provider": "keys", "name": "k", "version": "1"}]}, "keys[0].version", "have no names here"),
        ({"keys": [{"file": "nobody.pub"}]}, "keys[0].file", "which names nothing"),
        ({"keys": [{"provider": "nobody"}]}, "keys[0].provider", "no key provider is called"),
        ({"keys": None}, "keys", "at least one"),
        ({"scopes": ["*", "r.example/x"]}, "scopes[0]", "it alone"),
        ({"scopes": ["r.example/x:v1"]}, "scopes[0]", "names a tag"),
        ({"scopes": ["r.example/x:v*"]}, "scopes[0]", "names a tag"),
        ({"scopes": [f"r.example/x:v1@{DIGEST}"]}, "scopes[0]", "names a tag"),
        ({"scopes": ["r.example/x@sha256:0*"]}, "scopes[0]", "a whole digest"),
        ({"scopes": ["r.example/x*", "r.example/xy*"]}, "scopes[1]", "overlaps with 'r.example/x*'"),
    ],
)
def test_what_of_a_trust_policy_can_not_be_had_is_refused(changes: Json, place: str, told: str) -> None:
    assert told in fatal(parse(trustPolicies=[policy(**changes)]))[f"v.trustPolicies[0].{place}"]


def test_trust_policies_must_be_apart_from_each_other() -> None:
    found = fatal(parse(trustPolicies=[policy(), policy(scopes=["r.example/*"]), policy(name="b")]))
    assert "'shop' again" in found["v.trustPolicies[1].name"]
    assert "it alone, in one trust policy" in found["v.trustPolicies[2].scopes[0]"]
    both = fatal(parse(trustPolicies=[policy(scopes=["r.example/*"]), policy(name="b", scopes=["r.example/x/*"])]))
    assert "overlaps with 'r.example/*'" in both["v.trustPolicies[1].scopes[0]"]
    assert "this beside trustPolicies" in fatal(parse(key="shop.pub", trustPolicies=[policy()]))["v.key"]


@pytest.mark.parametrize(
    ("changes", "place"),
    [({"rekorURL": "https://rekor.example"}, "rekorURL"), ({"scopes": ["r.example/shop/cart"]}, "scopes[0]")],
)
def test_what_means_something_else_in_ratify_is_told(changes: Json, place: str) -> None:
    parsed = parse(trustPolicies=[policy(**changes)])
    assert [(each.path, each.fatal) for each in parsed.problems] == [(f"v.trustPolicies[0].{place}", False)]


@pytest.mark.parametrize(
    "scope", ["localhost:5000/*", "localhost:*", "r.example:5000/x*", f"r.example:5000/x@{DIGEST}"]
)
def test_port_is_no_tag(scope: str) -> None:
    assert parse(trustPolicies=[policy(scopes=[scope])]).problems == ()


# --- whole configurations


class Set(NoDocuments):
    """A set with keys in it."""

    def file(self, path: str) -> Document | None:
        """By the last component."""
        return KeyDocuments(DOCUMENTS).file(path)


def read(value: object) -> tuple[Any, Mapping[str, str]]:
    """The configuration, if it can be used, and everything told: place -> got and expected."""
    told: tuple[Problem, ...]
    try:
        config, told = ratify.read(Document("config.json", json.dumps(value).encode(), "t"), Set())
    except ConfigurationError as error:
        config, told = None, error.problems
    places = {each.path.removeprefix("config.json: "): f"got {each.got}; expected {each.expected}" for each in told}
    return config, places


def own(**verifier: object) -> Json:
    """A configuration of our own."""
    return {
        "nodeseal": {
            "apiVersion": "nodeseal.dev/v1alpha1",
            "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
            "verifiers": [{"name": "shop-key", "type": "cosign", **verifier}],
            "rules": [{"name": "r", "match": ["**"], "verifiers": ["shop-key"], "policy": {"any": ["shop-key"]}}],
        }
    }


def ratifys(**verifier: object) -> Json:
    """A configuration of Ratify's."""
    return {
        "store": {"plugins": [{"name": "oras", "cosignEnabled": True}]},
        "policy": {"plugin": {"name": "configPolicy", "artifactVerificationPolicies": {LEGACY_TYPE: "any"}}},
        "verifier": {"plugins": [{"name": "cosign", "artifactTypes": LEGACY_TYPE, **verifier}]},
    }


def ground(value: object) -> str:
    """What verdicts under the only rule rest on."""
    config, told = read(value)
    assert config is not None, told
    (rule,) = config.rules
    return str(rule.ground)


def test_both_kinds_of_configuration_are_read() -> None:
    for value in (own(keys=["shop.pub"]), ratifys(key="shop.pub"), ratifys(trustPolicies=[policy()])):
        config, told = read(value)
        assert told == {}
        assert list(config.certificates) == [FINGERPRINTS["P-256"]]
        assert [each.what for each in entries(config)] == [
            f"key {FINGERPRINTS['P-256']} (verifier {config.verifiers[0].name})"
        ]


FIRST = "verifier.plugins[0].trustPolicies[0]"


@pytest.mark.parametrize(
    ("value", "place", "told"),
    [
        (own(), "nodeseal.verifiers[0]", "keys or identities"),
        (own(keys=[]), "nodeseal.verifiers[0].keys", "a list of 1 to 16 public keys"),
        (own(keys=[7]), "nodeseal.verifiers[0].keys[0]", "the path of a public key"),
        (own(keys=["shop.pub"], annotations={"n": 1}), "nodeseal.verifiers[0].annotations.n", "a text"),
        (own(keys=["shop.pub"], transparencyLog=True), "nodeseal.verifiers[0].transparencyLog", "an unknown key"),
        (own(keys=["shop.pub"], annotation={}), "nodeseal.verifiers[0].annotation", "annotations"),
        (own(keys=["shop.pub"], key="shop.pub"), "nodeseal.verifiers[0].key", "keys"),
        (own(trustPolicies=[policy()]), "nodeseal.verifiers[0].trustPolicies", "an unknown key"),
        (ratifys(trustPolicies=[]), "verifier.plugins[0].trustPolicies", "1 to 100 trust policies"),
        (ratifys(trustPolicies=[policy(name=None)]), f"{FIRST}.name", "unique"),
        (ratifys(trustPolicies=[policy(scopes=None)]), f"{FIRST}.scopes", "images"),
        (ratifys(trustPolicies=[policy(scopes=["R.example/*"])]), f"{FIRST}.scopes[0]", "lower"),
        (ratifys(trustPolicies=[policy(scopes=["a*b"])]), f"{FIRST}.scopes[0]", "lower"),
        (ratifys(trustPolicies=[policy(version="2")]), f"{FIRST}.version", "1.0.0"),
        (ratifys(trustPolicies=[policy(tlogVerify=False)]), f"{FIRST}.tlogVerify", "tLogVerify"),
        (ratifys(trustPolicies=[policy(tLogVerify=None)]), f"{FIRST}.tLogVerify", "no document trusted_root.json"),
    ],
)  # fmt: skip
def test_what_can_not_be_used_is_named_with_its_place(value: Json, place: str, told: str) -> None:
    config, problems = read(value)
    assert config is None
    assert told in problems[place]


def test_verdicts_rest_on_keys_and_annotations_and_not_on_how_they_are_written_down() -> None:
    usual = ground(own(keys=["shop.pub"]))
    assert ground(own(keys=["/elsewhere/shop.pub", "shop.pub"])) == usual
    assert ground(own(keys=["team.pub"])) != usual
    assert ground(own(keys=["shop.pub", "team.pub"])) != usual
    assert ground(own(keys=["shop.pub"], annotations={"env": "prod"})) != usual
    assert ground(ratifys(key="shop.pub")) != ground(ratifys(key="team.pub"))


def test_what_goes_into_a_support_bundle_is_all_of_a_verifiers_settings() -> None:
    config, _ = read(own(keys=["shop.pub"], annotations={"env": "prod"}))
    settings = strictjson.decode(strictjson.canonical(config.verifiers[0].settings), "t", limit=10_000)
    allowed = supportparts._CONFIGURATION["verifiers"]["settings"]  # type: ignore[index]
    assert isinstance(settings, dict)
    assert set(settings) <= set(allowed)
    assert set(settings["policies"][0]) <= set(allowed["policies"])
