"""Keys that sign images: which are read, which are refused, and which signatures are theirs."""

import time
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from agent.codec import pem
from agent.errors import Malformed, Problem
from agent.model.documents import Document
from agent.trust import publickeys
from tests.signing import key
from tests.signing_cosign import hint, public_der, public_pem, raw_signature

SIGNED = b"what was signed"
GOOD = [
    ("P-256", "SHA-256"), ("P-384", "SHA-256"), ("P-384", "SHA-384"), ("P-521", "SHA-256"), ("P-521", "SHA-512"),
    ("RSA-2048", "SHA-256"), ("RSA-3072", "SHA-256"), ("RSA-4096", "SHA-256"), ("Ed25519", "SHA-256"),
]  # fmt: skip
BAD = [
    ("P-256", "SHA-384"), ("P-256", "SHA-512"), ("P-384", "SHA-512"), ("P-521", "SHA-384"),
    ("RSA-2048", "SHA-384"), ("RSA-2048", "SHA-512"), ("RSA-2048", "SHA-256 PSS"),
]  # fmt: skip
UNUSUAL = [hashes.SHA1(), hashes.SHA224(), hashes.SHA3_256()]  # noqa: S303  what must not count
REFUSED = ["P-192", "P-224", "P-256k", "P-256b", "RSA-1024", "DSA-2048"]


def read(*contents: bytes) -> tuple[dict[str, bytes], list[Problem]]:
    """What a configuration gets of documents."""
    problems: list[Problem] = []
    documents = [Document(f"{i}.pub", each, f"{i}.pub") for i, each in enumerate(contents)]
    return publickeys.read(documents, "keys", problems), problems


@pytest.mark.parametrize(("kind", "how"), GOOD)
def test_signature_by_an_algorithm_of_the_key_is_the_keys(kind: str, how: str) -> None:
    loaded = publickeys.load(public_der(kind))
    signature = raw_signature(SIGNED, kind, how=how)
    assert loaded.made(signature, SIGNED)
    assert not loaded.made(signature, SIGNED + b" ")
    assert not loaded.made(signature[:-1], SIGNED)
    assert not loaded.made(signature + b"\0", SIGNED)
    assert not loaded.made(b"", SIGNED)
    assert not publickeys.load(public_der(kind, 1)).made(signature, SIGNED)


@pytest.mark.parametrize(("kind", "how"), BAD)
def test_signature_by_another_algorithm_is_not_the_keys(kind: str, how: str) -> None:
    assert not publickeys.load(public_der(kind)).made(raw_signature(SIGNED, kind, how=how), SIGNED)


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521", "RSA-2048"])
@pytest.mark.parametrize("digest", UNUSUAL, ids=lambda each: each.name)
def test_signature_over_a_weak_or_unusual_hash_is_nobodys(kind: str, digest: hashes.HashAlgorithm) -> None:
    private = key(kind, 0)  # which is that of `public_der`
    if isinstance(private, ec.EllipticCurvePrivateKey):
        signature = private.sign(SIGNED, ec.ECDSA(digest))
    else:
        assert isinstance(private, rsa.RSAPrivateKey)
        signature = private.sign(SIGNED, padding.PKCS1v15(), digest)
    assert publickeys.load(public_der(kind)).made(raw_signature(SIGNED, kind), SIGNED)
    assert not publickeys.load(public_der(kind)).made(signature, SIGNED)


def test_two_integers_side_by_side_are_no_signature() -> None:
    r, s = decode_dss_signature(raw_signature(SIGNED))
    assert not publickeys.load(public_der()).made(r.to_bytes(32, "big") + s.to_bytes(32, "big"), SIGNED)


def test_enormous_signature_is_not_looked_at() -> None:
    assert not publickeys.load(public_der("RSA-2048")).made(b"\1" * (publickeys.MAX_SIGNATURE_SIZE + 1), SIGNED)


@pytest.mark.parametrize("kind", REFUSED)
def test_key_of_another_kind_is_refused(kind: str) -> None:
    found, (problem,) = read(public_pem(kind))
    assert not found
    assert problem.fatal
    assert problem.path == "keys: 0.pub"
    assert publickeys.EXPECTED in problem.expected


