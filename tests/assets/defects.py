"""What can be wrong with a Notary Project signature: one defect per entry, and the code it must be refused under.

Everything else about an entry is right: its signer is trusted, its image is the one that is pulled, its certificates
are valid for a century.  So nothing but the defect can be the reason.  `tests.assets.generate` writes the files.
"""

import base64
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import cbor2
from cbor2 import CBORTag
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.errors import Code
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.manifest import EMPTY_CONFIG, IMAGE_MANIFEST
from tests import signing as jws
from tests import signing_cose as cose
from tests.signing import PREFIX, Profile, Signer, b64url, ca_profile, certificate, descriptor_json, name, rfc3339

CENTURY = timedelta(days=36500)
PAST = datetime(2021, 1, 1, tzinfo=timezone.utc)
JWS, COSE = jws.ENVELOPE_TYPE, cose.ENVELOPE_TYPE
SCHEME, TIME, AUTHENTIC = PREFIX + "signingScheme", PREFIX + "signingTime", PREFIX + "authenticSigningTime"
EXPIRY, PLUGIN = PREFIX + "expiry", PREFIX + "verificationPlugin"
SIGNING_AUTHORITY = "notary.x509.signingAuthority"

_EMPTY = {"mediaType": EMPTY_CONFIG, "digest": str(Digest.of(b"{}")), "size": 2}
IMAGE = json.dumps(
    {"schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": _EMPTY, "layers": [_EMPTY]}, sort_keys=True
).encode()
SUBJECT = Descriptor(IMAGE_MANIFEST, Digest.of(IMAGE), len(IMAGE))
"""The image that every entry is a signature of, or pretends to be."""


TAKEN_BY_NOTATION = frozenset(
    {
        "chain-issuer-basic-constraints-not-critical",
        "chain-issuer-rsa-1024",
        "chain-issuer-with-name-constraints",
        "chain-leaf-for-any-purpose",
        "chain-leaf-with-unknown-critical-extension",
        "cose-authentic-time-without-authority",
        "cose-crit-unknown",
        "cose-crit-unknown-number",
        "cose-label-in-both-headers",
        "cose-nested-too-deep",
        "cose-non-minimal-integer",
        "cose-signing-time-float",
        "cose-signing-time-out-of-range",
        "jws-b64-false",
        "jws-crit-unknown",
        "jws-two-signatures",
        "jws-unprotected-override",
        "subject-with-a-multivalued-part",
    }
)
"""What the Notary Project's own program accepts; docs/notation.md, "Deviations on purpose", says why we do not."""


class Defect(NamedTuple):
    """One entry: the envelope, and what must come of it.

    `policy` is put into the trust policy's statement.
    """

    envelope: bytes
    code: Code
    media_type: str = JWS
    policy: dict[str, Any] = {}


def leaf(**changes: Any) -> Profile:
    """A good signing certificate's profile, with changes."""
    return Profile(name("build.example.com"), ends=CENTURY)._replace(**changes)


def ca(common_name: str, **changes: Any) -> Profile:
    """A good CA's profile, with changes."""
    return ca_profile(common_name, ends=CENTURY, **changes)


ISSUER, ROOT_PROFILE = ca("Issuing CA", path_length=0, key_number=1), ca("Root CA", key_number=2)
ROOT = certificate(ROOT_PROFILE, ROOT_PROFILE)
OTHER_ROOT_PROFILE = ca("Root CA of one level", path_length=0, key_number=3)
OTHER_ROOT = certificate(OTHER_ROOT_PROFILE, OTHER_ROOT_PROFILE)
TRUSTED_ROOTS = (ROOT, OTHER_ROOT)


def under(
    profile: Profile, *issuing: Profile, root: x509.Certificate = ROOT, root_profile: Profile = ROOT_PROFILE
) -> Signer:
    """A signer under issuing CAs under the root."""
    profiles = [profile, *issuing, root_profile]
    chain = tuple(certificate(each, profiles[i + 1]) for i, each in enumerate(profiles[:-1]))
    return Signer((*chain, root), profile.kind, profile.key_number)


