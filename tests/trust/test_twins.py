"""Certificates that say the same in other bytes."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from agent.trust import chain as chains
from agent.trust import twins
from tests.signing import Profile, ca_profile, certificate, name


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521"])
def test_ecdsa_signature_has_a_twin_that_holds_and_whose_twin_it_is(kind: str) -> None:
    issuer = ca_profile("CA", kind=kind)
    root, made = certificate(issuer, issuer), certificate(Profile(name("leaf")), issuer)
    der = made.public_bytes(Encoding.DER)
    found = [x509.load_der_x509_certificate(each) for each in twins.of(der)]
    holding = [each for each in found if chains.is_issued_by(each, root)]
    assert len(holding) == 1
    twin = holding[0].public_bytes(Encoding.DER)
    assert twin != der and holding[0].tbs_certificate_bytes == made.tbs_certificate_bytes
    assert der in twins.of(twin)


@pytest.mark.parametrize("kind", ["RSA-2048", "Ed25519"])
def test_no_other_signature_has_one(kind: str) -> None:
    issuer = ca_profile("CA", kind=kind)
    assert not [*twins.of(certificate(issuer, issuer).public_bytes(Encoding.DER))]


def test_what_is_no_certificate_has_none() -> None:
    assert not [*twins.of(b"the leaf")]
