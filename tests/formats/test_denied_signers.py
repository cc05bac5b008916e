"""Signatures of signers who are denied: in every format and layout, failed evidence with a code of its own."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate

from agent.errors import Cause, Code
from agent.formats import FORMATS, REPORTS, ParsedOptions, format_class
from agent.formats.attestation import LAYERS_TYPE
from agent.formats.cosign import BUNDLE_TYPE, LEGACY_TYPE
from agent.model.evidence import Evidence
from agent.model.outcome import Check, Outcome, Status
from agent.model.signer import DeniedSigner
from agent.trust import twins
from tests import signing_sigstore as sigstore
from tests.formats.cosigned import KeyDocuments, evidence_of
from tests.formats.support import SUBJECT, GivenDocuments, decided, evidence, request
from tests.formats.test_cosign_sigstore import IDENTITY, I, by_bundle, of_layer
from tests.signing import envelope as notation_envelope
from tests.signing import trust_policy, usual_signer
from tests.signing_cosign import (
    PROVENANCE,
    attestation,
    bundle,
    envelope,
    hint,
    layer,
    payload,
    public_der,
    public_pem,
    statement,
)
from tests.trust.answers import asked_at, chain_with

SIGNER = usual_signer()
OTHER = DeniedSigner(key="0" * 64)
ROOT = json.dumps(I.trusted_root()).encode()
DOCUMENTS = KeyDocuments({"k.pub": public_pem(), "second.pub": public_pem(number=1), "trusted_root.json": ROOT})
LEAF = I.leaf(life=timedelta(days=1))  # longer than all tests take
IDENTIFIED = {"identities": [IDENTITY]}
BY_SUBJECT = DeniedSigner(issuer=f"exact {sigstore.ISSUER}", subject=f"exact {sigstore.SUBJECT}")
BY_LEAF = DeniedSigner(certificate=sha256(LEAF.certificate.public_bytes(Encoding.DER)).hexdigest())


def key_of(der: bytes) -> DeniedSigner:
    """An entry for a public key."""
    return DeniedSigner(key=sha256(der).hexdigest())


def certificate_of(certificate: Any) -> DeniedSigner:
    """An entry for a certificate."""
    return DeniedSigner(certificate=sha256(certificate.public_bytes(Encoding.DER)).hexdigest())


def spki(certificate: Any) -> bytes:
    """A certificate's key."""
    der: bytes = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der


class Case(NamedTuple):
    """Good evidence of a format, the options that take it, and an entry for whoever made it."""

    type: str
    options: Mapping[str, Any]
    made: Callable[[], Evidence]
    entry: DeniedSigner


def _notation(entry: DeniedSigner, **policy: Any) -> Case:
    options = {"verificationCerts": ["certs"], "trustPolicyDoc": trust_policy(**policy)}
    return Case("notation", options, lambda: evidence(notation_envelope(SIGNER, SUBJECT)), entry)


def _keyed(options: Mapping[str, Any], made: Callable[[], Evidence], kind: str = "cosign") -> Case:
    return Case(kind, {"keys": ["k.pub"], **options}, made, key_of(public_der()))


KEYLESS = {"keyless bundle": lambda: evidence_of([by_bundle(I, leaf=LEAF)], BUNDLE_TYPE),
           "keyless layer": lambda: evidence_of([of_layer(I, leaf=LEAF)], LEGACY_TYPE)}  # fmt: skip
SAID = {"predicateType": PROVENANCE}
CASES = {
    "notation, the signer's certificate": _notation(certificate_of(SIGNER.chain[0])),
    "notation, the root": _notation(certificate_of(SIGNER.root)),
    "notation, the key": _notation(key_of(spki(SIGNER.chain[0]))),
    "notation, audit": _notation(certificate_of(SIGNER.root), signatureVerification={"level": "audit"}),
    "bundle": _keyed({}, lambda: evidence_of([bundle(statement(SUBJECT))], BUNDLE_TYPE)),
    "layer": _keyed({}, lambda: evidence_of([layer(payload(SUBJECT))], LEGACY_TYPE)),
    **{
        f"{name}, {what}": Case("cosign", IDENTIFIED, made, entry)
        for name, made in KEYLESS.items()
        for what, entry in {
            "identity": BY_SUBJECT,
            "certificate": BY_LEAF,
            "authority": certificate_of(I.issuer),
            "key": key_of(spki(LEAF.certificate)),
        }.items()
    },
    "attestation, bundle": _keyed(
        SAID, lambda: evidence_of([bundle(attestation(SUBJECT))], BUNDLE_TYPE), "attestation"
    ),
    "attestation, layer": _keyed(
        SAID, lambda: evidence_of([envelope(attestation(SUBJECT))], LAYERS_TYPE), "attestation"
    ),
}


KEYLESS_CASE = CASES["keyless bundle, certificate"]


def outcome(case: Case, *denied: DeniedSigner) -> Outcome:
    """What the format says of the evidence where these are denied."""
    kind = format_class(case.type)
    documents = GivenDocuments(SIGNER.root_pem) if case.type == "notation" else DOCUMENTS
    parsed: ParsedOptions = kind.parse(case.options, documents, "verifier")
    assert not [each for each in parsed.problems if each.fatal], parsed.problems
    form = kind.load("x", json.loads(json.dumps(parsed.settings)), parsed.certificates, denied)
    return decided(form.verify(request(), case.made(), datetime.now(timezone.utc)))


