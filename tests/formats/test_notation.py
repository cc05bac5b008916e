"""Notary Project signatures: what is accepted, what is refused and by which code, level by level."""

import base64
import json
from datetime import datetime, timedelta, timezone
from typing import Any, Callable

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Cause, Code, Malformed
from agent.model.digest import Digest
from agent.model.manifest import IMAGE_MANIFEST, Manifest
from agent.model.outcome import Check, Status
from tests.formats.support import SUBJECT, GivenDocuments, decided, evidence, notation, request, verify
from tests.signing import (
    ARTIFACT_TYPE,
    PREFIX,
    Profile,
    Signer,
    b64url,
    ca_profile,
    certificate,
    descriptor_json,
    envelope,
    key,
    name,
    rfc3339,
    signer,
    usual_signer,
)  # fmt: skip

TRUSTED = usual_signer()
STRANGER = usual_signer("stranger.example.net", number=1)
DAY = timedelta(days=1)
_ROOT = ca_profile("build.example.com Root CA", key_number=77)
NAMESAKE = certificate(_ROOT, _ROOT)
CRL = x509.CRLDistributionPoints(
    [x509.DistributionPoint([x509.UniformResourceIdentifier("http://crl.example.com/1")], None, None, None)]
)
OCSP = x509.AuthorityInformationAccess(
    [x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier("http://o.example.com"))]
)


@pytest.mark.parametrize("kind", ["RSA-2048", "RSA-3072", "RSA-4096", "P-256", "P-384", "P-521"])
def test_every_algorithm_of_the_specification_is_accepted(kind: str) -> None:
    signed_by = usual_signer(kind=kind)
    outcome = verify(envelope(signed_by, SUBJECT), signed_by)
    assert outcome.status is Status.PASSED, outcome
    assert [check.status for check in outcome.checks] == [Status.PASSED] * 5
    assert outcome.message == "Notation signature verification success"
    assert outcome.extensions["SN"] == "CN=build.example.com,O=Acme,ST=WA,C=US"


@pytest.mark.parametrize("length", [1, 2, 3])
def test_chains_of_any_length_are_accepted(length: int) -> None:
    issuers = [ca_profile("Issuing CA", key_number=1), ca_profile("Root CA", key_number=2)][2 - length + 1 :]
    signed_by = signer(None, *issuers)
    assert len(signed_by.chain) == length
    assert verify(envelope(signed_by, SUBJECT), signed_by).status is Status.PASSED


def test_trusting_any_certificate_of_the_chain_is_enough() -> None:
    intermediate = Signer(TRUSTED.chain[:2], TRUSTED.kind, TRUSTED.key_number)
    assert verify(envelope(TRUSTED, SUBJECT), intermediate).status is Status.PASSED


def test_one_trusted_certificate_among_many_is_enough() -> None:
    assert verify(envelope(TRUSTED, SUBJECT), STRANGER, TRUSTED).status is Status.PASSED


