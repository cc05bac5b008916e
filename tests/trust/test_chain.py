"""Certificate chains: what may sign images, what may issue, and what no library reads without complaint."""

from datetime import datetime, timedelta, timezone
from typing import Any, Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Code, LimitExceeded, Malformed
from agent.trust import chain as chains
from agent.trust import identity
from agent.trust.chain import ChainInvalid, check_chain, names_revocation_source, not_valid_at, parse_chain
from tests.signing import Profile, Signer, ca_profile, certificate, name, signer, usual_signer

NOW = datetime.now(timezone.utc).replace(microsecond=0)
GOOD = usual_signer()
ROOT = ca_profile("Root CA", key_number=2)
DER = tuple(each.public_bytes(Encoding.DER) for each in GOOD.chain)


def under(leaf: Profile | None = None, **issuing: Any) -> Signer:
    """A signer under an issuing CA with a difference."""
    return signer(leaf or Profile(name("build")), ca_profile("Issuing CA", key_number=1)._replace(**issuing), ROOT)


def leaf(**changes: Any) -> Callable[[], Signer]:
    """A signer whose signing certificate differs."""
    return lambda: usual_signer(**changes)


def usage(*others: str) -> Callable[[], Signer]:
    """A signer whose signing certificate has further key usages."""
    return leaf(usages=("digital_signature", *others))


def purpose(*purposes: x509.ObjectIdentifier) -> Callable[[], Signer]:
    """A signer whose signing certificate is for something else too."""
    return leaf(purposes=(ExtendedKeyUsageOID.CODE_SIGNING, *purposes))


def issuing(**changes: Any) -> Callable[[], Signer]:
    """A signer whose issuing CA differs."""
    return lambda: under(**changes)


def instead_of_the_root(profile: Profile) -> Callable[[], Signer]:
    """The good chain, with another self-signed certificate for its root."""
    return lambda: GOOD._replace(chain=(*GOOD.chain[:2], certificate(profile, profile)))


NAME_CONSTRAINTS = x509.NameConstraints(permitted_subtrees=[x509.DirectoryName(name("other"))], excluded_subtrees=None)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
ALTERNATIVE_NAME = x509.SubjectAlternativeName([x509.DNSName("build.example.com")])