GOOD = under(leaf(), ISSUER)
STRANGER = jws.signer(leaf(subject=name("stranger.example.net"), key_number=11), ca("Stranger CA", key_number=12))


def in_jws(signer: Signer = GOOD, **changes: Any) -> bytes:
    """A JWS envelope."""
    return jws.envelope(signer, SUBJECT, **changes)


def in_cose(signer: Signer = GOOD, **changes: Any) -> bytes:
    """A COSE envelope."""
    return cose.envelope(signer, SUBJECT, **changes)


def payload(**changes: Any) -> bytes:
    """A payload that names another image."""
    return json.dumps({"targetArtifact": descriptor_json(SUBJECT._replace(**changes))}).encode()


def all_defects() -> dict[str, Defect]:
    """Every defect by its name, which is the file's."""
    found: dict[str, Defect] = {}
    for entries in (_jws(), _cose(), _both(), _chains(), _subjects()):
        for defect_name, defect in entries:
            if defect_name in found:
                raise ValueError(f"{defect_name} stands twice")
            found[defect_name] = defect
    return found


def _jws() -> Iterator[tuple[str, Defect]]:
    malformed = Code.EVIDENCE_MALFORMED
    good = json.loads(in_jws())
    altered = bytearray(base64.urlsafe_b64decode(good["signature"] + "=="))
    altered[10] ^= 1
    public = GOOD.chain[0].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for defect_name, envelope, code in (
        (
            "jws-signature-altered",
            json.dumps(good | {"signature": b64url(bytes(altered))}).encode(),
            Code.SIGNATURE_INVALID,
        ),
        ("jws-signature-empty", json.dumps(good | {"signature": ""}).encode(), Code.SIGNATURE_INVALID),
        ("jws-signature-missing", json.dumps({k: v for k, v in good.items() if k != "signature"}).encode(), malformed),
        (
            "jws-payload-swapped",
            json.dumps(good | {"payload": b64url(payload(size=1))}).encode(),
            Code.SIGNATURE_INVALID,
        ),
        ("jws-alg-none", _none(), Code.SIGNATURE_INVALID),
        ("jws-hs256-with-public-key", _hs256(public), Code.SIGNATURE_INVALID),
        ("jws-alg-of-another-key", in_jws(protected={"alg": "PS256"}), Code.SIGNATURE_INVALID),
        ("jws-alg-of-another-curve", in_jws(protected={"alg": "ES384"}), Code.SIGNATURE_INVALID),
        (
            "jws-alg-rs256",
            in_jws(under(leaf(kind="RSA-2048"), ISSUER), protected={"alg": "RS256"}),
            Code.SIGNATURE_INVALID,
        ),
        ("jws-alg-missing", in_jws(dropped=("alg",)), malformed),
        ("jws-alg-number", in_jws(protected={"alg": 7}), malformed),
        ("jws-crit-missing", in_jws(dropped=("crit",)), malformed),
        ("jws-crit-empty", in_jws(protected={"crit": []}), malformed),
        ("jws-crit-without-scheme", in_jws(protected={"crit": ["alg"]}), malformed),
        ("jws-crit-names-absent-header", in_jws(protected={"crit": [SCHEME, PLUGIN]}), malformed),
        ("jws-crit-unknown", in_jws(protected={"crit": [SCHEME, "new"], "new": 1}), malformed),
        ("jws-crit-text", in_jws(protected={"crit": SCHEME}), malformed),
        ("jws-b64-false", in_jws(protected={"b64": False, "crit": [SCHEME, "b64"]}), malformed),
        ("jws-general-serialisation", _general(good), malformed),
        ("jws-two-signatures", json.dumps(good | {"signatures": [{}]}).encode(), malformed),
        ("jws-unprotected-override", in_jws(header={"alg": "ES256"}), malformed),
        ("jws-trailing-data", in_jws() + b"{}", malformed),
        ("jws-duplicate-key", in_jws()[:-1] + b', "signature": "AA"}', malformed),
        ("jws-padded-base64", json.dumps(good | {"payload": good["payload"] + "="}).encode(), malformed),
        ("jws-standard-base64", json.dumps(good | {"signature": "+/" + good["signature"][2:]}).encode(), malformed),
        ("jws-content-type-of-something-else", in_jws(protected={"cty": "application/json"}), malformed),
        ("jws-content-type-missing", in_jws(dropped=("cty",)), malformed),
        ("jws-signing-time-is-no-time", in_jws(protected={TIME: "now"}), malformed),
        ("jws-signing-time-impossible", in_jws(protected={TIME: "2026-02-30T00:00:00Z"}), malformed),
        ("jws-x5c-missing", in_jws(header={"x5c": None}), malformed),
        ("jws-x5c-no-certificate", in_jws(header={"x5c": ["AAAA"]}), Code.CERTIFICATE_CHAIN_INVALID),
        ("jws-not-json", b"\x84\x43", malformed),
        ("jws-empty", b"", malformed),
        ("jws-array", b"[]", malformed),
    ):
        yield defect_name, Defect(envelope, code)
    yield "jws-said-to-be-cose", Defect(in_jws(), malformed, COSE)
    yield "jws-of-unknown-media-type", Defect(in_jws(), Code.EVIDENCE_UNSUPPORTED, "application/pkcs7-signature")


