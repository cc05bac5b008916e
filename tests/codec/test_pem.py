"""Certificates in documents: what is taken, and what a person is told about the rest."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.codec import pem
from agent.errors import LimitExceeded, Malformed

_KEY = ec.generate_private_key(ec.SECP256R1())


def _certificate(name: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(subject, subject, _KEY.public_key(), 7, start, start.replace(year=2036))
    return builder.sign(_KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)


def _key(encoding: serialization.Encoding, password: bytes | None = None) -> bytes:
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return _KEY.private_bytes(encoding, serialization.PrivateFormat.PKCS8, protection)


ONE, TWO = _certificate("one"), _certificate("two")


def test_der_is_taken_as_it_is() -> None:
    assert pem.certificates(ONE, "a.crt") == (ONE,)


def test_a_bundle_gives_its_certificates_in_order() -> None:
    assert pem.certificates(_pem(TWO) + _pem(ONE), "a.crt") == (TWO, ONE)


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm() -> None:
    assert pem.certificates(b"\xef\xbb\xbf" + _pem(ONE).replace(b"\n", b"\r\n"), "a.crt") == (ONE,)


def test_explanations_in_front_of_a_block_are_allowed() -> None:
    assert pem.certificates(b"# the old one\n" + _pem(ONE) + b"\n0 s:CN = two\n" + _pem(TWO), "a.crt") == (ONE, TWO)


@pytest.mark.parametrize(
    "private_key",
    [
        _pem(ONE) + _key(serialization.Encoding.PEM),
        _key(serialization.Encoding.PEM, b"secret"),
        _key(serialization.Encoding.DER),
        _key(serialization.Encoding.DER, b"secret"),
        _key(serialization.Encoding.PEM)[:120],
    ],
)
def test_a_private_key_is_named_and_never_shown(private_key: bytes) -> None:
    with pytest.raises(Malformed, match="private key") as caught:
        pem.certificates(private_key, "a.crt")
    body = _key(serialization.Encoding.PEM).splitlines()[1].decode()
    assert body[:20] not in caught.value.message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "an empty document"),
        (b" \n\n", "an empty document"),
        (b"hello", "no certificate"),
        (ONE + b"\0", "no certificate"),
        (ONE[:-1], "no certificate"),
        (_pem(ONE) + b"trailing", "something after the last block"),
        (_pem(ONE)[:-10], "broken"),
        (_pem(ONE).partition(b"-----END")[0], "does not end"),
        (_pem(ONE).replace(b"MII", b"M!II"), "not base64"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate"),
        (b"-----BEGIN CERTIFICATE-----\n" + _pem(ONE), "broken or without its counterpart"),
        (_pem(ONE) + b"-----END CERTIFICATE-----\n", "broken or without its counterpart"),
        (_pem(ONE).replace(b"CERTIFICATE", b"X509 CRL"), "'X509 CRL'"),
        (_pem(ONE).replace(b"CERTIFICATE", b"PUBLIC KEY"), "'PUBLIC KEY'"),
        (_pem(ONE).replace(b"END CERTIFICATE", b"END X509 CRL"), "broken or without its counterpart"),
    ],
)
def test_what_spoils_a_document_is_told(content: bytes, told: str) -> None:
    with pytest.raises(Malformed, match=told) as caught:
        pem.certificates(content, "ca.crt")
    assert caught.value.message.startswith("ca.crt: got ")


def test_a_huge_certificate_is_refused() -> None:
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    padding = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.1"), b"x" * pem.MAX_CERTIFICATE_SIZE)
    huge = (
        x509.CertificateBuilder(x509.Name([]), x509.Name([]), _KEY.public_key(), 7, start, start.replace(year=2036))
        .add_extension(padding, critical=False)
        .sign(_KEY, hashes.SHA256())
    )
    with pytest.raises(Malformed, match="a certificate of"):
        pem.certificates(huge.public_bytes(serialization.Encoding.PEM), "ca.crt")


def test_everything_wrong_is_told_at_once() -> None:
    spoilt = _pem(ONE).replace(b"CERTIFICATE", b"X509 CRL") + _key(serialization.Encoding.PEM) + b"junk"
    found = pem.contents(_pem(ONE) + spoilt)
    assert len(found.defects) == 3
    assert found.certificates == (ONE,)


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(LimitExceeded):
        pem.certificates(b"\n" * (pem.MAX_SIZE + 1), "a.crt")


def test_too_many_certificates_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pem, "MAX_CERTIFICATES", 2)
    with pytest.raises(LimitExceeded):
        pem.certificates(_pem(ONE) * 3, "a.crt")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [
                    b"-----BEGIN CERTIFICATE-----\n",
                    b"-----END CERTIFICATE-----\n",
                    b"-----",
                    b"\n",
                    b"\xef\xbb\xbf",
                    _pem(ONE),
                    ONE,
                ]
            ),
        ),
        max_size=8,
    ).map(b"".join)
)
def test_any_bytes_give_certificates_or_a_defect(content: bytes) -> None:
    found = pem.contents(content)
    assert found.certificates or found.defects
