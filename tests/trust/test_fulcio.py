"""For whom a certificate was issued: said in one way, in a text that people can read."""

from typing import Any

import pytest
from cryptography import x509

from agent.config.cosignschema import OWN_COSIGN_KEYS
from agent.trust.chain import ChainInvalid
from agent.trust.fulcio import CLAIMS, MAX_TEXT, signer_of
from tests import signing_sigstore as sigstore

INSTANCE = sigstore.instance()


@pytest.mark.parametrize(
    "name",
    [
        x509.RFC822Name("alice@example.test"),
        x509.UniformResourceIdentifier("https://example.test/alice"),
    ],
)
def test_subject_is_the_one_name(name: x509.RFC822Name | x509.UniformResourceIdentifier) -> None:
    found = signer_of(INSTANCE.leaf(names=[name]).certificate)
    assert (found.subject, found.issuer, dict(found.claims)) == (name.value, sigstore.ISSUER, {})


def test_every_claim_is_read_under_its_name() -> None:
    leaf = INSTANCE.leaf(claims={arc: f"value of {name}" for name, arc in CLAIMS.items()})
    assert signer_of(leaf.certificate).claims == {name: f"value of {name}" for name in CLAIMS}


@pytest.mark.parametrize("length", [1, 127, 128, 255, 256, MAX_TEXT])
def test_text_of_any_length_is_read(length: int) -> None:
    leaf = INSTANCE.leaf(issuer="x" * length, omitted=("1",))
    assert signer_of(leaf.certificate).issuer == "x" * length


@pytest.mark.parametrize("issuer", ["https://a.example\n", "\x1b[2J", "", "x" * (MAX_TEXT + 1), "a\u202eb"])
def test_text_that_people_can_not_read_is_refused(issuer: str) -> None:
    for omitted in ("1", "8"):
        with pytest.raises(ChainInvalid) as refused:
            signer_of(INSTANCE.leaf(issuer=issuer, omitted=(omitted,)).certificate)
        assert refused.value.message.isprintable()


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\x0c",
        b"\x0c\x05abc",
        b"\x04\x03abc",
        b"\x0c\x02\xff\xff",
        b"https://plain",
        b"\x0c\x81\x03abc",
        b"\x0c\x82\x00\x03abc",
        b"\x0c\x84\xff\xff\xff\xff",
        b"\x0c\x80",
        b"\x0c\x03abcd",
    ],
)
def test_text_that_is_no_utf8_string_is_refused(encoded: bytes) -> None:
    with pytest.raises(ChainInvalid):
        signer_of(INSTANCE.leaf(encoded_issuer=encoded, omitted=("1",)).certificate)


def test_each_claim_can_be_asked_for() -> None:
    items: Any = OWN_COSIGN_KEYS["identities"]
    assert set(items["items"]["properties"]["claims"]["properties"]) == set(CLAIMS)