def _cose() -> Iterator[tuple[str, Defect]]:
    malformed, bad_signature = Code.EVIDENCE_MALFORMED, Code.SIGNATURE_INVALID
    good = in_cose()
    parts = cbor2.loads(good[1:])
    header, others, body, signature = parts
    altered = bytes([signature[0] ^ 1]) + signature[1:]
    attributes = cbor2.loads(header, semantic_decoders={1: lambda value, _: CBORTag(1, value)})
    indefinite = b"\xbf" + b"".join(cbor2.dumps(k) + cbor2.dumps(v) for k, v in attributes.items()) + b"\xff"
    duplicate = bytes([0xA0 + len(attributes) + 1]) + header[1:] + cbor2.dumps(1) + cbor2.dumps(-7)
    longer = header[:1] + b"\x18\x01" + header[2:]
    for defect_name, envelope, code in (
        ("cose-signature-altered", b"\xd2" + cbor2.dumps([header, others, body, altered]), bad_signature),
        ("cose-signature-empty", in_cose(signature=b""), malformed),
        ("cose-payload-swapped", b"\xd2" + cbor2.dumps([header, others, payload(size=1), signature]), bad_signature),
        ("cose-untagged", in_cose(tag=b""), malformed),
        ("cose-tag-of-cose-sign", in_cose(tag=b"\xd8\x62"), malformed),
        ("cose-tag-of-cose-mac", in_cose(tag=b"\xd1"), malformed),
        ("cose-detached-payload", in_cose(detached=True), malformed),
        ("cose-trailing-data", good + b"\0", malformed),
        ("cose-truncated", good[:-1], malformed),
        ("cose-indefinite-map", in_cose(protected_bytes=indefinite), malformed),
        ("cose-indefinite-list", b"\xd2\x9f" + good[2:] + b"\xff", malformed),
        ("cose-duplicate-key", in_cose(protected_bytes=duplicate), malformed),
        ("cose-non-minimal-integer", in_cose(protected_bytes=longer), malformed),
        ("cose-nested-too-deep", in_cose(unprotected={"x": [[[[[[[[[[]]]]]]]]]]}), malformed),
        ("cose-protected-empty", in_cose(protected_bytes=b""), malformed),
        ("cose-protected-no-map", in_cose(protected_bytes=b"\x80"), malformed),
        ("cose-alg-missing", in_cose(dropped=(1,)), malformed),
        ("cose-alg-in-unprotected-only", in_cose(dropped=(1,), unprotected={1: -7}), malformed),
        ("cose-alg-text", in_cose(protected={1: "ES256"}), malformed),
        ("cose-alg-hmac", in_cose(protected={1: 5}), malformed),
        ("cose-alg-of-another-key", in_cose(protected={1: -37}), bad_signature),
        ("cose-label-in-both-headers", in_cose(unprotected={3: "text/plain"}), malformed),
        ("cose-crit-missing", in_cose(dropped=(2,)), malformed),
        ("cose-crit-empty", in_cose(protected={2: []}), malformed),
        ("cose-crit-unknown", in_cose(protected={2: [SCHEME, "new"], "new": 1}), malformed),
        ("cose-crit-unknown-number", in_cose(protected={2: [SCHEME, 99], 99: 1}), malformed),
        ("cose-crit-names-absent-label", in_cose(protected={2: [SCHEME, PLUGIN]}), malformed),
        ("cose-crit-without-scheme", in_cose(protected={2: [1]}), malformed),
        ("cose-content-type-of-something-else", in_cose(protected={3: "application/json"}), malformed),
        ("cose-content-type-number", in_cose(protected={3: 50}), malformed),
        ("cose-content-type-missing", in_cose(dropped=(3,)), malformed),
        ("cose-signing-time-text", in_cose(protected={TIME: "2026-01-01T00:00:00Z"}), malformed),
        ("cose-signing-time-untagged", in_cose(protected={TIME: 1767225600}), malformed),
        ("cose-signing-time-out-of-range", in_cose(protected={TIME: CBORTag(1, 1 << 60)}), malformed),
        ("cose-x5chain-missing", in_cose(unprotected={33: None}), malformed),
        ("cose-x5chain-bytes", in_cose(unprotected={33: GOOD.chain[0].public_bytes(Encoding.DER)}), malformed),
        ("cose-x5chain-of-texts", in_cose(unprotected={33: ["leaf"]}), malformed),
        ("cose-x5chain-no-certificate", in_cose(unprotected={33: [b"\0\0\0"]}), Code.CERTIFICATE_CHAIN_INVALID),
        ("cose-not-cbor", b"{}", malformed),
        ("cose-empty", b"", malformed),
    ):
        yield defect_name, Defect(envelope, code, COSE)
    yield "cose-signing-time-float", Defect(in_cose(protected={TIME: CBORTag(1, 1767225600.5)}), malformed, COSE)
    yield "cose-said-to-be-jws", Defect(good, malformed, JWS)


