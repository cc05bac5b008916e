"""The tests' own authorities: what they say is what their names promise, read by a library and by our own reader."""

import base64
import socket
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone
from typing import get_args

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import ocsp

from agent.errors import Malformed
from agent.trust import timestamp
from tests.signing import Signer, key
from tests.simulators import der, tsa
from tests.simulators.authority import Authority, authority, chain_pem, key_pem, without_next_update
from tests.simulators.responder import OCSP_TYPE, Responder
from tests.trust.answers import List

SIGNATURE = b"signature"


def root_of(made: Signer) -> frozenset[bytes]:
    return frozenset({made.root.public_bytes(serialization.Encoding.DER)})


@pytest.fixture(scope="module")
def acme() -> Authority:
    return authority("acme", "http://127.0.0.1:1", number=60, ocsp=(0, 1), crl=(0,), freshest_at=(0,))


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521", "RSA-2048"])
@pytest.mark.parametrize("hash_name", ["sha256", "sha384", "sha512"])
def test_good_token_counts(kind: str, hash_name: str) -> None:
    made = tsa.usual_tsa(kind=kind)
    at = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(minutes=7)
    read = timestamp.check(tsa.token(SIGNATURE, made, at=at, hash_name=hash_name, accuracy=2), SIGNATURE, root_of(made))
    assert (read.earliest, read.latest) == (at - timedelta(seconds=2), at + timedelta(seconds=2))


HARMLESS = ("", "imprecise")


@pytest.mark.parametrize("flaw", get_args(tsa.Flaw))
def test_flaw_shows(flaw: tsa.Flaw) -> None:
    made = tsa.usual_tsa()
    token = tsa.token(SIGNATURE, made, flaw=flaw)
    if flaw in HARMLESS:
        read = timestamp.check(token, SIGNATURE, root_of(made))
        assert (read.latest - read.earliest > timedelta(minutes=30)) is (flaw == "imprecise")
    else:
        with pytest.raises(Malformed):
            timestamp.check(token, SIGNATURE, root_of(made))


def test_answer_to_a_query_is_of_what_was_asked() -> None:
    made = tsa.usual_tsa()
    imprint = der.sequence(der.sequence(der.identifier("2.16.840.1.101.3.4.2.2"), der.null()), der.octets(bytes(48)))
    nonce = 2**64 + 1
    query = tsa.read_query(der.sequence(der.integer(1), imprint, der.integer(nonce), der.tlv(0x01, b"\xff")))
    assert query == tsa.Query("sha384", bytes(48), nonce)
    assert der.integer(nonce) in tsa.countersigned(query, made)


def test_certificates_name_their_sources(acme: Authority) -> None:
    leaf, issuer, root = acme.signer.chain
    for certificate, depth in ((leaf, 0), (issuer, 1)):
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        assert [each.access_location.value for each in access] == [acme.base + acme.responder(depth)]
    points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [each.full_name[0].value for each in points if each.full_name] == [acme.base + acme.list_path(0)]
    with pytest.raises(x509.ExtensionNotFound):
        root.extensions.get_extension_for_class(x509.AuthorityInformationAccess)


@pytest.mark.parametrize("depth", [0, 1])
def test_answers_and_lists_are_signed_by_the_issuer(acme: Authority, depth: int) -> None:
    revoked = ocsp.load_der_ocsp_response(acme.revoked(depth))
    assert revoked.certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert revoked.serial_number == acme.signer.chain[depth].serial_number
    listing = x509.load_der_x509_crl(acme.listing(depth, List(entries=(acme.entry(depth),))))
    public = acme.signer.chain[depth + 1].public_key()
    assert listing.is_signature_valid(public)  # type: ignore[arg-type]  # of a curve, as all issuers here
    assert listing.get_revoked_certificate_by_serial_number(acme.signer.chain[depth].serial_number) is not None


def test_list_without_an_end_is_signed_again(acme: Authority) -> None:
    listing = x509.load_der_x509_crl(without_next_update(acme.listing(0), key("P-256", acme.key_numbers[1])))
    assert listing.next_update_utc is None
    assert listing.is_signature_valid(acme.signer.chain[1].public_key())  # type: ignore[arg-type]  # as above


def test_key_and_chain_belong_together(acme: Authority) -> None:
    private = serialization.load_pem_private_key(key_pem(acme.signer), None)
    assert x509.load_pem_x509_certificates(chain_pem(acme.signer)) == list(acme.signer.chain)
    assert private.public_key() == acme.signer.chain[0].public_key()


def test_responder_answers_by_get_and_post_and_counts(acme: Authority) -> None:
    with Responder(socket.create_server(("127.0.0.1", 0))) as responder:
        answer = acme.answer(0)
        responder.serve(acme.responder(0), answer)
        responder.serve("/echo", lambda question: question + b"!")
        question = base64.b64encode(b"\xff\xff\xff").decode()  # slashes, as in a question by GET
        with urllib.request.urlopen(f"{responder.base}{acme.responder(0)}/{question}") as response:
            assert (response.headers["Content-Type"], response.read()) == (OCSP_TYPE, answer)
        with urllib.request.urlopen(f"{responder.base}/echo", b"asked") as response:
            assert response.read() == b"asked!"
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(f"{responder.base}{acme.responder(1)}")
        refused.value.close()
        assert (responder.asked(acme.responder(0)), responder.asked(acme.responder(1))) == (1, 1)
