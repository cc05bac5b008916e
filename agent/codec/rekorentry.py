"""What was logged: the canonical bodies of entries in Rekor, Sigstore's transparency log.

Rekor's types hashedrekord 0.0.1, dsse 0.0.1 and intoto 0.0.2 (its first version), hashedrekord 0.0.2 (its second).
All record a signature, with whose key or certificate it was made, and a digest; they differ in what the digest is of.
Other types are refused: some hold less than it takes to tell which signature they are about.  Nothing here is believed:
that a body is in a log is for `agent.trust.transparency` to say.
"""

from typing import Mapping, NamedTuple, Sequence

from agent.codec import pem, strictjson
from agent.codec.jose import base64_standard
from agent.errors import Code, LimitExceeded, Malformed

MAX_SIZE = 128 * 1024
"""Largest body taken, in bytes: usual ones have one to five KiB, most of it a certificate."""

MAX_SIGNATURES = 16
"""Most signatures in one body; nearly all have one."""

_HASHES = {"sha256": "sha256", "sha384": "sha384", "sha512": "sha512"}
_HASHES_OF_V2 = {"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}


class Unsupported(Malformed):
    """An entry of a type that is not read here."""

    code = Code.EVIDENCE_UNSUPPORTED


class Recorded(NamedTuple):
    """One signature that was logged, and the certificate or the public key (DER; the other is empty) behind it."""

    signature: bytes
    certificate: bytes
    key: bytes


class Body(NamedTuple):
    """What an entry says.

    `digest` is of an envelope's payload (`of_payload`), or of the very bytes that were signed, under `algorithm` as
    `hashlib` calls it.
    """

    kind: str
    version: str
    algorithm: str
    digest: bytes
    of_payload: bool
    signatures: tuple[Recorded, ...]


def parse(data: bytes) -> Body:
    """Read a body.  Raises `Malformed` or `LimitExceeded`; `Unsupported` for other types."""
    body = _object(strictjson.decode(data, "log entry", limit=MAX_SIZE), "body")
    kind, version = _text(body, "kind"), _text(body, "apiVersion")
    spec = _object(body.get("spec"), "spec")
    match kind, version:
        case "hashedrekord", "0.0.1":
            algorithm, digest = _hash(_object(spec.get("data"), "data").get("hash"))
            signature = _object(spec.get("signature"), "signature")
            key = _object(signature.get("publicKey"), "publicKey")
            found = (_recorded(_bytes(signature, "content"), _bytes(key, "content")),)
            return Body(kind, version, algorithm, digest, False, found)
        case "dsse", "0.0.1":
            algorithm, digest = _hash(spec.get("payloadHash"))
            pairs = [(_bytes(each, "signature"), _bytes(each, "verifier")) for each in _signatures(spec)]
            return Body(kind, version, algorithm, digest, True, tuple(_recorded(*pair) for pair in pairs))
        case "intoto", "0.0.2":
            content = _object(spec.get("content"), "content")
            algorithm, digest = _hash(content.get("payloadHash"))
            given = _signatures(_object(content.get("envelope"), "envelope"))
            # The signature is in base64 twice: Rekor encodes the envelope's text once more.
            return Body(kind, version, algorithm, digest, True, tuple(map(_twice_encoded, given)))
        case "hashedrekord", "0.0.2":
            return _second_version(kind, version, _object(spec.get("hashedRekordV002"), "hashedRekordV002"))
    got = f"{ascii(kind)[1:-1][:40]} {ascii(version)[1:-1][:20]}"
    raise Unsupported(f"log entry: got type {got}; expected hashedrekord 0.0.1 or 0.0.2, dsse 0.0.1 or intoto 0.0.2")


def _second_version(kind: str, version: str, spec: Mapping[str, object]) -> Body:
    data = _object(spec.get("data"), "data")
    signature = _object(spec.get("signature"), "signature")
    verifier = _object(signature.get("verifier"), "verifier")
    names = [name for name in ("x509Certificate", "publicKey") if name in verifier]
    if len(names) != 1:
        raise Malformed(f"log entry: verifier: got {len(names)} of x509Certificate and publicKey; expected one")
    der = _bytes(_object(verifier[names[0]], names[0]), "rawBytes")
    content = _bytes(signature, "content")
    certificate, key = (der, b"") if names[0] == "x509Certificate" else (b"", der)
    algorithm = _algorithm(data, _HASHES_OF_V2)
    return Body(kind, version, algorithm, _bytes(data, "digest"), False, (Recorded(content, certificate, key),))


def _twice_encoded(given: Mapping[str, object]) -> Recorded:
    inner = _bytes(given, "sig").decode("ascii", "replace")
    return _recorded(base64_standard(inner, "log entry: sig"), _bytes(given, "publicKey"))


def _recorded(signature: bytes, verifier: bytes) -> Recorded:
    """With what stands as PEM in bodies of Rekor's first version."""
    label, der = pem.certificate_or_key(verifier)
    return Recorded(signature, der, b"") if label == pem.CERTIFICATE else Recorded(signature, b"", der)


def _hash(value: object) -> tuple[str, bytes]:
    found = _object(value, "hash")
    text = _text(found, "value")
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if not digest or digest.hex() != text:
        raise Malformed(f"log entry: hash: got {ascii(text)[:80]}; expected lower-case hexadecimal")
    return _algorithm(found, _HASHES), digest


def _algorithm(value: Mapping[str, object], known: Mapping[str, str]) -> str:
    name = _text(value, "algorithm")
    if name not in known:
        raise Malformed(f"log entry: algorithm: got {ascii(name)[:40]}; expected one of {', '.join(known)}")
    return known[name]


def _signatures(value: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    found = value.get("signatures")
    if not isinstance(found, list) or not found:
        raise Malformed("log entry: signatures: got none; expected a list with at least one")
    if len(found) > MAX_SIGNATURES:
        raise LimitExceeded(f"log entry: got {len(found)} signatures; expected at most {MAX_SIGNATURES}")
    return [_object(each, "signatures") for each in found]


def _object(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise Malformed(f"log entry: {name}: got {type(value).__name__}; expected an object")
    return value


def _text(value: Mapping[str, object], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str):
        raise Malformed(f"log entry: {name}: got {type(text).__name__}; expected a string")
    return text


def _bytes(value: Mapping[str, object], name: str) -> bytes:
    return base64_standard(_text(value, name), f"log entry: {name}")
