"""Certificates in documents: which may be trusted for what, and what spoils a document."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from agent.errors import Problem
from agent.model.documents import Document
from agent.trust.certificate_documents import ROOTS, SIGNERS, Rule, accepted, read
from tests.signing import ca_profile, certificate, signer, usual_signer

SIGNER = usual_signer()
SELF_SIGNED, (LEAF, INTERMEDIATE, ROOT) = signer().root, SIGNER.chain
FOREIGN = certificate(ca_profile("root"), ca_profile("root", key_number=3))
"""A CA that is issued by one of the same name, with another key."""


def found(rule: Rule, *contents: bytes) -> tuple[list[bytes], list[Problem]]:
    """What a rule accepts of documents, and what it says."""
    problems: list[Problem] = []
    documents = [Document(f"{i}", content, f"{i}") for i, content in enumerate(contents)]
    return list(read(documents, "at", rule, problems).values()), problems


def der(each: x509.Certificate) -> bytes:
    """A certificate as DER."""
    return each.public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("each", "for_signers", "for_time"),
    [
        (ROOT, True, True),
        (INTERMEDIATE, True, False),
        (SELF_SIGNED, True, False),
        (LEAF, False, False),
        (FOREIGN, True, False),
        (certificate(ca_profile("odd", kind="Ed25519"), ca_profile("odd", kind="Ed25519")), True, True),
        (certificate(ca_profile("odd", kind="DSA-2048"), ca_profile("odd", kind="DSA-2048")), True, True),
    ],
    ids=["root", "intermediate", "self-signed", "leaf", "self-issued", "Ed25519", "DSA"],
)
def test_rule_decides_what_may_be_trusted(each: x509.Certificate, for_signers: bool, for_time: bool) -> None:
    assert (found(SIGNERS, der(each))[0] == [der(each)]) is for_signers
    assert (found(ROOTS, der(each))[0] == [der(each)]) is for_time
    assert list(accepted({"x": der(each)}, ROOTS)) == (["x"] if for_time else [])


@pytest.mark.parametrize("error", [False, True])
def test_certificate_that_the_rule_does_not_accept_is_told(error: bool) -> None:
    _, (problem,) = found(SIGNERS._replace(error=error), der(LEAF))
    assert problem.fatal is error
    assert problem.path == "at: 0"
    assert LEAF.subject.rfc4514_string() in problem.got


def test_document_with_anything_else_in_it_gives_nothing_and_others_do() -> None:
    good = ROOT.public_bytes(Encoding.PEM)
    ders, (problem,) = found(
        SIGNERS, good + b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n", der(ROOT)
    )
    assert ders == [der(ROOT)]
    assert problem.fatal
    assert problem.path == "at: 0"


def test_certificate_over_which_the_library_stumbles_later_spoils_its_document() -> None:
    broken = der(ROOT).replace(b"\x0c\x04Acme", b"\x0c\x04\xff\xfe\xfd\xfc", 1)
    assert broken != der(ROOT)
    ders, (problem,) = found(SIGNERS, broken)
    assert ders == []
    assert problem.fatal