def test_every_format_is_tried() -> None:
    assert {case.type for case in CASES.values()} == set(FORMATS) - set(REPORTS)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_signature_of_a_denied_signer_is_failed_evidence(case: Case) -> None:
    assert outcome(case, OTHER).status is Status.PASSED
    found = outcome(case, OTHER, case.entry)
    assert (found.status, found.code, found.cause) == (Status.FAILED, Code.SIGNER_DENIED, None)
    assert found.message.startswith("signer denied by the configuration (")
    assert [(check.check, check.status) for check in found.checks][-2:] == [
        (Check.AUTHENTICITY, Status.PASSED),
        (Check.AUTHENTICITY, Status.FAILED),
    ]
    assert not found.signers


def twin_of(certificate: Any) -> Any:
    """The same certificate with its signature's twin: anybody can make it."""
    issued_by_p256 = next(twins.of(certificate.public_bytes(Encoding.DER)))
    return load_der_x509_certificate(issued_by_p256)


def test_denied_certificate_in_other_bytes_is_denied() -> None:
    signer = SIGNER._replace(chain=(twin_of(SIGNER.chain[0]), twin_of(SIGNER.chain[1]), SIGNER.root))
    leaf = LEAF._replace(certificate=twin_of(LEAF.certificate))
    notation = _notation(certificate_of(SIGNER.chain[0]))
    keyless = KEYLESS_CASE._replace(made=lambda: evidence_of([by_bundle(I, leaf=leaf)], BUNDLE_TYPE))
    for case in (
        notation._replace(made=lambda: evidence(notation_envelope(signer, SUBJECT))),
        _notation(certificate_of(SIGNER.chain[1]))._replace(made=lambda: evidence(notation_envelope(signer, SUBJECT))),
        keyless,
    ):
        assert outcome(case, OTHER).status is Status.PASSED
        assert outcome(case, case.entry).code is Code.SIGNER_DENIED


def test_what_a_signature_calls_its_key_denies_nobody() -> None:
    said = bundle(statement(SUBJECT), material={"publicKey": {"hint": hint(number=1)}})
    lying = Case("cosign", {"keys": ["k.pub"]}, lambda: evidence_of([said], BUNDLE_TYPE), OTHER)
    assert outcome(lying, key_of(public_der(number=1))).status is Status.PASSED
    assert outcome(lying, key_of(public_der())).code is Code.SIGNER_DENIED


def test_stranger_who_is_denied_is_told_as_the_stranger_he_is() -> None:
    stranger = Case("cosign", {"keys": ["k.pub"]}, lambda: evidence_of(
        [bundle(statement(SUBJECT), number=5)], BUNDLE_TYPE), key_of(public_der(number=5)))  # fmt: skip
    assert outcome(stranger, stranger.entry).code is Code.SIGNER_NOT_TRUSTED


def test_another_signature_beside_it_counts() -> None:
    both = {"keys": ["k.pub", "second.pub"]}
    layers = [layer(payload(SUBJECT)), layer(payload(SUBJECT), number=1)]
    case = Case("cosign", both, lambda: evidence_of(layers, LEGACY_TYPE), key_of(public_der()))
    found = outcome(case, case.entry)
    assert (found.status, found.signers) == (Status.PASSED, (f"sha256:{key_of(public_der(number=1)).key}",))
    said = [envelope(attestation(SUBJECT), ("P-256", 0), ("P-256", 1))]
    case = Case("attestation", {**both, **SAID}, lambda: evidence_of(said, LAYERS_TYPE), key_of(public_der()))
    found = outcome(case, case.entry)
    assert found.status is Status.PASSED
    told: Any = found.extensions["attestations"]
    assert [each["Key"] for each in told] == [f"sha256:{key_of(public_der(number=1)).key}"]


def test_it_is_known_before_anybody_is_asked_whether_the_certificate_was_revoked() -> None:
    asking = chain_with(asked_at("http://ocsp.example.com/"))
    options = {"verificationCerts": ["certs"], "trustPolicyDoc": trust_policy()}
    kind = format_class("notation")
    parsed = kind.parse(options, GivenDocuments(asking.root_pem), "verifier")
    made = evidence(notation_envelope(asking, SUBJECT))
    for denied, told in (
        ((), (Status.INCONCLUSIVE, None, Cause.REVOCATION_UNKNOWN)),
        ((certificate_of(asking.chain[0]),), (Status.FAILED, Code.SIGNER_DENIED, None)),
    ):
        form = kind.load("x", parsed.settings, parsed.certificates, denied)
        found = decided(form.verify(request(), made, datetime.now(timezone.utc)))
        assert (found.status, found.code, found.cause) == told


def test_what_nobody_can_tell_stays_so() -> None:
    over = {"start": sigstore.rfc3339(I.start), "end": sigstore.rfc3339(sigstore.now() - timedelta(days=1))}
    documents = KeyDocuments({"trusted_root.json": json.dumps(I.trusted_root(ca=over)).encode()})
    parsed = format_class("cosign").parse(IDENTIFIED, documents, "verifier")
    newer = evidence_of([by_bundle(sigstore.instance(4), leaf=LEAF)], BUNDLE_TYPE)
    for denied in ((), (BY_SUBJECT, BY_LEAF)):
        form = format_class("cosign").load("x", parsed.settings, parsed.certificates, denied)
        found = decided(form.verify(request(), newer, datetime.now(timezone.utc)))
        assert (found.status, found.cause) == (Status.INCONCLUSIVE, Cause.TRUST_ROOT_STALE)
