"""Sigstore bundles: a signature and all that it takes to verify it, in one JSON text.

Sigstore protobuf-specs, sigstore_bundle.proto, versions 0.1 to 0.3, in proto3's JSON form: lowerCamelCase names,
members with default values left out, 64-bit integers as strings or numbers.  Stricter than that form where two readers
might see different things: no other spelling of a name, no unknown member anywhere.  The member rules of each version
are kept here; whether any of it can be believed is for `agent.trust` to say.
"""

from typing import Mapping, NamedTuple, Sequence

from agent.codec import dsse, members, strictjson
from agent.codec.jose import base64_either
from agent.errors import LimitExceeded, Malformed

MAX_SIZE = 4 * 1024 * 1024
"""Largest bundle taken, in bytes: it may hold a whole bill of materials."""

MAX_ENTRIES = 32
"""Most log entries: the bound that Sigstore's own verifier has."""

MAX_TIMESTAMPS = 32
"""Most timestamps: the bound that Sigstore's own verifier has."""

MAX_CERTIFICATES = 16
"""Most certificates of one bundle; usual ones have one to three."""

MAX_HASHES = 64
"""Most hashes of one inclusion proof: a log with 2^64 entries has that many levels."""

V01, V02, V03 = (f"application/vnd.dev.sigstore.bundle+json;version=0.{number}" for number in (1, 2, 3))
_VERSIONS = {V01: 1, V02: 2, V03: 3, "application/vnd.dev.sigstore.bundle.v0.3+json": 3}
MEDIA_TYPES = tuple(_VERSIONS)
"""Every media type that is taken, spelt exactly so."""

_MAX_INTEGER = 2**63 - 1


class MessageSignature(NamedTuple):
    """A signature over a message that is not in the bundle; its digest there is a hint that nobody signed."""

    algorithm: str
    digest: bytes
    signature: bytes


class Material(NamedTuple):
    """What to verify with: certificates (DER, the signer's first), or a key by a `hint` that nobody signed."""

    certificates: tuple[bytes, ...]
    hint: str | None


class Proof(NamedTuple):
    """That an entry is in a tree.

    `log_index` is its place in a tree of `size` entries; `hashes` lead to the tree's `root`, which `checkpoint`, a
    signed note, names as well.
    """

    log_index: int
    size: int
    root: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str


class LogEntry(NamedTuple):
    """One entry of a transparency log.

    `log_id` says which log; `integrated_time` is in seconds since 1970, 0 for none, and proves nothing without a
    `promise` (signed entry timestamp; empty for none); `body` is the canonical JSON that was logged.
    """

    log_id: bytes
    log_index: int
    integrated_time: int
    kind: str
    version: str
    body: bytes
    promise: bytes
    proof: Proof | None


class Bundle(NamedTuple):
    """One bundle.  `timestamps` are RFC 3161 responses in DER, not read yet."""

    media_type: str
    content: dsse.Envelope | MessageSignature
    material: Material
    entries: tuple[LogEntry, ...]
    timestamps: tuple[bytes, ...]


def parse(data: bytes) -> Bundle:
    """Read a bundle.  Raises `Malformed` or `LimitExceeded`."""
    where = "bundle"
    value = _message(strictjson.decode(data, where, limit=MAX_SIZE), where, _BUNDLE)
    media_type = value.get("mediaType")
    if not isinstance(media_type, str) or media_type not in _VERSIONS:
        raise Malformed(f"bundle: mediaType: got {ascii(media_type)[:80]}; expected one of {', '.join(MEDIA_TYPES)}")
    version = _VERSIONS[media_type]
    material = _message(value.get("verificationMaterial"), "verificationMaterial", _MATERIAL)
    entries = _list(material, "tlogEntries", "verificationMaterial", MAX_ENTRIES)
    return Bundle(
        media_type=media_type,
        content=_content(value),
        material=_key_material(material, version),
        entries=tuple(_entry(each, f"tlogEntries[{i}]", version) for i, each in enumerate(entries)),
        timestamps=_timestamps(material),
    )


def _content(bundle: Mapping[str, object]) -> dsse.Envelope | MessageSignature:
    name = _one_of(bundle, ("dsseEnvelope", "messageSignature"), "bundle")
    value = _message(bundle[name], name, _CONTENTS[name])
    if name == "dsseEnvelope":
        for i, each in enumerate(_list(value, "signatures", name, dsse.MAX_SIGNATURES)):
            _message(each, f"{name}: signatures[{i}]", ("sig", "keyid"))
        # Bytes that are empty are left out in this form.
        envelope = dsse.from_json({"payload": ""} | value, name)
        if len(envelope.signatures) != 1:
            raise Malformed(f"{name}: got {len(envelope.signatures)} signatures; expected exactly one in a bundle")
        return envelope
    digest = _message(value.get("messageDigest", {}), "messageDigest", ("algorithm", "digest"))
    signature = _bytes(value, "signature", name)
    if not 0 < len(signature) <= dsse.MAX_SIGNATURE_SIZE:
        raise LimitExceeded(f"{name}: got {len(signature)} bytes; expected 1 to {dsse.MAX_SIGNATURE_SIZE}")
    return MessageSignature(_text(digest, "algorithm", name), _bytes(digest, "digest", name), signature)