def _both() -> Iterator[tuple[str, Defect]]:
    """Defects that either envelope can have."""
    later = datetime.now(timezone.utc) + CENTURY
    for kind, make, moment in (("jws", in_jws, rfc3339), ("cose", in_cose, cose.time)):
        media_type = JWS if kind == "jws" else COSE
        crit: Any = "crit" if kind == "jws" else cose.CRIT
        by_authority = {SCHEME: SIGNING_AUTHORITY, crit: [SCHEME, AUTHENTIC]}
        demanding = {PLUGIN: "com.example.signer", crit: [SCHEME, PLUGIN]}
        malformed = Code.EVIDENCE_MALFORMED
        for defect_name, envelope, code in (
            ("expired", make(expiry=PAST, protected={TIME: moment(PAST - timedelta(days=1))}), Code.SIGNATURE_EXPIRED),
            ("expiry-not-after-signing", make(expiry=PAST), malformed),
            ("expiry-not-critical", make(protected={EXPIRY: moment(later)}), malformed),
            ("signing-time-missing", make(dropped=(TIME,)), malformed),
            ("scheme-missing", make(dropped=(SCHEME,)), malformed),
            ("scheme-unknown", make(protected={SCHEME: "notary.x510"}), Code.EVIDENCE_UNSUPPORTED),
            ("authority-with-signing-time", make(protected=by_authority), malformed),
            ("authentic-time-without-authority", make(protected={AUTHENTIC: moment(PAST)}), malformed),
            (
                "authentic-time-not-critical",
                make(protected={SCHEME: SIGNING_AUTHORITY, AUTHENTIC: moment(PAST)}, dropped=(TIME,)),
                malformed,
            ),
            (
                "authority-trusted-as-signer",
                make(protected=by_authority | {AUTHENTIC: moment(datetime.now(timezone.utc))}, dropped=(TIME,)),
                Code.SIGNER_NOT_TRUSTED,
            ),
            ("plugin-demanded", make(protected=demanding), Code.PLUGIN_DEMANDED),
            ("payload-of-other-digest", make(payload=payload(digest=Digest.of(b"x"))), Code.SIGNATURE_OF_ANOTHER_IMAGE),
            ("payload-of-other-size", make(payload=payload(size=1)), Code.SIGNATURE_OF_ANOTHER_IMAGE),
            ("payload-of-other-media-type", make(payload=payload(media_type="a/b")), Code.SIGNATURE_OF_ANOTHER_IMAGE),
            ("payload-without-image", make(payload=b"{}"), malformed),
            ("payload-not-json", make(payload=b"\xff"), malformed),
            ("payload-no-object", make(payload=b"[]"), malformed),
            ("untrusted-signer", make(STRANGER), Code.SIGNER_NOT_TRUSTED),
            ("chain-empty", make(chain=()), Code.CERTIFICATE_CHAIN_INVALID),
            ("chain-of-another-signer", make(chain=STRANGER.chain), Code.SIGNATURE_INVALID),
        ):
            yield f"{kind}-{defect_name}", Defect(envelope, code, media_type)


