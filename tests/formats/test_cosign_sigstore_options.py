"""Options of cosign verifiers that concern Sigstore: what they mean, and what of them is refused in which words."""

import json
from typing import Any

import pytest

from agent.formats import ParsedOptions
from agent.formats.cosign import CosignFormat
from agent.trust.keyless import Demands
from agent.trust.signeridentity import ANYWHERE, EXACT, WHOLE, Pattern
from agent.trust.sigstoredemands import SigstoreDemands
from tests import signing_sigstore as sigstore
from tests.formats.cosigned import KeyDocuments
from tests.signing_cosign import public_pem

ROOT = sigstore.instance().trusted_root()
DOCUMENTS = {
    "trusted_root.json": json.dumps(ROOT).encode(),
    "own.json": json.dumps(sigstore.instance(1).trusted_root()).encode(),
    "rubbish.json": b"{}",
    "logless.json": json.dumps(ROOT | {"tlogs": [], "ctlogs": [], "timestampAuthorities": []}).encode(),
    "shop.pub": public_pem(),
}
IDENTITY = {"issuer": sigstore.ISSUER, "subject": sigstore.SUBJECT}
KEYLESS = {"certificateIdentity": sigstore.SUBJECT, "certificateOIDCIssuer": sigstore.ISSUER}

Json = dict[str, Any]


def parse(**options: object) -> ParsedOptions:
    """What becomes of options."""
    return CosignFormat.parse(options, KeyDocuments(DOCUMENTS), "v")


def demanded(parsed: ParsedOptions) -> SigstoreDemands:
    """What the one statement asks of Sigstore, after its settings were in a snapshot."""
    (policy,) = json.loads(json.dumps(parsed.settings))["policies"]
    return SigstoreDemands.from_json(policy["sigstore"])


def of_ratify(**changes: object) -> Json:
    """One of Ratify's trust policies."""
    usual: Json = {"name": "shop", "scopes": ["*"], "keyless": KEYLESS}
    return {"trustPolicies": [{key: each for key, each in (usual | changes).items() if each is not None}]}


def test_identity_needs_nothing_more_than_a_trusted_root() -> None:
    parsed = parse(identities=[IDENTITY])
    assert parsed.problems == () and parsed.settings["tags"] is True
    found = demanded(parsed)
    assert found.demands == Demands(logs=1, timestamps=0, certificate_logs=1, now_counts=False)
    assert [(each.issuer, each.subject) for each in found.identities] == [
        (Pattern(EXACT, sigstore.ISSUER), Pattern(EXACT, sigstore.SUBJECT))
    ]
    assert [each.name for each in found.roots] == ["trusted_root.json"]
    assert len(parsed.certificates) == 7


def test_everything_that_can_be_asked_for_is_taken() -> None:
    claims = {"buildTrigger": "push"}
    parsed = parse(
        identities=[{"issuerRegExp": "https://.*[.]acme[.]test", "subjectRegExp": ".*@acme[.]test", "claims": claims}],
        trustRoot=["own.json", "/x/trusted_root.json"], transparencyLogs=2, timestamps=1, certificateLogs=0,
        currentTime=True,
    )  # fmt: skip
    assert parsed.problems == ()
    found = demanded(parsed)
    assert found.demands == Demands(2, 1, 0, True)
    assert [each.name for each in found.roots] == ["own.json", "trusted_root.json"]
    assert found.identities[0].subject == Pattern(WHOLE, ".*@acme[.]test")
    assert found.identities[0].issuer == Pattern(WHOLE, "https://.*[.]acme[.]test")
    assert found.identities[0].claims == claims


def test_keys_ask_nothing_of_certificate_logs() -> None:
    root = json.dumps(ROOT | {"ctlogs": [], "certificateAuthorities": []}).encode()
    documents = KeyDocuments(DOCUMENTS | {"logs.json": root})
    parsed = CosignFormat.parse({"keys": ["shop.pub"], "trustRoot": "logs.json"}, documents, "v")
    assert parsed.problems == ()
    assert demanded(parsed).demands == Demands(logs=1, certificate_logs=0)


def test_keys_with_a_trusted_root_have_to_be_logged() -> None:
    parsed = parse(keys=["shop.pub"], trustRoot="own.json")
    assert parsed.problems == ()
    assert demanded(parsed).demands.logs == 1 and not demanded(parsed).identities
    assert len(parsed.certificates) == 8


