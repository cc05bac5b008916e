"""Signature algorithms: the key alone chooses one, and a signature holds or does not."""

from datetime import datetime, timezone

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import Certificate, CertificateBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Code
from agent.trust.algorithms import SignatureInvalid, algorithm_of, unfit_to_issue, verify_signature
from tests.signing import Profile, key, name, raw_signature, signer

ALGORITHMS = {
    "RSA-2048": "PS256", "RSA-3072": "PS384", "RSA-4096": "PS512", "P-256": "ES256", "P-384": "ES384", "P-521": "ES512",
}  # fmt: skip
SIGNED = b"protected.payload"


def certificate_of(kind: str) -> Certificate:
    """A certificate for a key of this kind."""
    return signer(Profile(name("build"), kind=kind)).root


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_key_alone_chooses_the_algorithm(kind: str) -> None:
    assert algorithm_of(certificate_of(kind)).name == ALGORITHMS[kind]


@pytest.mark.parametrize("kind", ["RSA-1024", "RSA-2056", "P-192", "P-224", "Ed25519"])
def test_other_keys_sign_nothing(kind: str) -> None:
    with pytest.raises(SignatureInvalid, match="expected RSA of 2048, 3072 or 4096 bits, P-256, P-384 or P-521"):
        algorithm_of(certificate_of(kind))


def test_key_with_an_enormous_exponent_neither_signs_nor_issues() -> None:
    """Its signatures would cost a thousand times as much to check."""
    usual = certificate_of("RSA-2048").public_key()
    assert isinstance(usual, rsa.RSAPublicKey)
    enormous = rsa.RSAPublicNumbers(2**2000 + 1, usual.public_numbers().n).public_key()
    subject = name("build")
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    builder = CertificateBuilder(subject, subject, enormous, 7, start, start.replace(year=2036))
    certificate = builder.sign(key("P-256"), hashes.SHA256())
    with pytest.raises(SignatureInvalid, match="exponent"):
        verify_signature(certificate, "PS256", b"x" * 256, SIGNED)
    assert "exponent" in unfit_to_issue(certificate)


@pytest.mark.parametrize(
    ("kind", "fit"),
    [("RSA-2048", True), ("P-384", True), ("Ed25519", True), ("RSA-1024", False), ("P-224", False), ("P-256k", False)],
)
def test_issuers_keys_are_such_as_may_be_relied_on(kind: str, fit: bool) -> None:
    assert (unfit_to_issue(certificate_of(kind)) == "") is fit


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_signature_holds_for_what_was_signed_alone(kind: str) -> None:
    signature = raw_signature(kind, 0, SIGNED)
    verify_signature(certificate_of(kind), ALGORITHMS[kind], signature, SIGNED)  # raises nothing, but:
    with pytest.raises(SignatureInvalid, match="does not hold"):
        verify_signature(certificate_of(kind), ALGORITHMS[kind], signature, SIGNED + b"x")


@pytest.mark.parametrize("kind", ["RSA-2048", "P-256"])
def test_signature_of_another_key_does_not_hold(kind: str) -> None:
    with pytest.raises(SignatureInvalid, match="does not hold"):
        verify_signature(certificate_of(kind), ALGORITHMS[kind], raw_signature(kind, 7, SIGNED), SIGNED)


@pytest.mark.parametrize("kind", ["RSA-2048", "P-256"])
@pytest.mark.parametrize("algorithm", ["none", "", "HS256", "RS256", "PS384", "ES384", "EdDSA", "ps256", "es256"])
def test_envelope_cannot_choose_another_algorithm(kind: str, algorithm: str) -> None:
    with pytest.raises(SignatureInvalid, match="which the signing key demands"):
        verify_signature(certificate_of(kind), algorithm, raw_signature(kind, 0, SIGNED), SIGNED)


def test_public_key_is_no_shared_secret() -> None:
    import hmac

    public = certificate_of("RSA-2048").public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    secret = str(public.public_numbers().n).encode()
    with pytest.raises(SignatureInvalid):
        verify_signature(certificate_of("RSA-2048"), "HS256", hmac.digest(secret, SIGNED, "sha256"), SIGNED)


def rsa_signature(scheme: str) -> bytes:
    """A signature by the right key in a form that is not JWS's."""
    private = key("RSA-2048")
    assert isinstance(private, rsa.RSAPrivateKey)
    if scheme == "PKCS 1 v1.5":
        return private.sign(SIGNED, padding.PKCS1v15(), hashes.SHA256())
    digest, salt = (hashes.SHA512(), 64) if scheme == "SHA-512" else (hashes.SHA256(), 20)
    return private.sign(SIGNED, padding.PSS(padding.MGF1(digest), salt), digest)


@pytest.mark.parametrize("scheme", ["PKCS 1 v1.5", "SHA-512", "short salt"])
def test_rsa_signature_in_another_form_does_not_hold(scheme: str) -> None:
    with pytest.raises(SignatureInvalid, match="does not hold"):
        verify_signature(certificate_of("RSA-2048"), "PS256", rsa_signature(scheme), SIGNED)


@pytest.mark.parametrize(
    "signature",
    [b"", b"\0" * 63, b"\0" * 65, b"\0" * 128],
    ids=["empty", "one byte short", "one byte long", "twice as long"],
)
def test_elliptic_signature_of_another_length_does_not_hold(signature: bytes) -> None:
    with pytest.raises(SignatureInvalid, match="expected 64 for this curve"):
        verify_signature(certificate_of("P-256"), "ES256", signature, SIGNED)


def test_elliptic_signature_as_der_does_not_hold() -> None:
    private = key("P-256")
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    with pytest.raises(SignatureInvalid):
        verify_signature(certificate_of("P-256"), "ES256", private.sign(SIGNED, ec.ECDSA(hashes.SHA256())), SIGNED)


@pytest.mark.parametrize("signature", [b"\0" * 64, b"\xff" * 64], ids=["zeros", "ones"])
def test_elliptic_signature_out_of_range_does_not_hold(signature: bytes) -> None:
    with pytest.raises(SignatureInvalid, match="does not hold"):
        verify_signature(certificate_of("P-256"), "ES256", signature, SIGNED)


@settings(max_examples=50)
@given(st.binary(max_size=300))
def test_no_bytes_hold_and_none_make_another_exception(signature: bytes) -> None:
    for kind in ("RSA-2048", "P-521"):
        with pytest.raises(SignatureInvalid):
            verify_signature(certificate_of(kind), ALGORITHMS[kind], signature, SIGNED)


def test_refusals_have_their_own_code() -> None:
    assert SignatureInvalid("x").code is Code.SIGNATURE_INVALID