def _chains() -> Iterator[tuple[str, Defect]]:
    """Defects of certificates; in JWS, as both envelopes end in the same check."""
    invalid = Code.CERTIFICATE_CHAIN_INVALID
    purposes = ExtendedKeyUsageOID
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
    constraints = x509.NameConstraints(permitted_subtrees=[x509.DirectoryName(name("x"))], excluded_subtrees=None)
    namesake = certificate(*[ca("Root CA", key_number=77)] * 2)  # type: ignore[arg-type]
    first, second, root = GOOD.chain
    changes: dict[str, Any]
    for defect_name, changes in (
        ("leaf-is-ca", {"ca": True}),
        ("leaf-without-key-usage", {"usages": None}),
        ("leaf-key-usage-not-critical", {"usage_critical": False}),
        ("leaf-without-digital-signature", {"usages": ("content_commitment",)}),
        ("leaf-with-key-cert-sign", {"usages": ("digital_signature", "key_cert_sign")}),
        ("leaf-with-key-encipherment", {"usages": ("digital_signature", "key_encipherment")}),
        ("leaf-with-data-encipherment", {"usages": ("digital_signature", "data_encipherment")}),
        ("leaf-with-key-agreement", {"usages": ("digital_signature", "key_agreement")}),
        ("leaf-with-crl-sign", {"usages": ("digital_signature", "crl_sign")}),
        ("leaf-for-server-auth", {"purposes": (purposes.SERVER_AUTH,)}),
        ("leaf-for-client-auth", {"purposes": (purposes.CODE_SIGNING, purposes.CLIENT_AUTH)}),
        ("leaf-for-email", {"purposes": (purposes.EMAIL_PROTECTION,)}),
        ("leaf-for-timestamping", {"purposes": (purposes.TIME_STAMPING,)}),
        ("leaf-for-ocsp-signing", {"purposes": (purposes.OCSP_SIGNING,)}),
    ):
        yield f"chain-{defect_name}", Defect(in_jws(under(leaf(**changes), ISSUER)), invalid)
    issuing: dict[str, Any]
    for defect_name, issuing in (
        ("issuer-no-ca", {"ca": False, "path_length": None}),
        ("issuer-without-basic-constraints", {"ca": None}),
        ("issuer-basic-constraints-not-critical", {"ca_critical": False}),
        ("issuer-without-key-usage", {"usages": None}),
        ("issuer-key-usage-not-critical", {"usage_critical": False}),
        ("issuer-without-key-cert-sign", {"usages": ("crl_sign",)}),
    ):
        yield f"chain-{defect_name}", Defect(in_jws(under(leaf(), ISSUER._replace(**issuing))), invalid)
    for defect_name, chain in (
        ("root-missing", (first, second)),
        ("leaf-alone", (first,)),
        ("unordered", (first, root, second)),
        ("extra-certificate", (*GOOD.chain, OTHER_ROOT)),
        ("root-twice", (*GOOD.chain, root)),
        ("intermediate-missing", (first, root)),
        ("same-subject-other-key", (first, second, namesake)),
    ):
        yield f"chain-{defect_name}", Defect(in_jws(chain=chain), invalid)
    yield "chain-reversed", Defect(in_jws(chain=GOOD.chain[::-1]), Code.SIGNATURE_INVALID)
    deep = under(leaf(), ISSUER._replace(path_length=None), root=OTHER_ROOT, root_profile=OTHER_ROOT_PROFILE)
    yield "chain-path-length-exceeded", Defect(in_jws(deep), invalid)
    for defect_name, kind in (("rsa-1024", "RSA-1024"), ("p224", "P-224"), ("p192", "P-192"), ("ed25519", "Ed25519")):
        yield f"chain-leaf-{defect_name}", Defect(in_jws(under(leaf(kind=kind), ISSUER)), Code.SIGNATURE_INVALID)
    yield (
        "chain-leaf-expired",
        Defect(
            in_jws(under(leaf(starts=-CENTURY / 4, ends=timedelta(days=-1)), ISSUER)), Code.CERTIFICATE_NOT_VALID_NOW
        ),
    )
    yield (
        "chain-issuer-expired",
        Defect(
            in_jws(under(leaf(), ISSUER._replace(starts=-CENTURY / 4, ends=timedelta(days=-1)))),
            Code.CERTIFICATE_NOT_VALID_NOW,
        ),
    )
    yield (
        "chain-leaf-not-yet-valid",
        Defect(in_jws(under(leaf(starts=CENTURY / 2), ISSUER)), Code.CERTIFICATE_NOT_VALID_NOW),
    )
    yield "chain-a-hundred-certificates", Defect(in_jws(chain=(first,) * 100), Code.EVIDENCE_LIMIT)
    for defect_name, signer in (
        (
            "leaf-for-any-purpose",
            under(leaf(purposes=(purposes.CODE_SIGNING, purposes.ANY_EXTENDED_KEY_USAGE)), ISSUER),
        ),
        ("leaf-with-unknown-critical-extension", under(leaf(critical_extensions=(unknown,)), ISSUER)),
        ("issuer-with-name-constraints", under(leaf(), ISSUER._replace(extensions=(constraints,)))),
        ("issuer-rsa-1024", under(leaf(), ISSUER._replace(kind="RSA-1024"))),
    ):
        yield f"chain-{defect_name}", Defect(in_jws(signer), invalid)


