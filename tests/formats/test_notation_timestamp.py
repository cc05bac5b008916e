"""Timestamps as the trust policy asks for them: when one is needed, and what it then saves."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.errors import Cause, Code
from agent.formats.notation import NotationFormat
from agent.model.outcome import Action, Check, Outcome, Status
from agent.trust import trustpolicy
from agent.trust.truststore import TrustStores
from tests.formats.support import SUBJECT, decided, evidence, request
from tests.signing import PREFIX, Signer, envelope, usual_signer
from tests.trust.answers import NOW, OCSP_URL, Ocsp, asked_at, ocsp_answer
from tests.trust.tokens import GOOD_TOKEN, TSA, Token, authority, token

SIGNER = usual_signer()
AUTHORITY = authority()
ATTRIBUTE = PREFIX + "timestampSignature"
TSA_OCSP = OCSP_URL.format("tsa")
REVOCABLE = authority(TSA._replace(extensions=(asked_at(TSA_OCSP),)))
LATER = NOW + timedelta(days=30)
"""When every certificate of `SIGNER` has expired, and those of `AUTHORITY` too."""


def stamped(made: Token | None = GOOD_TOKEN, by: Signer = AUTHORITY, signer: Signer = SIGNER) -> bytes:
    """An envelope with a timestamp over its signature; None for none."""
    plain: dict[str, Any] = json.loads(envelope(signer, SUBJECT))
    signature = base64.urlsafe_b64decode(plain["signature"] + "==")
    if made is not None:
        plain["header"][ATTRIBUTE] = base64.b64encode(token(signature, by, made)).decode()
    return json.dumps(plain).encode()


def outcome(
    signature: bytes,
    *,
    now: Any = NOW,
    verify_timestamp: str = "always",
    stores: tuple[str, ...] = ("ca:certs", "tsa:acme"),
    authority_: Signer = AUTHORITY,
    answers: dict[str, bytes] | None = None,
    level: str = "strict",
    **override: str,
) -> Outcome:
    actions = dict(trustpolicy.LEVELS[level])
    for check, action in override.items():
        actions[Check(check)] = Action(action)
    policy = trustpolicy.TrustPolicy("p", level, ("*",), actions, stores, None, verify_timestamp)
    named = {
        "ca:certs": frozenset([SIGNER.root.public_bytes(Encoding.DER)]),
        "tsa:acme": frozenset([authority_.root.public_bytes(Encoding.DER)]),
    }
    chosen = NotationFormat("notation", [policy], TrustStores(named))
    return decided(chosen.verify(request(), evidence(signature), now), answers or {})


def test_timestamp_saves_a_signature_whose_certificates_have_expired_since() -> None:
    found = outcome(stamped(), now=LATER)
    assert found.status is Status.PASSED, found.message
    assert any("timestamped" in check.message for check in found.checks)


def test_without_tsa_store_certificates_must_be_valid_now_whatever_the_timestamp_says() -> None:
    assert outcome(stamped(), stores=("ca:certs",)).status is Status.PASSED
    assert outcome(stamped(), stores=("ca:certs",), now=LATER).code is Code.CERTIFICATE_NOT_VALID_NOW


@pytest.mark.parametrize("now", [NOW, LATER], ids=["valid", "expired"])
@pytest.mark.parametrize("verify_timestamp", ["always", "afterCertExpiry"])
def test_when_a_timestamp_is_needed(now: Any, verify_timestamp: str) -> None:
    found = outcome(stamped(None), now=now, verify_timestamp=verify_timestamp)
    needed = verify_timestamp == "always" or now is LATER
    assert found.code is (Code.TIMESTAMP_INVALID if needed else None)


def test_broken_timestamp_is_not_looked_at_where_none_is_needed() -> None:
    broken = stamped(GOOD_TOKEN._replace(flip=True))
    assert outcome(broken, verify_timestamp="afterCertExpiry").status is Status.PASSED
    assert outcome(broken).code is Code.TIMESTAMP_INVALID


def test_timestamp_of_another_signature_is_none() -> None:
    other = usual_signer("other.example.com", number=2)
    first, second = json.loads(stamped()), json.loads(stamped(signer=other))
    first["header"][ATTRIBUTE] = second["header"][ATTRIBUTE]
    assert outcome(json.dumps(first).encode()).code is Code.TIMESTAMP_INVALID


def test_timestamp_by_a_stranger_is_none() -> None:
    stranger = authority(root=TSA._replace(ca=True, usages=("key_cert_sign",), critical_extensions=(), key_number=77))
    assert outcome(stamped(by=stranger)).code is Code.TIMESTAMP_INVALID


@pytest.mark.parametrize("hours", [-30, 30])
def test_timestamp_from_outside_the_signers_validity_is_none(hours: int) -> None:
    long_lived = authority(TSA._replace(starts=timedelta(days=-9), ends=timedelta(days=9)))
    for_long = Signer(long_lived.chain, long_lived.kind, long_lived.key_number)
    made = GOOD_TOKEN._replace(time=NOW + timedelta(hours=hours))
    assert outcome(stamped(made, by=for_long), authority_=for_long).code is Code.TIMESTAMP_INVALID


@pytest.mark.parametrize("value", ["not base64!", 7, None])
def test_timestamp_that_is_none_spoils_the_envelope(value: object) -> None:
    plain = json.loads(stamped())
    plain["header"][ATTRIBUTE] = value
    assert outcome(json.dumps(plain).encode()).code is Code.EVIDENCE_MALFORMED


def about_tsa(status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD) -> dict[str, bytes]:
    return {TSA_OCSP: ocsp_answer(REVOCABLE.chain[0], REVOCABLE.chain[1], 42, Ocsp(status=status))}


def test_authority_is_asked_about_even_where_the_policy_skips_revocation() -> None:
    envelope_ = stamped(by=REVOCABLE)
    options: dict[str, Any] = {"authority_": REVOCABLE, "revocation": "skip"}
    assert outcome(envelope_, answers=about_tsa(), **options).status is Status.PASSED
    revoked = outcome(envelope_, answers=about_tsa(ocsp.OCSPCertStatus.REVOKED), **options)
    assert revoked.code is Code.CERTIFICATE_REVOKED
    silent = outcome(envelope_, **options)
    assert (silent.status, silent.cause) == (Status.INCONCLUSIVE, Cause.REVOCATION_UNKNOWN)


def test_stranger_cannot_make_a_timestamp_inconclusive() -> None:
    stranger = usual_signer("stranger.example.net", number=6)
    found = outcome(stamped(by=REVOCABLE, signer=stranger), authority_=REVOCABLE, authenticity="log")
    assert found.code is Code.REVOCATION_UNKNOWN
    assert found.status is Status.FAILED


@pytest.mark.parametrize("level", ["permissive", "audit"])
def test_missing_timestamp_is_only_noted_where_it_is_only_logged(level: str) -> None:
    found = outcome(stamped(None), level=level)
    assert found.status is Status.PASSED
    assert "only logged: authenticTimestamp (the signature has no timestamp)" in found.message


def test_purpose_of_timestamping_is_the_authoritys_alone() -> None:
    purpose = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]),)
    signer = usual_signer(purposes=(), critical_extensions=purpose)
    assert outcome(stamped(signer=signer)).code is Code.CERTIFICATE_CHAIN_INVALID