@pytest.mark.parametrize(
    ("changes", "place", "told"),
    [
        ({"identities": [{"issuer": "x"}]}, "v.identities[0]", "neither of subject and subjectRegExp"),
        ({"identities": [{"subject": "x"}]}, "v.identities[0]", "neither of issuer and issuerRegExp"),
        ({"identities": [IDENTITY | {"issuerRegExp": "x"}]}, "v.identities[0]", "both of issuer and issuerRegExp"),
        ({"identities": [{"issuer": "x", "subjectRegExp": "("}]}, "v.identities[0].subjectRegExp", "RE2"),
        ({"identities": [{"issuer": "x", "subjectRegExp": "a(?=b)"}]}, "v.identities[0].subjectRegExp", "RE2"),
        ({"identities": [{"issuer": "x", "subjectRegExp": r"(a)\1"}]}, "v.identities[0].subjectRegExp", "RE2"),
        ({"identities": [{"issuer": "x", "subjectRegExp": "a" * 1001}]}, "v.identities[0].subjectRegExp", "1001"),
        ({"identities": [IDENTITY], "keys": ["shop.pub"]}, "v.identities", "one of both"),
        ({"identities": [IDENTITY], "trustRoot": "nobody.json"}, "v.trustRoot", "names nothing"),
        ({"identities": [IDENTITY], "trustRoot": "rubbish.json"}, "v.trustRoot: rubbish.json", "mediaType"),
        ({"identities": [IDENTITY], "trustRoot": "logless.json"}, "v.trustRoot", "with 0 certificate logs"),
        ({"identities": [IDENTITY], "timestamps": 2}, "v.trustRoot", "with 1 timestamp authorities"),
        ({"keys": ["shop.pub"], "timestamps": 1}, "v.timestamps", "beside keys alone"),
        ({"keys": ["shop.pub"], "transparencyLogs": 1}, "v.transparencyLogs", "trustRoot"),
        ({"keys": ["shop.pub"], "trustRoot": "own.json", "currentTime": True}, "v.currentTime", "no certificate"),
        (of_ratify(keys=[{"file": "shop.pub"}]), "v.trustPolicies[0].keyless", "one of both"),
        (of_ratify(keyless={}), "v.trustPolicies[0].keyless", "neither of"),
        (of_ratify(keyless=KEYLESS | {"certificateIdentityRegExp": "x"}), "v.trustPolicies[0].keyless", "both of"),
    ],
)
def test_what_can_not_be_meant_is_refused(changes: Json, place: str, told: str) -> None:
    problems = [each for each in parse(**changes).problems if each.fatal]
    assert any(each.path == place and told in f"{each.got} {each.expected}" for each in problems), problems


@pytest.mark.parametrize(
    ("changes", "place", "told"),
    [
        ({"identities": [{"issuer": "x", "subjectRegExp": ".*"}]}, "v.identities[0]", "which every subject matches"),
        ({"identities": [{"issuerRegExp": "(?s).*", "subject": "x"}]}, "v.identities[0]", "which every issuer matches"),
        (of_ratify(tLogVerify=False), "v.trustPolicies[0].keyless", "minutes"),
        (of_ratify(rekorURL="https://rekor.example"), "v.trustPolicies[0].rekorURL", "no effect"),
    ],
)
def test_what_is_seldom_meant_is_told(changes: Json, place: str, told: str) -> None:
    parsed = parse(**changes)
    assert not any(each.fatal for each in parsed.problems)
    assert any(each.path == place and told in f"{each.got} {each.expected}" for each in parsed.problems)


def test_ratifys_keyless_keeps_its_meaning() -> None:
    assert demanded(parse(**of_ratify())).demands == Demands(1, 0, 1, False)
    assert demanded(parse(**of_ratify(tLogVerify=False))).demands == Demands(0, 0, 1, True)
    assert demanded(parse(**of_ratify(keyless=KEYLESS | {"ctLogVerify": False}))).demands == Demands(1, 0, 0, False)
    expressions = {"certificateIdentityRegExp": "acme", "certificateOIDCIssuerRegExp": "github"}
    parsed = parse(**of_ratify(keyless=expressions))
    assert [(each.path.rpartition(".")[2], each.fatal) for each in parsed.problems] == [
        ("certificateOIDCIssuerRegExp", False),
        ("certificateIdentityRegExp", False),
    ]
    (identity,) = demanded(parsed).identities
    assert (identity.issuer, identity.subject) == (Pattern(ANYWHERE, "github"), Pattern(ANYWHERE, "acme"))


def test_ratifys_keys_have_to_be_logged_unless_they_say_otherwise() -> None:
    keys = [{"file": "shop.pub"}]
    for changes in ({}, {"tLogVerify": True}):
        assert demanded(parse(**of_ratify(keyless=None, keys=keys, **changes))).demands.logs == 1
    settings = parse(**of_ratify(keyless=None, keys=keys, tLogVerify=False)).settings
    assert "sigstore" not in json.dumps(settings)
    assert demanded(parse(key="shop.pub", rekorURL="https://rekor.example")).demands.logs == 1