# defect -> the signer, and words of the message that tell it from the others
DEFECTS: dict[str, tuple[Callable[[], Signer], str]] = {
    "is a CA": (leaf(ca=True), "is a CA"),
    "no key usage": (leaf(usages=None), "no critical key usage digitalSignature"),
    "key usage not critical": (leaf(usage_critical=False), "no critical key usage digitalSignature"),
    "no digitalSignature": (leaf(usages=("content_commitment",)), "no critical key usage digitalSignature"),
    "keyEncipherment": (usage("key_encipherment"), "also has key_encipherment"),
    "dataEncipherment": (usage("data_encipherment"), "also has data_encipherment"),
    "keyAgreement": (usage("key_agreement"), "also has key_agreement"),
    "keyCertSign": (usage("key_cert_sign"), "also has key_cert_sign"),
    "cRLSign": (usage("crl_sign"), "also has crl_sign"),
    "encipherOnly": (usage("key_agreement", "encipher_only"), "encipher_only"),
    "decipherOnly": (usage("key_agreement", "decipher_only"), "decipher_only"),
    "any purpose": (purpose(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE), "any must not"),
    "serverAuth": (purpose(ExtendedKeyUsageOID.SERVER_AUTH), "serverAuth"),
    "clientAuth": (purpose(ExtendedKeyUsageOID.CLIENT_AUTH), "clientAuth"),
    "emailProtection": (purpose(ExtendedKeyUsageOID.EMAIL_PROTECTION), "emailProtection"),
    "timeStamping": (purpose(ExtendedKeyUsageOID.TIME_STAMPING), "timeStamping"),
    "OCSPSigning": (purpose(ExtendedKeyUsageOID.OCSP_SIGNING), "OCSPSigning"),
    "issuer is no CA": (issuing(ca=False), "critical basic constraints"),
    "issuer without basic constraints": (issuing(ca=None), "critical basic constraints"),
    "issuer's basic constraints not critical": (issuing(ca_critical=False), "critical basic constraints"),
    "issuer without key usage": (issuing(usages=None), "keyCertSign"),
    "issuer's key usage not critical": (issuing(usage_critical=False), "keyCertSign"),
    "issuer without keyCertSign": (issuing(usages=("crl_sign",)), "keyCertSign"),
    "path length exceeded": (
        lambda: signer(None, ca_profile("Issuing CA", key_number=1), ROOT._replace(path_length=0)), "path length 0"
    ),
    "root missing": (lambda: GOOD._replace(chain=GOOD.chain[:2]), "not self-signed"),
    "leaf alone": (lambda: GOOD._replace(chain=GOOD.chain[:1]), "not self-signed"),
    "reordered": (lambda: GOOD._replace(chain=(GOOD.chain[0], GOOD.chain[2], GOOD.chain[1])), "not issued by"),
    "root twice": (lambda: GOOD._replace(chain=(*GOOD.chain, GOOD.root)), "self-issued"),
    "root of the same name and another key": (
        instead_of_the_root(ca_profile("build.example.com Root CA", key_number=99)), "not issued by"
    ),
    "root of another name and the same key": (
        instead_of_the_root(ca_profile("Impostor CA", key_number=2)), "not issued by"
    ),
    "RSA-1024 issuer": (issuing(kind="RSA-1024"), "RSA of 1024 bits"),
    "P-224 issuer": (issuing(kind="P-224"), "secp224r1"),
    "secp256k1 issuer": (issuing(kind="P-256k"), "secp256k1"),
    "brainpool issuer": (issuing(kind="P-256b"), "brainpoolP256r1"),
    "DSA issuer": (issuing(kind="DSA-1024"), "issues with DSA"),
    "name constraints": (issuing(critical_extensions=(NAME_CONSTRAINTS,)), "name constraints"),
    "name constraints not critical": (issuing(extensions=(NAME_CONSTRAINTS,)), "name constraints"),
    "critical extension": (leaf(critical_extensions=(UNKNOWN,)), "1.2.3.4.5 is not understood"),
    "critical extension of an issuer": (issuing(critical_extensions=(UNKNOWN,)), "1.2.3.4.5 is not understood"),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_chain_that_may_not_sign_images_is_refused_for_its_defect(defect: str) -> None:
    make, words = DEFECTS[defect]
    with pytest.raises(ChainInvalid, match=words):
        check_chain(make().chain)


@pytest.mark.parametrize(
    "good",
    [
        usual_signer(),
        usual_signer(ca=False),
        usual_signer(purposes=()),
        usual_signer(usages=("digital_signature", "content_commitment")),
        usual_signer(extensions=(UNKNOWN,)),
        usual_signer(critical_extensions=(ALTERNATIVE_NAME,)),
        usual_signer(kind="RSA-2048"),
        under(kind="RSA-2048"),
        under(kind="Ed25519"),
        under(path_length=0),
        signer(),
        signer(None, ROOT._replace(path_length=0)),
        signer(None, ca_profile("Issuing CA", key_number=1), ROOT._replace(path_length=1)),
    ],
    ids=[
        "usual", "says it is no CA", "without purpose", "nonRepudiation too", "unknown extension",
        "critical alternative name", "RSA", "RSA issuer", "Ed25519 issuer",
        "path length kept", "self-signed", "under a root", "path length of the root kept",
    ],
)  # fmt: skip
def test_chain_that_may_sign_images_is_accepted(good: Signer) -> None:
    check_chain(good.chain)


@pytest.mark.parametrize("number", range(3))
def test_weak_hash_anywhere_in_the_chain_is_refused(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # No library signs with SHA-1 any more: the certificate under test only says that it was.
    weak = GOOD.chain[number]

    class SaysSha1:
        signature_hash_algorithm = hashes.SHA1()  # noqa: S303

        def __getattr__(self, attribute: str) -> Any:
            return getattr(weak, attribute)

    chain: list[Any] = list(GOOD.chain)
    chain[number] = SaysSha1()
    monkeypatch.setattr(chains, "is_issued_by", lambda *_: True)
    with pytest.raises(ChainInvalid, match="signed with sha1"):
        check_chain(chain)


def test_no_certificate_is_no_chain() -> None:
    with pytest.raises(ChainInvalid, match="no certificate"):
        parse_chain([])


def test_sixteen_certificates_are_read_and_seventeen_are_not() -> None:
    assert len(parse_chain(DER[:1] * 16)) == 16
    with pytest.raises(LimitExceeded, match="got 17"):
        parse_chain(DER[:1] * 17)


def test_large_certificate_is_not_read() -> None:
    with pytest.raises(LimitExceeded, match="got 16385 bytes; expected at most 16384"):
        parse_chain([b"\x30" * 16385])


def test_large_chain_of_usual_certificates_is_not_read() -> None:
    large = usual_signer(extensions=(x509.UnrecognizedExtension(UNKNOWN.oid, b"x" * 15_000),)).chain[0]
    with pytest.raises(LimitExceeded, match="expected at most 65536"):
        parse_chain([large.public_bytes(Encoding.DER)] * 5)


@pytest.mark.parametrize(
    "der",
    [b"", b"rubbish", DER[0][:-1], DER[0] + b"\0", GOOD.root_pem],
    ids=["empty", "rubbish", "cut short", "trailing byte", "PEM"],
)
def test_what_is_no_certificate_is_refused(der: bytes) -> None:
    with pytest.raises(ChainInvalid, match="certificate 2 of 2: can't be read"):
        parse_chain([DER[0], der])


LATE = usual_signer(ends=datetime(2100, 6, 1, tzinfo=timezone.utc) - NOW).chain[0].public_bytes(Encoding.DER)


def replaced(der: bytes, old: bytes, new: bytes) -> bytes:
    """`der` with the first occurrence of `old`, which is there, replaced."""
    assert old in der
    return der.replace(old, new, 1)


@pytest.mark.parametrize(
    "der",
    [
        replaced(DER[0], b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x7f"),
        replaced(DER[0], b"\x13\x02US", b"\x03\x02\x00S"),
        replaced(DER[0], b"\x0c\x11build.example.com", b"\x03\x11\x00uild.example.com"),
        replaced(DER[0], b"\x0c\x04Acme", b"\x0c\x04\xff\xfe\xfd\xfc"),
        replaced(LATE, b"\x18\x0f2100", b"\x18\x0f0000"),
    ],
    ids=["version 128", "bits for a country", "bits for a name", "name that is not UTF-8", "year 0"],
)
def test_certificate_over_which_the_library_stumbles_is_refused(der: bytes) -> None:
    with pytest.raises(ChainInvalid, match="can't be read"):
        parse_chain([der])


def of_version_1(der: bytes) -> bytes:
    """A certificate without the version in it, which makes it one of version 1, extensions and all."""
    version = b"\xa0\x03\x02\x01\x02"
    assert (der[:2], der[4:6], der[8:13]) == (b"\x30\x82", b"\x30\x82", version)
    lengths = [int.from_bytes(der[i : i + 2], "big") - len(version) for i in (2, 6)]
    return b"\x30\x82" + lengths[0].to_bytes(2, "big") + b"\x30\x82" + lengths[1].to_bytes(2, "big") + der[13:]


@pytest.mark.parametrize("number", range(3))
def test_certificate_of_version_1_is_refused_whatever_extensions_it_has(number: int) -> None:
    chain = parse_chain([of_version_1(der) if i == number else der for i, der in enumerate(DER)])
    with pytest.raises(ChainInvalid, match="of version v1; expected v3"):
        check_chain(chain)


def test_refusals_have_their_own_code() -> None:
    with pytest.raises(Malformed) as caught:
        check_chain(GOOD.chain[:1])
    assert caught.value.code is Code.CERTIFICATE_CHAIN_INVALID


@pytest.mark.parametrize(
    ("moment", "valid"),
    [
        (GOOD.chain[0].not_valid_before_utc, True),
        (GOOD.chain[0].not_valid_before_utc - timedelta(seconds=1), False),
        (GOOD.chain[0].not_valid_after_utc, True),
        (GOOD.chain[0].not_valid_after_utc + timedelta(seconds=1), False),
    ],
    ids=["first second", "before", "last second", "after"],
)
def test_validity_includes_both_ends(moment: datetime, valid: bool) -> None:
    assert (not_valid_at(GOOD.chain[:1], moment) == "") is valid


@pytest.mark.parametrize("number", range(3))
def test_every_certificate_of_the_chain_must_be_valid(number: int) -> None:
    past: dict[str, Any] = {"starts": timedelta(days=-3), "ends": timedelta(days=-2)}
    profiles = [Profile(name("build")), ca_profile("Issuing CA", key_number=1), ROOT]
    profiles[number] = profiles[number]._replace(**past)
    expired = signer(profiles[0], *profiles[1:])
    assert chains.subject_of(expired.chain[number]) in not_valid_at(expired.chain, NOW)


CRL = x509.CRLDistributionPoints(
    [x509.DistributionPoint([x509.UniformResourceIdentifier("http://crl.example.com/1")], None, None, None)]
)


def access(method: x509.ObjectIdentifier) -> x509.AuthorityInformationAccess:
    """Authority information access by one method."""
    return x509.AuthorityInformationAccess(
        [x509.AccessDescription(method, x509.UniformResourceIdentifier("http://example.com"))]
    )


OCSP = access(AuthorityInformationAccessOID.OCSP)
ISSUERS = access(AuthorityInformationAccessOID.CA_ISSUERS)


@pytest.mark.parametrize(
    ("named", "extensions"),
    [(True, (CRL,)), (True, (OCSP,)), (True, (CRL, OCSP)), (False, (ISSUERS,)), (False, ())],
    ids=["CRL", "OCSP", "both", "issuer's address alone", "none"],
)
def test_certificates_that_name_a_revocation_source_are_found(
    named: bool, extensions: tuple[x509.ExtensionType, ...]
) -> None:
    assert names_revocation_source(usual_signer(extensions=extensions).chain) is named
    assert names_revocation_source(under(extensions=extensions).chain) is named


def test_root_is_asked_for_no_revocation() -> None:
    root = signer(None, ROOT._replace(extensions=(CRL, OCSP)))
    assert not names_revocation_source(root.chain)
    assert not names_revocation_source(signer(Profile(name("x"), extensions=(CRL,))).chain)


def test_self_signed_means_signed_and_not_only_issued_by_itself() -> None:
    assert chains.is_self_signed(GOOD.root)
    namesake = certificate(ROOT, ROOT._replace(key_number=7))
    assert namesake.issuer == namesake.subject
    assert not chains.is_self_signed(namesake)


def test_who_does_not_say_it_is_no_ca() -> None:
    assert [chains.is_ca(each) for each in usual_signer(ca=False).chain] == [False, True, True]


@pytest.mark.unmeasured
@settings(max_examples=400)
@given(st.integers(0, 2), st.integers(0, 2000), st.binary(min_size=1, max_size=4), st.integers(0, 4))
def test_no_altered_certificate_makes_anything_but_a_typed_error(
    number: int, position: int, inserted: bytes, dropped: int
) -> None:
    ders = list(DER)
    at = position % len(ders[number])
    ders[number] = ders[number][:at] + inserted + ders[number][at + dropped :]
    try:
        chain = parse_chain(ders)
        names_revocation_source(chain)
        not_valid_at(chain, NOW)
        assert [chains.is_self_signed(each) for each in chain][:2] == [False, False]
        check_chain(chain)
    except Malformed:
        return
    try:
        identity.subject_attributes(chain[0].subject)
    except ValueError:
        return
