"""Certificates in documents: what is taken, and what a person is told about the rest."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.codec import pem

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
    assert pem.contents(ONE) == ((ONE,), ())


def test_a_bundle_gives_its_certificates_in_order() -> None:
    assert pem.contents(_pem(TWO) + _pem(ONE)) == ((TWO, ONE), ())


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm() -> None:
    assert pem.contents(b"\xef\xbb\xbf" + _pem(ONE).replace(b"\n", b"\r\n")) == ((ONE,), ())


def test_explanations_in_front_of_a_block_are_allowed() -> None:
    assert pem.contents(b"# the old one\n" + _pem(ONE) + b"\n0 s:CN = two\n" + _pem(TWO)) == ((ONE, TWO), ())


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
    told = ", ".join(pem.contents(private_key).defects)
    assert "private key" in told
    body = _key(serialization.Encoding.PEM).splitlines()[1].decode()
    assert body[:20] not in told


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
    assert told in ", ".join(pem.contents(content).defects)


def test_a_huge_certificate_is_refused() -> None:
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    padding = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.1"), b"x" * pem.MAX_CERTIFICATE_SIZE)
    huge = (
        x509.CertificateBuilder(x509.Name([]), x509.Name([]), _KEY.public_key(), 7, start, start.replace(year=2036))
        .add_extension(padding, critical=False)
        .sign(_KEY, hashes.SHA256())
    )
    assert pem.contents(huge.public_bytes(serialization.Encoding.PEM)).defects[0].startswith("a certificate of ")


def test_everything_wrong_is_told_at_once() -> None:
    spoilt = _pem(ONE).replace(b"CERTIFICATE", b"X509 CRL") + _key(serialization.Encoding.PEM) + b"junk"
    found = pem.contents(_pem(ONE) + spoilt)
    assert len(found.defects) == 3
    assert found.certificates == (ONE,)


def test_too_many_bytes_are_refused() -> None:
    assert pem.contents(b"\n" * (pem.MAX_SIZE + 1)) == ((), (f"{pem.MAX_SIZE + 1} bytes, more than {pem.MAX_SIZE}",))


def test_too_many_certificates_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pem, "MAX_CERTIFICATES", 2)
    assert pem.contents(_pem(ONE) * 3) == ((), ("3 certificates, more than 2",))


@settings(max_examples=200)
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


def test_what_is_broken_without_end_is_told_in_few_words() -> None:
    for line in (b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        found = pem.contents(line * 15_000)
        assert found.certificates == ()
        assert 0 < len(found.defects) <= pem.MAX_DEFECTS