def _subjects() -> Iterator[tuple[str, Defect]]:
    """Signers whom no trusted identity can mean."""
    policy = {"trustedIdentities": ["x509.subject: C=US, ST=WA, O=Acme"]}
    parts = [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
        x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "WA"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme"),
    ]
    names = {
        "without-state": x509.Name([parts[0], parts[2]]),
        "of-another-organisation": name("build.example.com", O="Acme Evil"),
        "with-two-organisations": x509.Name([*parts, x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Evil")]),
        "with-a-multivalued-part": x509.Name(
            [x509.RelativeDistinguishedName(parts[:2]), x509.RelativeDistinguishedName(parts[2:])]
        ),
        "with-the-organisation-in-another-case": name("build.example.com", O="ACME"),
        "with-attributes-in-one-value": name("ST=WA, O=Acme", O="Evil"),
    }
    for defect_name, subject in names.items():
        signer = under(leaf(subject=subject), ISSUER)
        yield f"subject-{defect_name}", Defect(in_jws(signer), Code.IDENTITY_NOT_TRUSTED, policy=policy)


def _none() -> bytes:
    value = json.loads(in_jws(protected={"alg": "none"}))
    return json.dumps(value | {"signature": ""}).encode()


def _hs256(public: bytes) -> bytes:
    """Signed with the public key for a secret (the class of CVE-2015-9235)."""
    import hashlib
    import hmac

    value = json.loads(in_jws(protected={"alg": "HS256"}))
    made = hmac.digest(public, f"{value['protected']}.{value['payload']}".encode(), hashlib.sha256)
    return json.dumps(value | {"signature": b64url(made)}).encode()


def _general(good: dict[str, Any]) -> bytes:
    one = {member: good[member] for member in ("protected", "header", "signature")}
    return json.dumps({"payload": good["payload"], "signatures": [one]}).encode()
