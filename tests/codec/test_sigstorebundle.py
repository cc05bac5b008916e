"""Sigstore bundles: proto3's JSON, read strictly."""

import json
from typing import Any

import pytest

from agent.codec import dsse
from agent.codec.sigstorebundle import MEDIA_TYPES, V01, V02, Bundle, LogEntry, Material, MessageSignature, Proof, parse
from agent.errors import LimitExceeded, Malformed
from tests.codec.evidence import V03, b64, bundle, bundle_of_version_01, dsse_json, entry, material, statement

CHAIN = {"certificates": [{"rawBytes": b64(b"leaf")}]}


def read(value: dict[str, Any]) -> Bundle:
    return parse(json.dumps(value).encode())


def read_entry(**changes: Any) -> LogEntry:
    changed = {name: each for name, each in entry(**changes).items() if each is not ...}
    return read(bundle(verificationMaterial=material(tlogEntries=[changed]))).entries[0]


def proof(**changes: Any) -> dict[str, Any]:
    changed: dict[str, Any] = entry()["inclusionProof"] | changes
    return changed


def test_everything_in_a_bundle_is_read() -> None:
    found = read(bundle())
    assert found.media_type == V03
    assert found.content == dsse.Envelope("application/vnd.in-toto+json", statement(), (b"signature",))
    assert found.material == Material((b"leaf",), None)
    assert found.timestamps == (b"token",)
    checkpoint = "log\n9\ncm9vdA==\n\n\u2014 log AAAAAA==\n"
    inclusion = Proof(3, 9, b"root", (b"h" * 32,), checkpoint)
    assert found.entries == (LogEntry(b"log", 7, 1700000000, "dsse", "0.0.1", b"{}", b"set", inclusion),)


def test_first_version_has_a_chain_and_needs_no_proof() -> None:
    found = read(bundle_of_version_01())
    assert found.material == Material((b"leaf", b"root"), None)
    assert found.entries[0].proof is None
    assert found.content == MessageSignature("SHA2_256", b"d" * 32, b"signature")


def test_key_is_named_by_a_hint() -> None:
    found = read(bundle(verificationMaterial={"publicKey": {"hint": "abc"}}))
    assert (found.material, found.entries, found.timestamps) == (Material((), "abc"), (), ())
    assert read(bundle(verificationMaterial={"publicKey": {}})).material == Material((), "")


def test_members_with_default_values_are_left_out_or_null() -> None:
    found = read_entry(logIndex=..., integratedTime=..., inclusionPromise=..., kindVersion=None)
    assert (found.log_index, found.integrated_time, found.promise, found.kind) == (0, 0, b"", "")
    assert read_entry(inclusionProof=proof(logIndex=None, hashes=None)).proof is not None
    empty = read(bundle(dsseEnvelope={"payloadType": "x", "signatures": [{"sig": b64(b"s")}]}))
    assert isinstance(empty.content, dsse.Envelope) and empty.content.payload == b""


@pytest.mark.parametrize("integer", [5, "5"])
def test_integers_are_strings_or_numbers(integer: object) -> None:
    assert read_entry(logIndex=integer).log_index == 5


@pytest.mark.parametrize(
    "integer", [-1, "-1", "05", "", " 5", "5.0", 5.0, True, 2**63, str(2**63), "9" * 30, "\u0665", []]
)
def test_nothing_else_is_an_integer(integer: object) -> None:
    with pytest.raises(Malformed):
        read_entry(logIndex=integer)


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_each_version_is_read(media_type: str) -> None:
    old = media_type in (V01, V02)
    certificates = {"certificate": None, "x509CertificateChain": CHAIN} if old else {}
    assert read(bundle(mediaType=media_type, verificationMaterial=material(**certificates))).media_type == media_type


@pytest.mark.parametrize(
    "changes",
    [
        {"mediaType": None},
        {"mediaType": ""},
        {"mediaType": "application/vnd.dev.sigstore.bundle.v0.4+json"},
        {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3.1+json"},
        {"mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.4"},
        {"mediaType": []},
        {"mediaType": V01},
        {"mediaType": V02},
        {"more": 1},
        {"media_type": V03},
        {"verificationMaterial": None},
        {"verificationMaterial": []},
        {"verificationMaterial": {}},
        {"verificationMaterial": material(certificate=None)},
        {"verificationMaterial": material(certificate={})},
        {"verificationMaterial": material(certificate={"rawBytes": ""})},
        {"verificationMaterial": material(publicKey={"hint": "x"})},
        {"verificationMaterial": material(certificate=None, x509CertificateChain=CHAIN)},
        {"verificationMaterial": material(certificate=None, publicKey={"hint": 1})},
        {"verificationMaterial": material(more=1)},
        {"verificationMaterial": material(tlogEntries={})},
        {"verificationMaterial": material(timestampVerificationData=[])},
        {"verificationMaterial": material(timestampVerificationData={"rfc3161Timestamps": [{"x": ""}]})},
        {"mediaType": V01, "verificationMaterial": {"x509CertificateChain": {}}},
        {"dsseEnvelope": None},
        {"messageSignature": {}},
        {"dsseEnvelope": None, "messageSignature": {"messageDigest": {}, "signature": "?"}},
        {"dsseEnvelope": dsse_json(more=1)},
        {"dsseEnvelope": dsse_json(signatures=[{"sig": b64(b"1"), "more": 1}])},
        {"dsseEnvelope": dsse_json(signatures=[{"sig": b64(b"1")}] * 2)},
        {"dsseEnvelope": dsse_json(signatures=[])},
    ],
    ids=str,
)
def test_anything_else_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read(bundle(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"logId": ...},
        {"logId": {}},
        {"canonicalizedBody": ...},
        {"canonicalizedBody": "?"},
        {"inclusionProof": ...},
        {"inclusionProof": proof(checkpoint=None)},
        {"inclusionProof": proof(checkpoint={"envelope": 1})},
        {"inclusionProof": proof(hashes=[1])},
        {"inclusionProof": proof(treeSize="-9")},
        {"integratedTime": "soon"},
        {"kindVersion": {"kind": 1}},
        {"more": 1},
    ],
    ids=str,
)
def test_entries_are_whole(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read_entry(**changes)


def test_first_version_needs_a_promise() -> None:
    value = bundle_of_version_01()
    del value["verificationMaterial"]["tlogEntries"][0]["inclusionPromise"]
    with pytest.raises(Malformed, match="inclusionPromise"):
        read(value)


@pytest.mark.parametrize(
    "value",
    [
        bundle(verificationMaterial=material(tlogEntries=[entry()] * 33)),
        bundle(verificationMaterial=material(timestampVerificationData={"rfc3161Timestamps": [{}] * 33})),
        bundle(verificationMaterial=material(tlogEntries=[entry(inclusionProof=proof(hashes=[""] * 65))])),
        bundle(mediaType=V01, verificationMaterial={"x509CertificateChain": {"certificates": [{}] * 17}}),
        bundle(dsseEnvelope=None, messageSignature={"signature": ""}),
        bundle(dsseEnvelope=None, messageSignature={"signature": b64(bytes(5000))}),
        bundle(dsseEnvelope=dsse_json(payload="A" * 4 * 1024 * 1024)),
    ],
    ids=["entries", "timestamps", "hashes", "certificates", "empty", "signature", "all"],
)
def test_everything_has_a_limit(value: dict[str, Any]) -> None:
    with pytest.raises(LimitExceeded):
        read(value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"mediaType": "x", "mediaType": "x"}'])
def test_what_is_no_bundle_at_all_is_malformed(content: bytes) -> None:
    with pytest.raises(Malformed):
        parse(content)
