"""Identities, scopes, stores and schemes before the real `notation` and before us."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.real.conformity import CONFIGURATION_INVALID, Bench, Image, agree, statement
from tests.signing import PREFIX, Profile, Signer, ca_profile, envelope, name, rfc3339, signer
from tests.simulators.authority import authority
from tests.testbed.node import REGISTRY
from tests.trust.answers import NOW, List

pytestmark = pytest.mark.real

SUBJECTS = {
    "plain": name("build.example.com", OU="Build, and more", L="Seattle"),
    "escaped": x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "Th\u00fcringen"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "M\u00fcller, S\u00f6hne + Co; \u201cbest\u201d"),
            x509.NameAttribute(NameOID.COMMON_NAME, " #build "),
        ]
    ),
}

IDENTITIES = [
    ("plain", "x509.subject: C=US, ST=WA, O=Acme", True),
    ("plain", "x509.subject:C=US,ST=WA,O=Acme", True),
    ("plain", "x509.subject: O=Acme, C=US, ST=WA", True),
    ("plain", "x509.subject: C=US, S=WA, O=Acme", True),
    ("plain", "x509.subject: C=US, ST=WA, O=Acme, CN=build.example.com", True),
    ("plain", "x509.subject: C=US, ST=WA, O=Acme, CN=build.example.co", False),
    ("plain", "x509.subject: C=US, ST=WA, O=Acme, CN=Build.example.com", False),
    ("plain", "x509.subject: C=US, ST=WA, O=acme", False),
    ("plain", "x509.subject: C=US, ST=WA, O=Acme, L=Seattle", True),
    ("plain", "x509.subject: C=US, ST=WA, O=Acme, L=Portland", False),
    ("plain", r"x509.subject: C=US, ST=WA, O=Acme, OU=Build\, and more", True),
    ("plain", r"x509.subject: C=US, ST=WA, O=Acme, OU=Build\2c and more", True),
    ("plain", "x509.subject: C=US, ST=WA, O=Acme, OU=Build", False),
    ("escaped", r"x509.subject: C=DE, ST=Thüringen, O=Müller\, Söhne \+ Co\; “best”", True),
    ("escaped", r"x509.subject: C=DE, ST=Th\c3\bcringen, O=M\C3\BCller\, S\C3\B6hne \+ Co\; “best”", True),
    ("escaped", r"x509.subject: C=DE, ST=Thüringen, O=Müller\, Söhne \+ Co\; “best”, CN=\ #build\ ", True),
    ("escaped", r"x509.subject: C=DE, ST=Thu" + "\u0308" + r"ringen, O=Müller\, Söhne \+ Co\; “best”", False),
]


@pytest.fixture(scope="module")
def signed(bench: Bench) -> dict[str, tuple[Image, Signer]]:
    """One image for each subject."""
    found = {}
    for label, subject in SUBJECTS.items():
        made = signer(Profile(subject, key_number=400), ca_profile("Policy CA", key_number=401))
        found[label] = bench.signed(f"identity-{label}", made), made
    return found


@pytest.mark.parametrize(("subject", "identity", "accepted"), IDENTITIES)
def test_identity(
    bench: Bench, signed: dict[str, tuple[Image, Signer]], subject: str, identity: str, accepted: bool
) -> None:
    image, made = signed[subject]
    verdicts = bench.judge(image, statement(trustedIdentities=[identity]), {"ca:acme": [made.root]})
    agree(verdicts, accepted=accepted, code="NS-0001" if accepted else "NS-2104")


BROKEN_IDENTITIES: dict[str, list[str]] = {
    "none": [],
    "star with others": ["*", "x509.subject: C=US, ST=WA, O=Acme"],
    "without a country": ["x509.subject: ST=WA, O=Acme"],
    "without an organisation": ["x509.subject: C=US, ST=WA"],
    "twice the same": ["x509.subject: C=US, ST=WA, O=Acme, O=Other"],
    "two values in one": ["x509.subject: C=US+OU=x, ST=WA, O=Acme"],
    "encoded": ["x509.subject: C=US, ST=WA, O=#0c0441636d65"],
    "overlapping": ["x509.subject: C=US, ST=WA, O=Acme", "x509.subject: C=US, ST=WA, O=Acme, OU=x"],
    "empty": [""],
    "not a name": ["x509.subject: hello"],
}


@pytest.mark.parametrize("what", BROKEN_IDENTITIES)
def test_identities_that_neither_takes(bench: Bench, signed: dict[str, tuple[Image, Signer]], what: str) -> None:
    image, made = signed["plain"]
    policy = statement(trustedIdentities=BROKEN_IDENTITIES[what])
    verdicts = bench.judge(image, policy, {"ca:acme": [made.root]})
    assert verdicts.notation is False, verdicts.said
    assert verdicts.exit == CONFIGURATION_INVALID, verdicts.line


def test_policy_for_images_goes_before_the_general_one(bench: Bench, signed: dict[str, tuple[Image, Signer]]) -> None:
    image, made = signed["plain"]
    nobody = statement(trustedIdentities=["x509.subject: C=XX, ST=XX, O=Nobody"])
    stores = {"ca:acme": [made.root]}
    verdicts = bench.judge(image, nobody, stores, **{"trustpolicy.oci.json": statement()})
    agree(verdicts, accepted=False, known="policy for images")
    verdicts = bench.judge(image, statement(), stores, **{"trustpolicy.oci.json": nobody})
    agree(verdicts, accepted=True, code="NS-2104", known="policy for images")


HERE = f"{REGISTRY}/signed/identity-plain"


def statements(*scopes: str, level: str = "strict") -> dict[str, Any]:
    """One statement that trusts for `scopes`, and one for `*` that trusts nobody there is."""
    nobody = {"name": "rest", "trustedIdentities": ["x509.subject: C=XX, ST=XX, O=Nobody"]}
    first = statement(registryScopes=list(scopes), signatureVerification={"level": level})["trustPolicies"][0]
    return {"version": "1.0", "trustPolicies": [first, {**first, "registryScopes": ["*"], **nobody}]}


SCOPES = {
    "exact": ([HERE], True),
    "one of several": ([f"{REGISTRY}/other", HERE], True),
    "a longer name": ([f"{HERE}-and-more"], False),
    "a shorter name": ([HERE[:-1]], False),
    "a parent": ([f"{REGISTRY}/signed"], False),
    "another registry": (["registry.example.com/signed/identity-plain"], False),
}


@pytest.mark.parametrize("what", SCOPES)
def test_scope(bench: Bench, signed: dict[str, tuple[Image, Signer]], what: str) -> None:
    image, made = signed["plain"]
    scopes, accepted = SCOPES[what]
    verdicts = bench.judge(image, statements(*scopes), {"ca:acme": [made.root]})
    agree(verdicts, accepted=accepted, code="NS-0001" if accepted else "NS-2104")


def test_no_statement_for_the_repository(bench: Bench, signed: dict[str, tuple[Image, Signer]]) -> None:
    image, made = signed["plain"]
    policy = statement(registryScopes=[f"{REGISTRY}/other"])
    verdicts = bench.judge(image, policy, {"ca:acme": [made.root]})
    agree(verdicts, accepted=False, says="no applicable", code="NS-2108")


BROKEN_SCOPES = {
    "none": [],
    "star with others": ["*", HERE],
    "a star inside": [f"{REGISTRY}/signed/*"],
    "a tag": [f"{HERE}:1"],
    "a scheme": [f"http://{HERE}"],
    "no repository": [REGISTRY],
    "a slash at its end": [f"{HERE}/"],
    "capitals in a repository": [f"{REGISTRY}/Signed"],
    "twice the same": [HERE, HERE],
}


@pytest.mark.parametrize("what", BROKEN_SCOPES)
def test_scopes_that_neither_takes(bench: Bench, signed: dict[str, tuple[Image, Signer]], what: str) -> None:
    image, made = signed["plain"]
    verdicts = bench.judge(image, statement(registryScopes=BROKEN_SCOPES[what]), {"ca:acme": [made.root]})
    assert verdicts.notation is False, verdicts.said
    assert verdicts.exit == CONFIGURATION_INVALID, verdicts.line


@pytest.mark.parametrize("store", ["ca:acme", "signingAuthority:acme"])
@pytest.mark.parametrize("hours", [-1, -47], ids=["valid then", "not valid then"])
def test_scheme_of_signing_authorities(bench: Bench, store: str, hours: int) -> None:
    made = signer(Profile(name("build.example.com"), key_number=402), ca_profile("Signing authority", key_number=403))
    image = bench.image(f"signed/authority-{store.partition(':')[0].lower()}{hours}")
    protected = {
        PREFIX + "signingScheme": "notary.x509.signingAuthority",
        PREFIX + "authenticSigningTime": rfc3339(datetime.now(timezone.utc) + timedelta(hours=hours)),
        "crit": [PREFIX + "signingScheme", PREFIX + "authenticSigningTime"],
    }
    bench.attach(image, envelope(made, image.descriptor, protected=protected, dropped=(PREFIX + "signingTime",)))
    verdicts = bench.judge(image, statement(trustStores=[store]), {store: [made.root]})
    accepted = store != "ca:acme" and hours == -1
    code = "NS-0001" if accepted else "NS-2103" if store == "ca:acme" else "NS-2106"
    agree(verdicts, accepted=accepted, code=code)


@pytest.mark.parametrize("hours", [-3, -1], ids=["before", "after"])
@pytest.mark.parametrize("source", ["ocsp", "crl"])
def test_key_that_was_lost_before_or_after_an_authority_signed(bench: Bench, source: str, hours: int) -> None:
    sources: dict[str, Any] = {source: (0,)}
    made = authority(f"lost-{source}{hours}", bench.responder.base, number=46, **sources)
    if source == "crl":
        entry = made.entry(0, invalid_since=NOW - timedelta(hours=2))
        bench.responder.serve(made.list_path(0), made.listing(0, List(entries=(entry,))))
    else:
        bench.announce(made, "ocsp", 0, revoked=True)
    image = bench.image(f"signed/lost-{source}{hours}")
    protected = {
        PREFIX + "signingScheme": "notary.x509.signingAuthority",
        PREFIX + "authenticSigningTime": rfc3339(datetime.now(timezone.utc) + timedelta(hours=hours)),
        "crit": [PREFIX + "signingScheme", PREFIX + "authenticSigningTime"],
    }
    bench.attach(image, envelope(made.signer, image.descriptor, protected=protected, dropped=(PREFIX + "signingTime",)))
    store = "signingAuthority:acme"
    accepted = source == "crl" and hours == -3  # an answer of OCSP here does not say since when
    verdicts = bench.judge(image, statement(trustStores=[store]), {store: [made.root]})
    agree(verdicts, accepted=accepted, code="NS-0001" if accepted else "NS-2111")


STRANGE = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.7"), b"\x05\x00")
CONSTRAINTS = x509.NameConstraints(permitted_subtrees=[x509.DNSName("example.com")], excluded_subtrees=None)

LEAVES: dict[str, tuple[dict[str, Any], bool, str, str]] = {
    "for no purpose": ({"purposes": ()}, True, "NS-0001", ""),
    "for servers": ({"purposes": (ExtendedKeyUsageOID.SERVER_AUTH,)}, False, "NS-2107", ""),
    "for clients": ({"purposes": (ExtendedKeyUsageOID.CLIENT_AUTH,)}, False, "NS-2107", ""),
    "for mail": ({"purposes": (ExtendedKeyUsageOID.EMAIL_PROTECTION,)}, False, "NS-2107", ""),
    "for timestamps": ({"purposes": (ExtendedKeyUsageOID.TIME_STAMPING,)}, False, "NS-2107", ""),
    "for answering": ({"purposes": (ExtendedKeyUsageOID.OCSP_SIGNING,)}, False, "NS-2107", ""),
    "for anything": ({"purposes": (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)}, True, "NS-2107", "any purpose"),
    "without key usage": ({"usages": None}, False, "NS-2107", ""),
    "with uncritical key usage": ({"usage_critical": False}, False, "NS-2107", ""),
    "for signing certificates": ({"usages": ("digital_signature", "key_cert_sign")}, False, "NS-2107", ""),
    "a CA": ({"ca": True}, False, "NS-2107", ""),
    "expressly no CA": ({"ca": False}, True, "NS-0001", ""),
    "strange": ({"critical_extensions": (STRANGE,)}, True, "NS-2107", "unknown critical extension"),
    "strange, uncritically": ({"extensions": (STRANGE,)}, True, "NS-0001", ""),
}


@pytest.mark.parametrize("what", LEAVES)
def test_signing_certificate(bench: Bench, what: str) -> None:
    changes, accepted, code, known = LEAVES[what]
    leaf = Profile(name("build.example.com"), key_number=404)._replace(**changes)
    made = signer(leaf, ca_profile("Leaf CA", key_number=405))
    image = bench.image(f"signed/leaf-{what.replace(' ', '-').replace(',', '').lower()}")
    bench.attach(image, envelope(made, image.descriptor))
    agree(bench.judge(image, statement(), {"ca:acme": [made.root]}), accepted=accepted, code=code, known=known)


ISSUERS: dict[str, tuple[dict[str, Any], bool, str, str]] = {
    "no CA": ({"ca": False}, False, "NS-2107", ""),
    "uncritically a CA": ({"ca_critical": False}, True, "NS-2107", "uncritical basic constraints"),
    "that may not sign certificates": ({"usages": ("crl_sign",)}, False, "NS-2107", ""),
    "of length 0": ({"path_length": 0}, True, "NS-0001", ""),
    "with name constraints": ({"critical_extensions": (CONSTRAINTS,)}, True, "NS-2107", "name constraints"),
}


@pytest.mark.parametrize("what", ISSUERS)
def test_issuing_certificate(bench: Bench, what: str) -> None:
    changes, accepted, code, known = ISSUERS[what]
    leaf = Profile(name("build.example.com"), key_number=404)
    issuer = ca_profile("Issuing CA", key_number=406)._replace(**changes)
    made = signer(leaf, issuer, ca_profile("Issuers' CA", key_number=405))
    image = bench.image(f"signed/issuer-{what.replace(' ', '-').lower()}")
    bench.attach(image, envelope(made, image.descriptor))
    agree(bench.judge(image, statement(), {"ca:acme": [made.root]}), accepted=accepted, code=code, known=known)