def alter(field: str) -> Callable[[], bytes]:
    """An envelope of which one member was altered after signing."""

    def altered() -> bytes:
        value = json.loads(envelope(TRUSTED, SUBJECT))
        raw = bytearray(base64.urlsafe_b64decode(value[field] + "=" * (-len(value[field]) % 4)))
        raw[len(raw) // 2] ^= 1
        return json.dumps(value | {field: b64url(bytes(raw))}).encode()

    return altered


def signed(**changes: Any) -> Callable[[], bytes]:
    """An envelope by the trusted signer, with changes."""
    return lambda: envelope(TRUSTED, SUBJECT, **changes)


def by(make: Callable[[], Signer]) -> Callable[[], bytes]:
    """An envelope by another signer."""
    return lambda: envelope(make(), SUBJECT)


def leaf(**changes: Any) -> Callable[[], bytes]:
    """An envelope by a signer whose signing certificate differs."""
    return by(lambda: usual_signer(**changes))


def issuer(**changes: Any) -> Callable[[], bytes]:
    """An envelope by a signer whose intermediate CA differs."""
    ca = ca_profile("Issuing CA", key_number=1, **changes)
    return by(lambda: signer(Profile(name("build")), ca, ca_profile("Root CA", key_number=2)))


def other(**changes: Any) -> Callable[[], bytes]:
    """An envelope whose payload names another image."""
    payload = json.dumps({"targetArtifact": descriptor_json(SUBJECT._replace(**changes))}).encode()
    return signed(payload=payload)


CRITICAL = PREFIX + "signingScheme"
DEFECTS: dict[str, tuple[Callable[[], bytes], Code]] = {
    # integrity: the envelope
    "signature altered": (alter("signature"), Code.SIGNATURE_INVALID),
    "payload swapped": (signed(outer={"payload": b64url(b'{"targetArtifact":{}}')}), Code.SIGNATURE_INVALID),
    "protected header swapped": (
        lambda: json.dumps(
            json.loads(envelope(TRUSTED, SUBJECT))
            | {"protected": json.loads(envelope(TRUSTED, SUBJECT, protected={"x": 1}))["protected"]}
        ).encode(),
        Code.SIGNATURE_INVALID,
    ),
    "signature empty": (signed(outer={"signature": ""}), Code.SIGNATURE_INVALID),
    "alg none": (signed(protected={"alg": "none"}), Code.SIGNATURE_INVALID),
    "alg HS256": (signed(protected={"alg": "HS256"}), Code.SIGNATURE_INVALID),
    "alg of another key": (signed(protected={"alg": "PS256"}), Code.SIGNATURE_INVALID),
    "alg of another curve": (signed(protected={"alg": "ES384"}), Code.SIGNATURE_INVALID),
    "no alg": (signed(dropped=("alg",)), Code.EVIDENCE_MALFORMED),
    "content type of something else": (signed(protected={"cty": "application/json"}), Code.EVIDENCE_MALFORMED),
    "no content type": (signed(dropped=("cty",)), Code.EVIDENCE_MALFORMED),
    "no crit": (signed(dropped=("crit",)), Code.EVIDENCE_MALFORMED),
    "crit empty": (signed(protected={"crit": []}), Code.EVIDENCE_MALFORMED),
    "crit names what is not there": (signed(protected={"crit": [CRITICAL, "gone"]}), Code.EVIDENCE_MALFORMED),
    "crit names the unknown": (signed(protected={"crit": [CRITICAL, "new"], "new": 1}), Code.EVIDENCE_MALFORMED),
    "signing scheme not critical": (signed(protected={"crit": ["alg"]}), Code.EVIDENCE_MALFORMED),
    "expiry not critical": (
        signed(protected={PREFIX + "expiry": rfc3339(datetime.now(timezone.utc) + DAY)}), Code.EVIDENCE_MALFORMED
    ),
    "expiry before signing time": (signed(expiry=datetime(2020, 1, 1, tzinfo=timezone.utc)), Code.EVIDENCE_MALFORMED),
    "b64 false, not critical": (signed(protected={"b64": False}), Code.EVIDENCE_MALFORMED),
    "b64 false": (signed(protected={"b64": False, "crit": [CRITICAL, "b64"]}), Code.EVIDENCE_MALFORMED),
    "no signing time": (signed(dropped=(PREFIX + "signingTime",)), Code.EVIDENCE_MALFORMED),
    "signing time is no time": (signed(protected={PREFIX + "signingTime": "now"}), Code.EVIDENCE_MALFORMED),
    "signing time is impossible": (
        signed(protected={PREFIX + "signingTime": "2026-02-30T00:00:00Z"}), Code.EVIDENCE_MALFORMED
    ),
    "no signing scheme": (signed(dropped=(CRITICAL,)), Code.EVIDENCE_MALFORMED),
    "unknown signing scheme": (signed(protected={CRITICAL: "notary.x510"}), Code.EVIDENCE_UNSUPPORTED),
    "general serialisation": (signed(outer={"signatures": []}), Code.EVIDENCE_MALFORMED),
    "a name in both headers": (signed(header={"alg": "ES256"}), Code.EVIDENCE_MALFORMED),
    "padded base64": (signed(outer={"signature": "AAA="}), Code.EVIDENCE_MALFORMED),
    "trailing data": (lambda: envelope(TRUSTED, SUBJECT) + b"{}", Code.EVIDENCE_MALFORMED),
    "not JSON": (lambda: b"\x84\x43", Code.EVIDENCE_MALFORMED),
    "empty": (lambda: b"", Code.EVIDENCE_MALFORMED),
    "larger than the limit": (signed(outer={"x": "y" * 2**20}), Code.EVIDENCE_LIMIT),
    # integrity: the chain
    "no certificate": (signed(chain=()), Code.CERTIFICATE_CHAIN_INVALID),
    "x5c missing": (signed(header={"x5c": None}), Code.EVIDENCE_MALFORMED),
    "x5c is no certificate": (signed(header={"x5c": ["AAAA"]}), Code.CERTIFICATE_CHAIN_INVALID),
    "a thousand certificates": (signed(chain=TRUSTED.chain[:1] * 1000), Code.EVIDENCE_LIMIT),
    "chain of another signer": (signed(chain=STRANGER.chain), Code.SIGNATURE_INVALID),
    "root missing": (signed(chain=TRUSTED.chain[:2]), Code.CERTIFICATE_CHAIN_INVALID),
    "chain reordered": (
        signed(chain=(TRUSTED.chain[0], TRUSTED.chain[2], TRUSTED.chain[1])), Code.CERTIFICATE_CHAIN_INVALID
    ),
    "foreign root appended": (signed(chain=(*TRUSTED.chain, STRANGER.root)), Code.CERTIFICATE_CHAIN_INVALID),
    "root of the same subject and another key": (
        signed(
            chain=(
                *TRUSTED.chain[:2],
                NAMESAKE,
            )
        ),
        Code.CERTIFICATE_CHAIN_INVALID,
    ),
    "signing certificate is a CA": (leaf(ca=True), Code.CERTIFICATE_CHAIN_INVALID),
    "no key usage": (leaf(usages=None), Code.CERTIFICATE_CHAIN_INVALID),
    "key usage not critical": (leaf(usage_critical=False), Code.CERTIFICATE_CHAIN_INVALID),
    "key usage without digitalSignature": (leaf(usages=("content_commitment",)), Code.CERTIFICATE_CHAIN_INVALID),
    "key usage keyCertSign too": (
        leaf(usages=("digital_signature", "key_cert_sign")), Code.CERTIFICATE_CHAIN_INVALID
    ),
    "key usage keyEncipherment too": (
        leaf(usages=("digital_signature", "key_encipherment")), Code.CERTIFICATE_CHAIN_INVALID
    ),
    "key usage decipherOnly too": (
        leaf(usages=("digital_signature", "key_agreement", "decipher_only")), Code.CERTIFICATE_CHAIN_INVALID
    ),
    "purpose serverAuth": (leaf(purposes=(ExtendedKeyUsageOID.SERVER_AUTH,)), Code.CERTIFICATE_CHAIN_INVALID),
    "purpose timeStamping": (leaf(purposes=(ExtendedKeyUsageOID.TIME_STAMPING,)), Code.CERTIFICATE_CHAIN_INVALID),
    "purpose any": (
        leaf(purposes=(ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)),
        Code.CERTIFICATE_CHAIN_INVALID,
    ),
    "RSA of 1024 bits": (leaf(kind="RSA-1024"), Code.SIGNATURE_INVALID),
    "P-224": (leaf(kind="P-224"), Code.SIGNATURE_INVALID),
    "Ed25519": (leaf(kind="Ed25519"), Code.SIGNATURE_INVALID),
    "issuer is no CA": (issuer(ca=False), Code.CERTIFICATE_CHAIN_INVALID),
    "issuer without basic constraints": (issuer(ca=None), Code.CERTIFICATE_CHAIN_INVALID),
    "issuer's basic constraints not critical": (issuer(ca_critical=False), Code.CERTIFICATE_CHAIN_INVALID),
    "issuer without keyCertSign": (issuer(usages=("crl_sign",)), Code.CERTIFICATE_CHAIN_INVALID),
    "issuer without key usage": (issuer(usages=None), Code.CERTIFICATE_CHAIN_INVALID),
    "issuer's key usage not critical": (issuer(usage_critical=False), Code.CERTIFICATE_CHAIN_INVALID),
    "path length exceeded": (
        by(
            lambda: signer(
                Profile(name("build")), ca_profile("Issuing CA", key_number=1),
                ca_profile("Root CA", path_length=0, key_number=2),
            )
        ),
        Code.CERTIFICATE_CHAIN_INVALID,
    ),
    # the plugin that a signature demands
    "verification plugin demanded": (
        signed(
            protected={PREFIX + "verificationPlugin": "com.example", "crit": [CRITICAL, PREFIX + "verificationPlugin"]}
        ),
        Code.PLUGIN_DEMANDED,
    ),
    # the image that was signed
    "digest of another image": (other(digest=Digest.of(b"another")), Code.SIGNATURE_OF_ANOTHER_IMAGE),
    "size of another image": (other(size=4321), Code.SIGNATURE_OF_ANOTHER_IMAGE),
    "media type of another image": (other(media_type="application/x"), Code.SIGNATURE_OF_ANOTHER_IMAGE),
    "payload without an image": (signed(payload=b"{}"), Code.EVIDENCE_MALFORMED),
    "payload is no object": (signed(payload=b"[]"), Code.EVIDENCE_MALFORMED),
    "payload with the image twice": (
        signed(payload=b'{"targetArtifact":{},"targetArtifact":{}}'), Code.EVIDENCE_MALFORMED
    ),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_defective_signature_fails_under_its_code(defect: str) -> None:
    make, code = DEFECTS[defect]
    signed_by = usual_signer()
    outcome = verify(make(), TRUSTED, signed_by)
    assert (outcome.status, outcome.code) == (Status.FAILED, code), outcome.message
    assert outcome.extensions == {}


def test_signer_whom_nobody_trusts_fails_and_is_named() -> None:
    outcome = verify(envelope(STRANGER, SUBJECT), TRUSTED)
    assert outcome.code is Code.SIGNER_NOT_TRUSTED
    assert "CN=stranger.example.net" in outcome.message


def test_certificate_with_the_subject_of_a_trusted_one_is_not_trusted() -> None:
    namesake = usual_signer(number=5)
    assert verify(envelope(namesake, SUBJECT), TRUSTED).code is Code.SIGNER_NOT_TRUSTED


@pytest.mark.parametrize(
    ("identities", "trusted"),
    [
        (["*"], True),
        (["x509.subject: C=US, ST=WA, O=Acme"], True),
        (["x509.subject: C=US, S=WA, O=Acme, CN=build.example.com"], True),
        (["x509.subject: C=US, ST=WA, O=Acme, CN=build.example.com.evil.net"], False),
        (["x509.subject: C=US, ST=WA, O=acme"], False),
        (["x509.subject: C=DE, ST=BE, O=Acme", "x509.subject: C=US, ST=WA, O=Acme"], True),
        (["x509.subject: C=US, ST=WA, O=Acme, OU=Release"], False),
    ],
)
def test_only_trusted_identities_count(identities: list[str], trusted: bool) -> None:
    outcome = verify(envelope(TRUSTED, SUBJECT), TRUSTED, trustedIdentities=identities)
    assert outcome.code is (None if trusted else Code.IDENTITY_NOT_TRUSTED)


def test_subject_that_no_identity_can_describe_is_not_trusted() -> None:
    nameless = usual_signer(subject=name("build", ST="", L="Seattle"))
    outcome = verify(envelope(nameless, SUBJECT), nameless, trustedIdentities=["x509.subject: C=US, ST=WA, O=Acme"])
    assert outcome.code is Code.IDENTITY_NOT_TRUSTED


def expired_signature() -> bytes:
    return envelope(TRUSTED, SUBJECT, expiry=datetime.now(timezone.utc) + timedelta(seconds=60))


LATER = timedelta(minutes=10)
MUCH_LATER = timedelta(days=3)
LEVELS = ("strict", "permissive", "audit")
# Which checks each level enforces: Notary Project, trust policy specification, "Signature Verification details".
ENFORCED = {
    "strict": {Check.INTEGRITY, Check.AUTHENTICITY, Check.EXPIRY, Check.AUTHENTIC_TIMESTAMP, Check.REVOCATION},
    "permissive": {Check.INTEGRITY, Check.AUTHENTICITY},
    "audit": {Check.INTEGRITY},
}
FAILING: dict[Check, tuple[Callable[[], bytes], timedelta, Code]] = {
    Check.INTEGRITY: (alter("signature"), timedelta(), Code.SIGNATURE_INVALID),
    Check.AUTHENTICITY: (lambda: envelope(STRANGER, SUBJECT), timedelta(), Code.SIGNER_NOT_TRUSTED),
    Check.EXPIRY: (expired_signature, LATER, Code.SIGNATURE_EXPIRED),
    Check.AUTHENTIC_TIMESTAMP: (signed(), MUCH_LATER, Code.CERTIFICATE_NOT_VALID_NOW),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("check", FAILING)
def test_failed_check_is_enforced_or_logged_as_the_level_says(level: str, check: Check) -> None:
    make, later, code = FAILING[check]
    now = datetime.now(timezone.utc) + later
    outcome = verify(make(), TRUSTED, now=now, signatureVerification={"level": level})
    recorded = [result for result in outcome.checks if result.check is check]
    assert [(result.status, result.code) for result in recorded] == [(Status.FAILED, code)]
    expected = Status.FAILED if check in ENFORCED[level] else Status.PASSED
    assert outcome.status is expected


@pytest.mark.parametrize("extension", [CRL, OCSP], ids=["CRL", "OCSP"])
@pytest.mark.parametrize(
    ("verification", "status"),
    [
        ({"level": "strict"}, Status.INCONCLUSIVE),
        ({"level": "permissive"}, Status.PASSED),
        ({"level": "audit"}, Status.PASSED),
        ({"level": "strict", "override": {"revocation": "log"}}, Status.PASSED),
        ({"level": "strict", "override": {"revocation": "skip"}}, Status.PASSED),
        ({"level": "permissive", "override": {"revocation": "enforce"}}, Status.INCONCLUSIVE),
    ],
    ids=str,
)
def test_revocation_that_cannot_be_checked_is_inconclusive_unless_the_policy_says_otherwise(
    extension: x509.ExtensionType, verification: dict[str, Any], status: Status
) -> None:
    signed_by = usual_signer(extensions=(extension,))
    outcome = verify(envelope(signed_by, SUBJECT), signed_by, signatureVerification=verification)
    assert outcome.status is status
    assert outcome.cause is (Cause.REVOCATION_UNKNOWN if status is Status.INCONCLUSIVE else None)


@pytest.mark.parametrize("extension", [CRL, OCSP], ids=["CRL", "OCSP"])
def test_stranger_cannot_make_revocation_inconclusive(extension: x509.ExtensionType) -> None:
    stranger = usual_signer("stranger.example.net", number=1, extensions=(extension,))
    verification = {"level": "strict", "override": {"authenticity": "log"}}
    outcome = verify(envelope(stranger, SUBJECT), TRUSTED, signatureVerification=verification)
    assert (outcome.status, outcome.code, outcome.cause) == (Status.FAILED, Code.SIGNER_NOT_TRUSTED, None)


def test_checks_behind_the_one_that_failed_are_not_made() -> None:
    outcome = verify(envelope(usual_signer("stranger.example.net", number=1), SUBJECT), TRUSTED)
    assert [check.check for check in outcome.checks] == [Check.INTEGRITY, Check.AUTHENTICITY]


def test_another_image_fails_even_where_revocation_is_unknown() -> None:
    signed_by = usual_signer(extensions=(CRL,))
    payload = json.dumps({"targetArtifact": descriptor_json(SUBJECT._replace(size=1))}).encode()
    outcome = verify(envelope(signed_by, SUBJECT, payload=payload), signed_by)
    assert outcome.code is Code.SIGNATURE_OF_ANOTHER_IMAGE


def test_another_image_fails_under_every_level() -> None:
    make, code = DEFECTS["digest of another image"]
    for level in LEVELS:
        assert verify(make(), TRUSTED, signatureVerification={"level": level}).code is code


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"digest": Digest.of(b"another")}, f"digest {Digest.of(b'another')}"),
        ({"size": 4321}, "size 4321"),
        ({"media_type": "application/x"}, "media type application/x"),
    ],
    ids=["digest", "size", "media type"],
)
def test_another_image_is_told_by_what_differs(changed: dict[str, Any], told: str) -> None:
    payload = json.dumps({"targetArtifact": descriptor_json(SUBJECT._replace(**changed))}).encode()
    outcome = verify(envelope(TRUSTED, SUBJECT, payload=payload), TRUSTED)
    assert outcome.message == f"the signature is for another image ({told})"


