"""Timestamps by an authority that is known: nobody else's count, and nothing else in them does."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.errors import Malformed
from agent.trust.timestamp import TimestampInvalid, check_by
from tests import signing_sigstore as sigstore
from tests.signing import Profile, Signer, certificate
from tests.simulators import tsa
from tests.simulators.der import integer, sequence
from tests.trust.tokens import TSA, TSA_ROOT, Token, authority, token

INSTANCE, OTHER = sigstore.instance(), sigstore.instance(5)
NOW = sigstore.now()
SIGNATURE = b"signature"


def ders(chain: Sequence[x509.Certificate]) -> tuple[bytes, ...]:
    return tuple(each.public_bytes(Encoding.DER) for each in chain)


CHAIN = ders(INSTANCE.tsa.chain)


def test_time_is_the_one_that_it_names() -> None:
    at = NOW.replace(microsecond=0)
    for embedded in (True, False):
        found = check_by(INSTANCE.timestamp(SIGNATURE, Token(time=at), embedded=embedded), SIGNATURE, CHAIN)
        assert (found.earliest, found.latest, len(found.chain)) == (at, at, 2)


def test_foreign_certificates_beside_it_do_not_matter() -> None:
    made = Token(time=NOW, certificates=(OTHER.tsa.chain[0], *INSTANCE.tsa.chain))
    assert check_by(INSTANCE.timestamp(SIGNATURE, made), SIGNATURE, CHAIN)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (Token(time=NOW, names=OTHER.tsa.chain[0]), "not of the authority that is trusted"),
        (Token(time=NOW, content_digest=b"x" * 32), "what was signed is not its content"),
        (Token(time=NOW, imprint=b"x" * 32), "of other bytes"),
        (Token(time=NOW, flip=True), "does not hold"),
        (Token(time=NOW, imprint_hash="sha1"), "expected SHA-256"),
        (Token(time=NOW - timedelta(days=2 * 365)), "is valid"),
        (Token(time=NOW, signers=2), "2 signers"),
        (Token(time=NOW, attribute=""), "signed attribute"),
    ],
)
def test_what_proves_nothing_is_refused(made: Token, reason: str) -> None:
    with pytest.raises(TimestampInvalid, match=reason):
        check_by(INSTANCE.timestamp(SIGNATURE, made), SIGNATURE, CHAIN)


def test_authority_must_be_one() -> None:
    response = INSTANCE.timestamp(SIGNATURE, Token(time=NOW))
    with pytest.raises(TimestampInvalid, match="do not lead to the trusted one"):
        check_by(response, SIGNATURE, (CHAIN[0], ders(OTHER.tsa.chain)[1]))
    with pytest.raises(TimestampInvalid):
        check_by(response, SIGNATURE, ders(authority().chain))


@pytest.mark.parametrize(
    ("authority_", "anchor", "reason"),
    [
        (TSA._replace(critical_extensions=()), TSA_ROOT, "expected the critical extended key usage timeStamping"),
        (
            TSA._replace(critical_extensions=(), purposes=(ExtendedKeyUsageOID.TIME_STAMPING,)),
            TSA_ROOT,
            "expected the critical extended key usage timeStamping",
        ),
        (
            TSA._replace(critical_extensions=(), purposes=(ExtendedKeyUsageOID.CODE_SIGNING,)),
            TSA_ROOT,
            "expected the critical extended key usage timeStamping",
        ),
        (TSA._replace(ca=True, usages=("digital_signature", "key_cert_sign")), TSA_ROOT, "is a CA"),
        (TSA, TSA_ROOT._replace(ca=False), "issues certificates without"),
        (TSA, TSA_ROOT._replace(ends=-timedelta(hours=1)), "Root CA.* is valid"),
        (TSA._replace(ends=-timedelta(hours=1)), TSA_ROOT, "tsa.example.com.* is valid"),
    ],
)
def test_authority_has_to_be_fit_for_it_when_it_stamped(authority_: Profile, anchor: Profile, reason: str) -> None:
    chain = (certificate(authority_, anchor), certificate(anchor, anchor))
    made = token(SIGNATURE, Signer(chain, authority_.kind, authority_.key_number), Token(time=NOW))
    good = (certificate(TSA, TSA_ROOT), certificate(TSA_ROOT, TSA_ROOT))
    stamped = token(SIGNATURE, Signer(good, TSA.kind, TSA.key_number), Token(time=NOW))
    assert check_by(sequence(sequence(integer(0)), stamped), SIGNATURE, ders(good))
    with pytest.raises(TimestampInvalid, match=reason):
        check_by(sequence(sequence(integer(0)), made), SIGNATURE, ders(chain))


def test_what_was_granted_with_changes_counts_and_a_refusal_does_not_though_a_token_is_in_it() -> None:
    made = token(SIGNATURE, INSTANCE.tsa, Token(time=NOW))
    assert check_by(sequence(sequence(integer(1)), made), SIGNATURE, CHAIN)
    for status in (2, 3, 4, 5, -1, 256):
        with pytest.raises(Malformed, match=f"status {status};"):
            check_by(sequence(sequence(integer(status)), made), SIGNATURE, CHAIN)


@pytest.mark.parametrize(
    "response", [b"", b"rubbish", sequence(), sequence(sequence(integer(0))), tsa.refusal(), b"x" * 200_000]
)
def test_what_was_not_granted_is_refused(response: bytes) -> None:
    with pytest.raises(Malformed):
        check_by(response, SIGNATURE, CHAIN)
