"""What logs keep: which signature, by whom, over what."""

import json
from typing import Any

import pytest

from agent.codec.rekorentry import Body, Recorded, Unsupported, parse
from agent.errors import LimitExceeded, Malformed
from tests.signing import key
from tests.signing_sigstore import (
    b64,
    dsse_body,
    hashedrekord,
    instance,
    intoto_body,
    pem_of,
    second_body,
    sha256,
    spki,
)
from tests.sigstore_cases import changed

LEAF = instance().leaf()
KEY = key("P-256", 8000)
KEY_RECORD = {"publicKey": {"rawBytes": b64(spki(KEY))}}


def test_each_type_is_read() -> None:
    by_certificate, by_key = Recorded(b"sig", LEAF.der, b""), Recorded(b"sig", b"", spki(KEY))
    digest = sha256(b"what")
    for verifier, recorded in ((LEAF.pem, by_certificate), (pem_of(KEY), by_key)):
        assert parse(hashedrekord(b"what", b"sig", verifier)) == Body(
            "hashedrekord", "0.0.1", "sha256", digest, False, (recorded,)
        )
        assert parse(dsse_body(b"what", b"sig", verifier)) == Body("dsse", "0.0.1", "sha256", digest, True, (recorded,))
        assert parse(intoto_body(b"what", b"sig", verifier)) == Body(
            "intoto", "0.0.2", "sha256", digest, True, (recorded,)
        )
    certificate = {"x509Certificate": {"rawBytes": b64(LEAF.der)}}
    for verifier_json, recorded in ((certificate, by_certificate), (KEY_RECORD, by_key)):
        assert parse(second_body(b"what", b"sig", verifier_json)) == Body(
            "hashedrekord", "0.0.2", "sha256", digest, False, (recorded,)
        )
    assert parse(second_body(b"what", b"sig", KEY_RECORD, "sha384")).algorithm == "sha384"


@pytest.mark.parametrize(("kind", "version"), [("rekord", "0.0.1"), ("dsse", "0.0.2"), ("hashedrekord", "0.0.3")])
def test_other_types_are_unsupported(kind: str, version: str) -> None:
    with pytest.raises(Unsupported, match=f"got type {kind} {version}"):
        parse(json.dumps({"kind": kind, "apiVersion": version, "spec": {}}).encode())


FIRST, DSSE = hashedrekord(b"what", b"sig", LEAF.pem), dsse_body(b"what", b"sig", LEAF.pem)
SECOND, INTOTO = second_body(b"what", b"sig", KEY_RECORD), intoto_body(b"what", b"sig", LEAF.pem)
SECOND_PATH = "spec.hashedRekordV002"


@pytest.mark.parametrize(
    ("body", "path", "value"),
    [
        (FIRST, "kind", None),
        (FIRST, "apiVersion", 1),
        (FIRST, "spec", []),
        (FIRST, "spec.data", None),
        (FIRST, "spec.data.hash.algorithm", "sha1"),
        (FIRST, "spec.data.hash.algorithm", "md5"),
        (FIRST, "spec.data.hash.value", ""),
        (FIRST, "spec.data.hash.value", "AB" * 32),
        (FIRST, "spec.data.hash.value", "a b"),
        (FIRST, "spec.signature.content", "?"),
        (FIRST, "spec.signature.publicKey.content", b64(b"no PEM")),
        (FIRST, "spec.signature.publicKey.content", b64(LEAF.pem * 2)),
        (FIRST, "spec.signature.publicKey", None),
        (DSSE, "spec.signatures", []),
        (DSSE, "spec.signatures", {}),
        (DSSE, "spec.signatures", {"signature": "AAAA"}),
        (DSSE, "spec.signatures", ["x"]),
        (DSSE, "spec.payloadHash", None),
        (INTOTO, "spec.content.envelope.signatures", [{"publicKey": b64(LEAF.pem), "sig": b64(b"\xff")}]),
        (INTOTO, "spec.content.envelope", None),
        (SECOND, SECOND_PATH, None),
        (SECOND, f"{SECOND_PATH}.data.algorithm", "SHA2_224"),
        (SECOND, f"{SECOND_PATH}.signature.verifier.publicKey", None),
        (SECOND, f"{SECOND_PATH}.signature.verifier.x509Certificate", {"rawBytes": ""}),
        (SECOND, f"{SECOND_PATH}.signature.verifier.publicKey.rawBytes", 1),
    ],
)
def test_anything_else_is_malformed(body: bytes, path: str, value: Any) -> None:
    with pytest.raises(Malformed):
        parse(json.dumps(changed(json.loads(body), path, value)).encode())


@pytest.mark.parametrize("content", [b"", b"[]", FIRST[:-1] + b',"kind":"dsse"}'])
def test_what_is_no_body_at_all_is_malformed(content: bytes) -> None:
    with pytest.raises(Malformed):
        parse(content)


def test_all_signatures_of_an_envelope_are_read() -> None:
    value = json.loads(DSSE)
    other = {"signature": b64(b"another"), "verifier": b64(pem_of(KEY))}
    several = changed(value, "spec.signatures", [other, *value["spec"]["signatures"]])
    found = parse(json.dumps(several).encode()).signatures
    assert [each.signature for each in found] == [b"another", *(each.signature for each in parse(DSSE).signatures)]
    assert [bool(each.key) for each in found] == [True, False]


def test_size_and_number_have_limits() -> None:
    many = changed(json.loads(DSSE), "spec.signatures", [{}] * 17)
    for content in (b" " * 129 * 1024, json.dumps(many).encode()):
        with pytest.raises(LimitExceeded):
            parse(content)
