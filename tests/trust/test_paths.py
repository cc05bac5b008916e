"""Ways to a trusted certificate: found through what is attached, at the cost of trusted keys alone."""

from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.trust import chain as chains
from agent.trust import paths

NOW = datetime.now(timezone.utc)


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def issued(
    name: str, issuer: str, by: ec.EllipticCurvePrivateKey, own: ec.EllipticCurvePrivateKey | None = None
) -> x509.Certificate:
    """A certificate of `name`; `by` signs it in the name of `issuer`."""
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (name, issuer)]
    made = (
        x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key((own or key()).public_key())
    )
    made = made.serial_number(x509.random_serial_number())
    return made.not_valid_before(NOW).not_valid_after(NOW + timedelta(1)).sign(by, hashes.SHA256())


ROOT_KEY, MIDDLE_KEY, LOW_KEY = key(), key(), key()
ROOT = issued("root", "root", ROOT_KEY, ROOT_KEY)
MIDDLE = issued("middle", "root", ROOT_KEY, MIDDLE_KEY)
LOW = issued("low", "middle", MIDDLE_KEY, LOW_KEY)
LEAF = issued("leaf", "low", LOW_KEY)


@pytest.fixture
def issuers(monkeypatch: pytest.MonkeyPatch) -> list[x509.Certificate]:
    """Whose keys signatures are checked with."""
    found: list[x509.Certificate] = []
    check = chains.is_issued_by

    def noted(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        """Note it."""
        found.append(issuer)
        return check(certificate, issuer)

    monkeypatch.setattr(chains, "is_issued_by", noted)
    return found


def test_way_leads_through_what_is_attached_in_any_order() -> None:
    for attached in ([MIDDLE, LOW], [LOW, MIDDLE], [LEAF, ROOT, LOW, LOW, MIDDLE]):
        assert paths.find(LEAF, attached, [ROOT]) == (LEAF, LOW, MIDDLE, ROOT)
    assert paths.find(LEAF, [LOW], [ROOT, MIDDLE]) == (LEAF, LOW, MIDDLE)
    assert paths.find(ROOT, [], [ROOT]) == (ROOT,)


def test_way_that_lacks_something_is_none() -> None:
    imposter = issued("low", "middle", key(), LOW_KEY)
    for attached in ([], [LOW], [MIDDLE], [imposter, MIDDLE]):
        assert paths.find(LEAF, attached, [ROOT]) == ()
    assert paths.find(LEAF, [imposter, MIDDLE, LOW], [ROOT]) == (LEAF, LOW, MIDDLE, ROOT)
    assert paths.find(LEAF, [MIDDLE, LOW], [issued("root", "root", key())]) == ()


def test_no_key_is_used_that_nobody_trusted_has_signed(issuers: list[x509.Certificate]) -> None:
    strangers = [key() for _ in range(10)]
    attached = [issued("low", "low", each, each) for each in strangers]
    leaf = issued("leaf", "low", strangers[-1])
    assert paths.find(leaf, [*attached, MIDDLE, LOW], [ROOT]) == ()
    assert set(issuers) <= {ROOT, MIDDLE, LOW}
    assert len(issuers) <= paths.MAX_SIGNATURE_CHECKS


def test_crowd_of_one_name_is_checked_up_to_a_number(issuers: list[x509.Certificate]) -> None:
    crowd = [issued("low", "root", MIDDLE_KEY) for _ in range(paths.MAX_SIGNATURE_CHECKS + 5)]
    assert paths.find(LEAF, [*crowd, MIDDLE, LOW], [ROOT]) == ()
    assert len(issuers) == paths.MAX_SIGNATURE_CHECKS