def test_unusual_exponent_is_told_and_an_absurd_one_is_refused() -> None:
    three = rsa.generate_private_key(3, 2048).public_key()
    found, (problem,) = read(three.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert found
    assert not problem.fatal
    assert "the exponent 3" in problem.got
    absurd = rsa.RSAPublicNumbers(2**32 + 1, three.public_numbers().n).public_key()
    found, (problem,) = read(absurd.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert not found
    assert "an exponent above 2^31" in problem.got


def test_fingerprint_is_that_of_the_spki_however_the_key_was_written() -> None:
    two = read(public_pem("RSA-2048"), public_pem("RSA-2048", form=PublicFormat.PKCS1))
    assert two == ({publickeys.load(public_der("RSA-2048")).fingerprint: public_der("RSA-2048")}, [])
    compressed = key("P-256").public_key()
    assert isinstance(compressed, ec.EllipticCurvePublicKey)
    assert publickeys.load(public_der()).hint == hint()


def test_several_keys_in_one_document_all_count() -> None:
    found, problems = read(public_pem() + b"\n" + public_pem("Ed25519"), public_pem("P-384"))
    assert problems == []
    assert set(found.values()) == {public_der(), public_der("Ed25519"), public_der("P-384")}


def private_pem() -> bytes:
    """A private key."""
    return key("P-256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


ENCRYPTED = b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nc2VjcmV0\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda: b"", "no PEM"),
        (lambda: b"\x30\x59", "no PEM"),
        (lambda: public_der(), "no PEM"),
        (lambda: public_pem() + b"more", "something after the last block (line 5)"),
        (lambda: public_pem() + b"-----BEGIN PUBLIC KEY-----\n", "a block that does not end (line 5)"),
        (lambda: public_pem().replace(b"PUBLIC", b"EC PUBLIC"), "a block 'EC PUBLIC KEY' (line 1)"),
        (lambda: public_pem().replace(b"PUBLIC KEY", b"CERTIFICATE"), "a block 'CERTIFICATE' (line 1)"),
        (lambda: public_pem().replace(b"M", b"!", 1), "a block that is not base64 (line 1)"),
        (lambda: b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "a public key that can't be read"),
        (lambda: public_pem() * (pem.MAX_KEYS + 1), f"{pem.MAX_KEYS + 1} public keys"),
        (lambda: b" " * (pem.MAX_SIZE + 1), f"{pem.MAX_SIZE + 1} bytes"),
    ],
)
def test_what_is_no_document_of_public_keys_is_told(content: Any, told: str) -> None:
    found, (problem,) = read(content())
    assert not found
    assert problem.fatal
    assert problem.got == told


@pytest.mark.parametrize("content", [private_pem, lambda: ENCRYPTED, lambda: public_pem() + private_pem()])
def test_private_key_is_told_as_such_and_not_shown(content: Any) -> None:
    _, (problem,) = read(content())
    assert "a private key, which belongs in no configuration" in problem.got
    secret = content().split(b"\n")[1].decode()
    assert secret not in str(problem)


def test_what_is_no_key_is_not_loaded() -> None:
    with pytest.raises(Malformed, match="can't be read"):
        publickeys.load(b"\x30\x00")


def test_what_was_signed_is_hashed_once_however_many_keys_there_are() -> None:
    """Whoever attaches a statement chooses how large it is: it takes no time for each of the keys."""
    signed, kinds = bytes(8 * 1024 * 1024), ("P-256", "P-384", "RSA-2048")
    keys = [publickeys.load(public_der(kind)) for kind in kinds]
    digests: publickeys.Digests = {}
    for each in keys:
        each.made(b"none", signed, digests)
    begun = time.process_time()
    for each in keys * 20:
        assert not each.made(b"none", signed, digests)
    assert time.process_time() - begun < 0.5  # it took two seconds
    assert sorted(digests) == ["sha256", "sha384"]
    for kind, each in zip(kinds, keys, strict=True):
        assert each.made(raw_signature(signed, kind), signed, digests)
        assert not each.made(raw_signature(b"else", kind), signed, digests)
