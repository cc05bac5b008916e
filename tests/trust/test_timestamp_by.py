"""Timestamps by an authority that is known: nobody else's count, and nothing else in them does."""

from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from agent.errors import Malformed
from agent.trust.timestamp import TimestampInvalid, check_by
from tests import signing_sigstore as sigstore
from tests.simulators import tsa
from tests.simulators.der import integer, sequence
from tests.trust.tokens import Token, authority

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
        (Token(time=NOW.replace(year=NOW.year - 2)), "is valid"),
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
    "response", [b"", b"rubbish", sequence(), sequence(sequence(integer(0))), tsa.refusal(), b"x" * 200_000]
)
def test_what_was_not_granted_is_refused(response: bytes) -> None:
    with pytest.raises(Malformed):
        check_by(response, SIGNATURE, CHAIN)