def _key_material(material: Mapping[str, object], version: int) -> Material:
    """The certificate in the form that the version demands: a chain until 0.2, a single one since 0.3."""
    form = "certificate" if version >= 3 else "x509CertificateChain"
    name = _one_of(material, ("publicKey", "certificate", "x509CertificateChain"), "verificationMaterial")
    value = _message(material[name], name, _MATERIALS[name])
    if name == "publicKey":
        return Material((), _text(value, "hint", name))
    if name != form:
        raise Malformed(f"verificationMaterial: got {name} in a bundle of version 0.{version}; expected {form}")
    certificates: Sequence[object] = [value]
    if name == "x509CertificateChain":
        certificates = _list(value, "certificates", name, MAX_CERTIFICATES)
    found = tuple(_bytes(_message(each, name, ("rawBytes",)), "rawBytes", name) for each in certificates)
    if not all(found) or not found:
        raise Malformed(f"{name}: got no certificate; expected at least the signing certificate")
    return Material(found, None)


def _entry(value: object, where: str, version: int) -> LogEntry:
    entry = _message(value, where, _ENTRY)
    kind = _message(entry.get("kindVersion", {}), f"{where}: kindVersion", ("kind", "version"))
    log = _message(entry.get("logId", {}), f"{where}: logId", ("keyId",))
    promise = _message(entry.get("inclusionPromise", {}), f"{where}: inclusionPromise", ("signedEntryTimestamp",))
    proof = _proof(entry["inclusionProof"], f"{where}: inclusionProof") if "inclusionProof" in entry else None
    found = LogEntry(
        log_id=_bytes(log, "keyId", where),
        log_index=_integer(entry, "logIndex", where),
        integrated_time=_integer(entry, "integratedTime", where),
        kind=_text(kind, "kind", where),
        version=_text(kind, "version", where),
        body=_bytes(entry, "canonicalizedBody", where),
        promise=_bytes(promise, "signedEntryTimestamp", where),
        proof=proof,
    )
    if not found.log_id or not found.body:
        raise Malformed(f"{where}: got an entry without logId or canonicalizedBody; expected both")
    if version == 1 and not found.promise:
        raise Malformed(f"{where}: got no inclusionPromise; a bundle of version 0.1 must have one")
    if version >= 2 and (proof is None or not proof.checkpoint):
        raise Malformed(f"{where}: got no inclusionProof with a checkpoint; a bundle since version 0.2 must have one")
    return found


def _proof(value: object, where: str) -> Proof:
    proof = _message(value, where, ("logIndex", "rootHash", "treeSize", "hashes", "checkpoint"))
    hashes = _list(proof, "hashes", where, MAX_HASHES)
    return Proof(
        log_index=_integer(proof, "logIndex", where),
        size=_integer(proof, "treeSize", where),
        root=_bytes(proof, "rootHash", where),
        hashes=tuple(_bytes({"hash": each}, "hash", where) for each in hashes),
        checkpoint=_text(_message(proof.get("checkpoint", {}), where, ("envelope",)), "envelope", where),
    )


def _timestamps(material: Mapping[str, object]) -> tuple[bytes, ...]:
    where = "timestampVerificationData"
    data = _message(material.get(where, {}), where, ("rfc3161Timestamps",))
    tokens = _list(data, "rfc3161Timestamps", where, MAX_TIMESTAMPS)
    return tuple(_bytes(_message(each, where, ("signedTimestamp",)), "signedTimestamp", where) for each in tokens)


def _message(value: object, where: str, names: Sequence[str]) -> dict[str, object]:
    """The members of a message; null is how this form writes a member that is not there."""
    found = members.of(value, where)
    for name in found:
        if name not in names:
            raise Malformed(f"{where}: got the unknown member {ascii(name)[:60]}; expected {', '.join(names)}")
    return {name: each for name, each in found.items() if each is not None}


def _one_of(value: Mapping[str, object], names: Sequence[str], where: str) -> str:
    found = [name for name in names if name in value]
    if len(found) != 1:
        raise Malformed(f"{where}: got {' and '.join(found) or 'none'} of {', '.join(names)}; expected exactly one")
    return found[0]


def _list(value: Mapping[str, object], name: str, where: str, most: int) -> Sequence[object]:
    found = value.get(name, [])
    if not isinstance(found, list):
        raise Malformed(f"{where}: {name}: got {type(found).__name__}; expected a list")
    if len(found) > most:
        raise LimitExceeded(f"{where}: {name}: got {len(found)}; expected at most {most}")
    return found


def _text(value: Mapping[str, object], name: str, where: str) -> str:
    return members.text(value, name, where, default="")


def _bytes(value: Mapping[str, object], name: str, where: str) -> bytes:
    return base64_either(_text(value, name, where), f"{where}: {name}")


def _integer(value: Mapping[str, object], name: str, where: str) -> int:
    """A 64-bit integer; all that stand in a bundle are counts or times, none below zero."""
    found = value.get(name, 0)
    if isinstance(found, str) and found.isascii() and found.isdigit() and (found == "0" or found[0] != "0"):
        found = int(found) if len(found) < strictjson.MAX_DIGITS else None
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= _MAX_INTEGER:
        raise Malformed(f"{where}: {name}: got {ascii(value[name])[:40]}; expected an integer from 0 to 2^63 - 1")
    return found


_BUNDLE = ("mediaType", "verificationMaterial", "messageSignature", "dsseEnvelope")
_MATERIAL = ("publicKey", "certificate", "x509CertificateChain", "tlogEntries", "timestampVerificationData")
_MATERIALS = {"publicKey": ("hint",), "certificate": ("rawBytes",), "x509CertificateChain": ("certificates",)}
_CONTENTS = {
    "dsseEnvelope": ("payload", "payloadType", "signatures"),
    "messageSignature": ("messageDigest", "signature"),
}
_ENTRY = (
    "logIndex", "logId", "kindVersion", "integratedTime", "inclusionPromise", "inclusionProof", "canonicalizedBody",
)  # fmt: skip
