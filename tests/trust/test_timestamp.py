"""Timestamps: tokens that prove a time of signing, and all that does not."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.codec import cms
from agent.errors import Code, LimitExceeded, Malformed
from agent.trust import timestamp
from tests.signing import Signer, ca_profile, certificate, name, usual_signer
from tests.simulators.der import read, sequence, tlv
from tests.trust.tokens import TSA, TSA_ISSUER, TSA_ROOT, Token, authority, token

SIGNED = b"the signature"
GOOD = authority()
TRUSTED = frozenset([GOOD.root.public_bytes(Encoding.DER)])
TIME = Token().time
DAY = timedelta(days=1)


def checked(made: Token = Token(), signer: Signer = GOOD, trusted: frozenset[bytes] = TRUSTED) -> timestamp.Timestamp:  # noqa: B008
    return timestamp.check(token(SIGNED, signer, made), SIGNED, trusted)


def roots(signer: Signer) -> frozenset[bytes]:
    return frozenset([signer.root.public_bytes(Encoding.DER)])


def test_good_token_proves_a_span_of_time_and_names_its_chain() -> None:
    found = checked()
    assert (found.earliest, found.latest) == (TIME - timedelta(seconds=1), TIME + timedelta(seconds=1))
    assert found.chain == GOOD.chain


@pytest.mark.parametrize(
    "made",
    {
        "sha384": Token(imprint_hash="sha384", digest="sha384"),
        "sha512": Token(imprint_hash="sha512", digest="sha512"),
        "attribute with sha512": Token(attribute_hash="sha512"),
        "root along": Token(certificates=GOOD.chain),
        "unordered certificates": Token(certificates=GOOD.chain[::-1]),
        "fraction of a second": Token(time_text=TIME.strftime("%Y%m%d%H%M%S.25Z")),
    }.values(),
)
def test_other_good_tokens_count(made: Token) -> None:
    assert checked(made).chain == GOOD.chain


@pytest.mark.parametrize("kind", ["RSA-2048", "RSA-4096", "P-384", "P-521"])
def test_authority_may_have_any_usual_key(kind: str) -> None:
    signer = authority(TSA._replace(kind=kind))
    assert checked(signer=signer, trusted=roots(signer)).chain == signer.chain


@pytest.mark.parametrize(
    ("accuracy", "policy", "expected"),
    [
        (None, "1.2.3.4.1", timedelta()),
        (None, "0.4.0.2023.1.1", timedelta(seconds=1)),
        (timedelta(minutes=3), "1.2.3.4.1", timedelta(minutes=3)),
        (timedelta(milliseconds=250, microseconds=5), "1.2.3.4.1", timedelta(milliseconds=250, microseconds=5)),
    ],
)
def test_accuracy_widens_the_span(accuracy: timedelta | None, policy: str, expected: timedelta) -> None:
    found = checked(Token(accuracy=accuracy, policy=policy))
    assert (TIME - found.earliest, found.latest - TIME) == (expected, expected)


@pytest.mark.parametrize(
    ("made", "said"),
    {
        "other bytes": (Token(imprint=b"\0" * 32), "other bytes"),
        "imprint under SHA-1": (Token(imprint_hash="sha1"), "imprint under 1.3.14.3.2.26"),
        "version 2": (Token(version=2), "version 2"),
        "altered signature": (Token(flip=True), "does not hold"),
        "other content": (Token(content_digest=b"\0" * 32), "not its content"),
        "older attribute": (Token(attribute="v1"), "0 values of the signed attribute"),
        "no signing certificate": (Token(attribute=""), "0 values of the signed attribute"),
        "another's certificate named": (Token(names=GOOD.root), "not in it"),
        "certificates missing": (Token(certificates=()), "no certificate"),
        "signer's certificate missing": (Token(certificates=GOOD.chain[1:]), "not in it"),
        "issuer missing": (Token(certificates=GOOD.chain[:1]), "not trusted"),
        "two signers": (Token(signers=2), "2 signers"),
        "no signer": (Token(signers=0), "0 signers"),
        "signed attribute twice": (Token(twice=True), "stands twice"),
        "without signed attributes": (Token(signed_attributes=False), "signed attribute"),
        "other content type": (Token(content_type="1.2.840.113549.1.7.1"), "expected 1.2.840.113549.1.9.16.1.4"),
        "other content type attribute": (Token(attribute_content_type="1.2.3"), "content type attribute"),
        "unknown signature algorithm": (Token(signature_algorithm="1.2.840.113549.1.1.10"), "1.2.840.113549.1.1.10"),
        "algorithm of another digest": (Token(signature_algorithm="1.2.840.10045.4.3.4"), "1.2.840.10045.4.3.4"),
        "critical extension": (Token(critical_extension=True), "critical extension"),
        "accuracy of days": (Token(accuracy=3 * DAY), "accuracy"),
        "before the authority was certified": (Token(time=TIME - 5 * DAY), "is valid"),
        "after it": (Token(time=TIME + 5 * DAY), "is valid"),
        "time that is none": (Token(time_text="20261332000000Z"), "no RFC 3161 token"),
        "local time": (Token(time_text="20261122000000+0100"), "no RFC 3161 token"),
        "first year": (Token(time_text="00010101000000Z"), ""),
        "last year": (Token(time_text="99991231235959Z"), ""),
    }.values(),
)
def test_defective_token_proves_nothing(made: Token, said: str) -> None:
    with pytest.raises(Malformed) as raised:
        checked(made)
    assert said in raised.value.message


def test_attributes_that_were_signed_must_be_those_that_are_read() -> None:
    """An authority's signature of one token can't be carried over to another one, whatever stands as its identity."""
    real = cms.parse(token(b"other bytes", GOOD))
    attributes = read(real.signed)[1]
    for tag in (0xA0, 0x31, 0x30, 0x80):
        with pytest.raises(timestamp.TimestampInvalid):
            checked(Token(time=TIME - timedelta(hours=1), identity=tlv(tag, attributes), signature=real.signature))


@pytest.mark.parametrize("identity", [tlv(0x80, b"key identifier"), sequence()])
def test_identity_of_the_signer_says_nothing(identity: bytes) -> None:
    """Another signed attribute names its certificate; both forms of RFC 5652, section 5.3 are taken."""
    assert checked(Token(identity=identity)).chain == GOOD.chain


def test_token_over_other_bytes_proves_nothing() -> None:
    with pytest.raises(timestamp.TimestampInvalid) as raised:
        timestamp.check(token(b"another signature", GOOD), SIGNED, TRUSTED)
    assert raised.value.code is Code.TIMESTAMP_INVALID


@pytest.mark.parametrize(
    "changes",
    [
        {"critical_extensions": ()},
        {"critical_extensions": (), "purposes": (ExtendedKeyUsageOID.TIME_STAMPING,)},
        {
            "critical_extensions": (
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING]),
            )
        },
        {"critical_extensions": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]),)},
        {"usages": None},
        {"usages": ("digital_signature", "key_encipherment")},
        {"ca": True},
    ],
    ids=["no purpose", "not critical", "another purpose too", "another purpose", "no usage", "other usages", "a CA"],
)
def test_authority_that_may_not_timestamp_proves_nothing(changes: dict[str, Any]) -> None:
    signer = authority(TSA._replace(**changes))
    with pytest.raises(Malformed, match="signing certificate"):
        checked(signer=signer, trusted=roots(signer))


def test_authority_with_a_weak_key_proves_nothing() -> None:
    signer = authority(TSA._replace(kind="RSA-1024"))
    with pytest.raises(Malformed, match="RSA of 1024 bits"):
        checked(signer=signer, trusted=roots(signer))


def test_key_usage_of_an_authority_need_not_be_critical() -> None:
    signer = authority(TSA._replace(usage_critical=False))
    assert checked(signer=signer, trusted=roots(signer)).chain == signer.chain


def test_authority_nobody_trusts_proves_nothing() -> None:
    for trusted in (
        frozenset[bytes](),
        roots(usual_signer()),
        roots(authority(root=ca_profile("Other", key_number=49))),
    ):
        with pytest.raises(timestamp.TimestampInvalid, match="not trusted"):
            checked(trusted=trusted)


def test_signers_own_chain_is_no_timestamp_authority() -> None:
    signer = usual_signer()
    with pytest.raises(Malformed, match="timeStamping"):
        checked(signer=signer, trusted=roots(signer))


def test_search_for_a_root_ends_among_many_certificates_of_one_name() -> None:
    namesakes = [certificate(TSA_ISSUER._replace(key_number=60 + i), TSA_ROOT) for i in range(12)]
    loops = [certificate(TSA_ISSUER, TSA_ISSUER) for _ in range(2)]
    made = Token(certificates=(GOOD.chain[0], *namesakes, *loops))
    with pytest.raises(timestamp.TimestampInvalid, match="not trusted"):
        checked(made)
    assert checked(made._replace(certificates=(GOOD.chain[0], *namesakes, GOOD.chain[1]))).chain == GOOD.chain


def test_signers_certificates_must_be_valid_throughout_the_span() -> None:
    signer = usual_signer()
    found = checked()
    assert timestamp.outside_of(found, signer.chain) == ""
    brief = usual_signer(ends=timedelta(hours=-1), number=3)
    assert "is valid" in timestamp.outside_of(found, brief.chain)
    before = usual_signer(ends=timedelta(hours=1), starts=timedelta(minutes=30), number=4)
    assert "is valid" in timestamp.outside_of(found, before.chain)
    wide = checked(Token(accuracy=timedelta(hours=23)))
    assert "is valid" in timestamp.outside_of(wide, usual_signer(ends=timedelta(hours=1), number=5).chain)


def test_token_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(LimitExceeded):
        cms.parse(b"\x30" * (cms.MAX_TOKEN_SIZE + 1))


def test_indefinite_length_is_refused() -> None:
    good = token(SIGNED, GOOD)
    with pytest.raises(Malformed):
        cms.parse(b"\x30\x80" + good[4:] + b"\0\0")
    with pytest.raises(Malformed):
        cms.parse(good + b"\0")


@pytest.mark.unmeasured
@settings(max_examples=500)
@given(st.integers(0, 3000), st.binary(min_size=0, max_size=4), st.integers(0, 4))
def test_no_altered_token_makes_anything_but_a_typed_error(position: int, inserted: bytes, dropped: int) -> None:
    good = token(SIGNED, GOOD)
    at = position % len(good)
    altered = good[:at] + inserted + good[at + dropped :]
    try:
        found = timestamp.check(altered, SIGNED, TRUSTED)
    except Malformed:
        return
    assert found.chain[-1] == GOOD.root


def test_authority_that_is_not_trusted_is_named() -> None:
    other = ca_profile("Stranger Root CA", key_number=53)
    stranger = authority(TSA._replace(subject=name("tsa.stranger.example")), root=other)
    with pytest.raises(timestamp.TimestampInvalid, match=r"tsa\.stranger\.example"):
        checked(signer=stranger)
