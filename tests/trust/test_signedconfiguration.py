"""Who signed a configuration: each kind of key, each algorithm that counts for it, and no other."""

import time
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from agent.codec.pem import MAX_KEY_SIZE
from agent.codec.signaturelines import MAX_SIGNATURES
from agent.errors import Malformed
from agent.trust.signedconfiguration import MAX_KEYS, SigningKey, signer, signing_key
from tests.signing import Profile, key, name
from tests.signing import signer as certified

STATEMENT = b'{"documents":{},"nodeseal":"configuration","version":1}\n'
SHA = {"SHA-1": hashes.SHA1(), "SHA-256": hashes.SHA256(), "SHA-384": hashes.SHA384(), "SHA-512": hashes.SHA512()}  # noqa: S303 - refused, that is the point


def public(private: Any) -> str:
    """The public key as PEM."""
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()  # type: ignore[no-any-return]


def private_pem(private: Any, password: bytes | None = None) -> str:
    """The private key as PEM."""
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection).decode()  # type: ignore[no-any-return]


def signed(private: Any, how: str = "", content: bytes = STATEMENT) -> bytes:
    """A signature, by the algorithm `how`: a digest, and for RSA PSS with a length of salt."""
    digest = SHA[how.split()[0]] if how else SHA["SHA-256"]
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(content, ec.ECDSA(digest))
    if isinstance(private, rsa.RSAPrivateKey):
        salts: dict[str, Any] = {"digest": padding.PSS.DIGEST_LENGTH, "longest": padding.PSS.MAX_LENGTH, "none": 0}
        salt = how.partition(" PSS ")[2]
        way = padding.PSS(padding.MGF1(digest), salts[salt]) if salt else padding.PKCS1v15()
        return private.sign(content, way, digest)
    return private.sign(content)  # type: ignore[no-any-return]


GOOD = [
    ("P-256", "SHA-256"),
    *((curve, digest) for curve in ("P-384", "P-521") for digest in ("SHA-256", "SHA-384", "SHA-512")),
    ("RSA-2048", "SHA-256"),
    ("RSA-2048", "SHA-256 PSS digest"),
    ("RSA-3072", "SHA-256 PSS longest"),
    ("RSA-4096", "SHA-256 PSS none"),
    ("RSA-4096", "SHA-256"),
    ("Ed25519", ""),
]
BAD = [
    ("P-256", "SHA-1"),
    ("P-256", "SHA-512"),
    ("P-384", "SHA-1"),
    ("RSA-2048", "SHA-1"),
    ("RSA-2048", "SHA-512"),
    ("RSA-2048", "SHA-512 PSS digest"),
    ("RSA-2048", "SHA-1 PSS digest"),
]


@pytest.mark.parametrize(("kind", "how"), GOOD)
def test_the_key_that_signed_is_found(kind: str, how: str) -> None:
    private, other = key(kind, 1), signing_key(public(key("P-256", 2)))
    ours = signing_key(public(private))
    signature = signed(private, how)
    assert signer(STATEMENT, [signature], [other, ours]) == ours
    assert signer(STATEMENT, [b"", b"x" * 71, signature], [ours]) == ours
    assert signer(STATEMENT, [signature], [other]) is None
    assert signer(STATEMENT + b"\n", [signature], [ours]) is None
    assert signer(STATEMENT, [signature[:-1]], [ours]) is None
    assert signer(STATEMENT, [signature[:-1] + bytes([signature[-1] ^ 1])], [ours]) is None


@pytest.mark.parametrize(("kind", "how"), BAD)
def test_other_algorithms_do_not_count(kind: str, how: str) -> None:
    private = key(kind, 1)
    assert signer(STATEMENT, [signed(private, how)], [signing_key(public(private))]) is None


@pytest.mark.parametrize("kind", ["P-256", "RSA-2048", "Ed25519"])
def test_another_key_of_the_same_kind_is_not_taken_for_it(kind: str) -> None:
    assert signer(STATEMENT, [signed(key(kind, 1))], [signing_key(public(key(kind, 2)))]) is None


def test_without_signatures_or_keys_nobody_signed() -> None:
    private = key("P-256", 1)
    assert signer(STATEMENT, [], [signing_key(public(private))]) is None
    assert signer(STATEMENT, [signed(private)], []) is None


def test_text_in_front_of_a_key_is_allowed() -> None:
    text = public(key("P-256", 1))
    assert signing_key("the build's, since 2026\n" + text.replace("\n", "\r\n")) == signing_key(text)


def _enormous_exponent() -> str:
    usual = key("RSA-2048", 1).public_key()
    assert isinstance(usual, rsa.RSAPublicKey)
    numbers = rsa.RSAPublicNumbers(2**2000 + 1, usual.public_numbers().n)
    return numbers.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _certificate() -> str:
    return certified(Profile(name("build"))).root.public_bytes(Encoding.PEM).decode()


ONE = public(key("P-256", 1))
SECRET = private_pem(key("P-256", 1))
UNUSABLE = {
    "nothing": ("", "no PEM"),
    "a path": ("/etc/nodeseal/key.pub", "no PEM"),
    "DER in base64": ("".join(ONE.splitlines()[1:-1]), "no PEM"),
    "two keys": (ONE + public(key("P-256", 2)), "2 keys"),
    "half a key": (ONE[:80], "does not end"),
    "something behind it": (ONE + "and more", "after the last block"),
    "not base64": (ONE.replace("MF", "!!", 1), "not base64"),
    "base64 of something else": ("-----BEGIN PUBLIC KEY-----\nQUJD\n-----END PUBLIC KEY-----\n", "can't be read"),
    "a certificate": (_certificate(), "a block 'CERTIFICATE'"),
    "a private key": (SECRET, "a private key, which belongs in no configuration"),
    "a private key that is encrypted": (private_pem(key("P-256", 1), b"secret"), "a private key"),
    "a private key behind the public one": (ONE + SECRET, "a private key"),
    "a private key cut off": (SECRET[:90], "a private key"),
    "RSA of 1024 bits": (public(key("RSA-1024", 1)), "RSA of 1024 bits"),
    "RSA with an enormous exponent": (_enormous_exponent(), "exponent"),
    "P-224": (public(key("P-224", 1)), "secp224r1"),
    "secp256k1": (public(key("P-256k", 1)), "secp256k1"),
    "a long text": ("x" * (MAX_KEY_SIZE + 1), f"expected a public key of at most {MAX_KEY_SIZE}"),
    "a lone surrogate": ("\ud800", "no PEM"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_can_not_be_used_as_a_key_is_refused_and_not_shown(case: str) -> None:
    is_refused(*UNUSABLE[case])


def test_a_dsa_key_is_refused() -> None:
    is_refused(public(key("DSA-2048", 1)), "DSA")


def is_refused(text: str, told: str) -> None:
    """Assert that a text is no key, and that the message says why without showing a private one."""
    with pytest.raises(Malformed) as caught:
        signing_key(text)
    assert told in caught.value.message
    assert caught.value.message.startswith("got ")
    assert "; expected " in caught.value.message
    assert SECRET.splitlines()[1][:12] not in caught.value.message


def test_as_many_signatures_and_keys_as_are_taken_cost_little() -> None:
    keys = [SigningKey(key("P-521", number).public_key(), "") for number in range(MAX_KEYS)]  # type: ignore[arg-type]
    signature = signed(key("P-521", 99))
    start = time.process_time()
    assert signer(STATEMENT * 4000, [signature] * MAX_SIGNATURES, keys) is None
    assert time.process_time() - start < 10
