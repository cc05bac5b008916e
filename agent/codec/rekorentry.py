"""What was logged: the canonical bodies of entries in Rekor, Sigstore's transparency log.

Rekor's types hashedrekord 0.0.1, dsse 0.0.1 and intoto 0.0.2 (its first version), hashedrekord 0.0.2 (its second).
All record a signature, with whose key or certificate it was made, and a digest; they differ in what the digest is of.
Other types are refused: some hold less than it takes to tell which signature they are about.  Nothing here is believed:
that a body is in a log is for `agent.trust.transparency` to say.
"""

from typing import Mapping, NamedTuple, Sequence

from agent.codec import members, pem, strictjson
from agent.codec.jose import base64_standard
from agent.errors import Code, Malformed

MAX_SIZE = 128 * 1024
"""Largest body taken, in bytes: usual ones have one to five KiB, most of it a certificate."""

MAX_SIGNATURES = 16
"""Most signatures in one body; nearly all have one."""

_WHERE = "log entry"
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
    body = members.of(strictjson.decode(data, _WHERE, limit=MAX_SIZE), f"{_WHERE}: body")
    kind, version = members.text(body, "kind", _WHERE), members.text(body, "apiVersion", _WHERE)
    spec = members.nested(body, "spec", _WHERE)
    match kind, version:
        case "hashedrekord", "0.0.1":
            algorithm, digest = _hash(members.nested(spec, "data", _WHERE).get("hash"))
            signature = members.nested(spec, "signature", _WHERE)
            key = members.nested(signature, "publicKey", _WHERE)
            found = (_recorded(_bytes(signature, "content"), _bytes(key, "content")),)
            return Body(kind, version, algorithm, digest, False, found)
        case "dsse", "0.0.1":
            algorithm, digest = _hash(spec.get("payloadHash"))
            pairs = [(_bytes(each, "signature"), _bytes(each, "verifier")) for each in _signatures(spec)]
            return Body(kind, version, algorithm, digest, True, tuple(_recorded(*pair) for pair in pairs))
        case "intoto", "0.0.2":
            content = members.nested(spec, "content", _WHERE)
            algorithm, digest = _hash(content.get("payloadHash"))
            given = _signatures(members.nested(content, "envelope", _WHERE))
            # The signature is in base64 twice: Rekor encodes the envelope's text once more.
            return Body(kind, version, algorithm, digest, True, tuple(map(_twice_encoded, given)))
        case "hashedrekord", "0.0.2":
            return _second_version(kind, version, members.nested(spec, "hashedRekordV002", _WHERE))
    got = f"{ascii(kind)[1:-1][:40]} {ascii(version)[1:-1][:20]}"
    raise Unsupported(f"{_WHERE}: got type {got}; expected hashedrekord 0.0.1 or 0.0.2, dsse 0.0.1 or intoto 0.0.2")


def _second_version(kind: str, version: str, spec: Mapping[str, object]) -> Body:
    data = members.nested(spec, "data", _WHERE)
    signature = members.nested(spec, "signature", _WHERE)
    verifier = members.nested(signature, "verifier", _WHERE)
    names = [name for name in ("x509Certificate", "publicKey") if name in verifier]
    if len(names) != 1:
        raise Malformed(f"{_WHERE}: verifier: got {len(names)} of x509Certificate and publicKey; expected one")
    der = _bytes(members.nested(verifier, names[0], _WHERE), "rawBytes")
    content = _bytes(signature, "content")
    certificate, key = (der, b"") if names[0] == "x509Certificate" else (b"", der)
    algorithm = _algorithm(data, _HASHES_OF_V2)
    return Body(kind, version, algorithm, _bytes(data, "digest"), False, (Recorded(content, certificate, key),))


def _twice_encoded(given: Mapping[str, object]) -> Recorded:
    inner = _bytes(given, "sig").decode("ascii", "replace")
    return _recorded(base64_standard(inner, f"{_WHERE}: sig"), _bytes(given, "publicKey"))


def _recorded(signature: bytes, verifier: bytes) -> Recorded:
    """With what stands as PEM in bodies of Rekor's first version."""
    label, der = pem.certificate_or_key(verifier)
    return Recorded(signature, der, b"") if label == pem.CERTIFICATE else Recorded(signature, b"", der)


def _hash(value: object) -> tuple[str, bytes]:
    found = members.of(value, f"{_WHERE}: hash")
    digest = members.hexadecimal(members.text(found, "value", _WHERE), f"{_WHERE}: hash")
    return _algorithm(found, _HASHES), digest


def _algorithm(value: Mapping[str, object], known: Mapping[str, str]) -> str:
    name = members.text(value, "algorithm", _WHERE)
    if name not in known:
        raise Malformed(f"{_WHERE}: algorithm: got {ascii(name)[:40]}; expected one of {', '.join(known)}")
    return known[name]


def _signatures(value: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    found = members.array(value, "signatures", _WHERE, most=MAX_SIGNATURES, of_what="signatures")
    return [members.of(each, f"{_WHERE}: signatures") for each in found]


def _bytes(value: Mapping[str, object], name: str) -> bytes:
    return base64_standard(members.text(value, name, _WHERE), f"{_WHERE}: {name}")