def test_repository_without_a_trust_policy_fails() -> None:
    outcome = verify(envelope(TRUSTED, SUBJECT), TRUSTED, registryScopes=["registry.example.com/shop/cart-2"])
    assert outcome.code is Code.NO_TRUST_POLICY


def test_envelope_of_another_media_type_is_named() -> None:
    outcome = verify(envelope(TRUSTED, SUBJECT), TRUSTED, media_type="application/pkcs7")
    assert outcome.code is Code.EVIDENCE_UNSUPPORTED
    assert "application/pkcs7" in outcome.message


@pytest.mark.parametrize("count", [0, 2, 3])
def test_signature_manifest_has_exactly_one_layer(count: int) -> None:
    with pytest.raises(Malformed, match="exactly one"):
        notation(TRUSTED).blob_limit(Manifest(IMAGE_MANIFEST, ARTIFACT_TYPE, (SUBJECT,) * count, SUBJECT))


def test_certificates_that_are_neither_ca_nor_self_signed_are_left_out_with_a_warning() -> None:
    from cryptography.hazmat.primitives.serialization import Encoding

    from agent.formats.notation import NotationFormat
    from tests.signing import trust_policy

    documents = GivenDocuments(TRUSTED.chain[0].public_bytes(Encoding.PEM), TRUSTED.root_pem)
    options = {"verificationCerts": ["x"], "trustPolicyDoc": trust_policy()}
    parsed = NotationFormat.parse(options, documents, "v")
    assert len(parsed.certificates) == 1
    assert [problem.fatal for problem in parsed.problems] == [False]


@pytest.mark.parametrize(
    "content", [b"", b"rubbish", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_document_that_is_no_certificate_is_a_problem(content: bytes) -> None:
    with pytest.raises(AssertionError, match="0.crt"):
        from agent.formats.notation import NotationFormat
        from tests.signing import trust_policy

        options = {"verificationCerts": ["x"], "trustPolicyDoc": trust_policy()}
        parsed = NotationFormat.parse(options, GivenDocuments(content), "v")
        raise AssertionError([str(problem) for problem in parsed.problems if problem.fatal])


GOOD = envelope(TRUSTED, SUBJECT)
VERIFIER = notation(TRUSTED)


@settings(max_examples=150)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_no_altered_byte_of_a_good_envelope_makes_an_exception(position: int, change: int) -> None:
    altered = bytearray(GOOD)
    altered[position] ^= change
    outcome = decided(VERIFIER.verify(request(), evidence(bytes(altered)), datetime.now(timezone.utc)))
    assert outcome.status in (Status.FAILED, Status.PASSED)


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_fail_and_make_no_exception(content: bytes) -> None:
    assert decided(VERIFIER.verify(request(), evidence(content), datetime.now(timezone.utc))).status is Status.FAILED


def test_keys_of_the_tests_are_made_once() -> None:
    assert key("P-256", 1) is key("P-256", 1)
