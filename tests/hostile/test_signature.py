"""Signatures that are not what they must be: items 19 to 23 of the list of hostile inputs."""

import base64
import hmac
import json
from datetime import timedelta
from typing import Any, Callable

import cbor2
import pytest
from cbor2 import CBORTag
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.manifest import IMAGE_INDEX
from tests.hostile.measure import Measured
from tests.hostile.messages import COSE_TYPE, cose
from tests.hostile.stage import PROMPT, Asked, Case, Stage, check, run_all
from tests.signing import (
    ENVELOPE_TYPE,
    PREFIX,
    Profile,
    Signer,
    b64url,
    ca_profile,
    certificate,
    descriptor_json,
    envelope,
    name,
    signer,
    usual_signer,
)

pytestmark = pytest.mark.frozen

Made = Callable[[Stage, Descriptor], bytes]


def slug(text: str) -> str:
    """A repository for a case."""
    return "case/" + "-".join("".join(each if each.isalnum() else " " for each in text.lower()).split())


def case(text: str, made: Made, exit_code: int, code: str, media_type: str = ENVELOPE_TYPE) -> Case:
    """An image with one signature, an envelope that `made` makes."""

    def ask(stage: Stage) -> Asked:
        def layers(image: Descriptor, content: bytes) -> list[dict[str, Any]]:
            return [descriptor_json(Descriptor(media_type, Digest.of(content), len(content)))]

        repository = slug(text)
        image = stage.registry.push_image(repository, "1", salt=repository)
        content = made(stage, image)
        return stage.image_with(repository, lambda _: content, layers=layers(image, content))

    return Case(text, ask, exit_code, code, PROMPT)


def jws(**changes: Any) -> Made:
    """A JWS envelope with changes, by the trusted signer."""
    return lambda stage, image: envelope(stage.trusted, image, **changes)


def of_other(change: Callable[[Descriptor], Descriptor]) -> Made:
    """A good signature of something else."""
    return lambda stage, image: envelope(stage.trusted, change(image))


def rewritten(change: Callable[[dict[str, Any]], Any]) -> Made:
    """A good JWS envelope, then changed."""
    return lambda stage, image: json.dumps(change(json.loads(envelope(stage.trusted, image)))).encode()


def general(value: dict[str, Any]) -> dict[str, Any]:
    """The general serialisation."""
    one = {member: value[member] for member in ("protected", "header", "signature")}
    return {"payload": value["payload"], "signatures": [one, one]}


def hs256(stage: Stage, image: Descriptor) -> bytes:
    """A MAC, the key of which is the public key."""
    public = stage.trusted.chain[0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    value = json.loads(envelope(stage.trusted, image, protected={"alg": "HS256"}))
    signed = f"{value['protected']}.{value['payload']}".encode()
    return json.dumps(value | {"signature": b64url(hmac.digest(public, signed, "sha256"))}).encode()


def unencoded(stage: Stage, image: Descriptor) -> bytes:
    """RFC 7797's b64=false, marked critical."""
    critical = [PREFIX + "signingScheme", "b64"]
    return envelope(stage.trusted, image, protected={"b64": False, "crit": critical})


def in_cose(**changes: Any) -> Made:
    """A COSE envelope with changes, by the trusted signer."""
    return lambda stage, image: cose(stage.trusted, image, **changes)


def tagged(parts: list[Any]) -> bytes:
    """The usual end of a COSE message."""
    return cbor2.dumps(CBORTag(18, parts))


def detached(parts: list[Any]) -> bytes:
    """Without its payload."""
    return tagged([*parts[:2], None, parts[3]])


def key_twice(header: dict[Any, Any]) -> bytes:
    """A header with the algorithm twice."""
    encoded = cbor2.dumps(header)
    return bytes([encoded[0] + 1]) + encoded[1:] + b"\x01\x26"


def by(**changes: Any) -> Made:
    """Signed by a certificate that the trusted CA issued, with these changes."""
    return lambda stage, image: envelope(stage.issued(**changes), image)


def under(change: Callable[[tuple[x509.Certificate, ...]], tuple[x509.Certificate, ...]]) -> Made:
    """The chain is put otherwise."""
    return lambda stage, image: envelope(stage.trusted, image, chain=change(stage.trusted.chain))


def by_chain(leaf: Profile, *issuers: Profile) -> Made:
    """Signed under a chain of a stranger's."""
    return lambda _, image: envelope(signer(leaf, *issuers), image)


def imitated(stage: Stage, image: Descriptor) -> bytes:
    """By somebody whose certificates all have the trusted ones' subjects."""
    return envelope(usual_signer(number=5), image)


def with_trusted_root(stage: Stage, image: Descriptor) -> bytes:
    """By somebody who puts the trusted root behind certificates of their own."""
    stranger = usual_signer(number=5)
    return envelope(stranger, image, chain=(*stranger.chain[:-1], stage.trusted.root))


def from_root(stage: Stage, image: Descriptor) -> bytes:
    """The signing certificate is a CA: the trusted one that issues."""
    return envelope(Signer(stage.trusted.chain[1:], "P-256", 1), image)


def names_only(stage: Stage, image: Descriptor) -> bytes:
    """One certificate whose key did not sign it."""
    broken = certificate(Profile(name("build.example.com")), ca_profile("build.example.com Issuing CA", key_number=77))
    return envelope(Signer((broken, *stage.trusted.chain[1:]), "P-256", 0), image)


def of_rdn(*parts: list[tuple[x509.ObjectIdentifier, str]]) -> x509.Name:
    """A subject, part by part."""
    return x509.Name([x509.RelativeDistinguishedName([x509.NameAttribute(*pair) for pair in part]) for part in parts])


def plain_parts(common_name: str) -> list[list[tuple[x509.ObjectIdentifier, str]]]:
    """The trusted identity's attributes and a common name."""
    pairs = [(NameOID.COUNTRY_NAME, "US"), (NameOID.STATE_OR_PROVINCE_NAME, "WA"), (NameOID.ORGANIZATION_NAME, "Acme")]
    return [*([pair] for pair in pairs), [(NameOID.COMMON_NAME, common_name)]]


CONSTRAINTS = x509.NameConstraints([x509.DNSName("example.net")], None)
ANY_TYPE, OTHER = "text/plain", Digest.of(b"another image")
CRIT = PREFIX + "signingScheme"
CASES = (
    case("19 of another digest", of_other(lambda image: image._replace(digest=OTHER)), 10, "NS-2102"),
    case("19 of another size", of_other(lambda image: image._replace(size=image.size + 1)), 10, "NS-2102"),
    case("19 of another media type", of_other(lambda image: image._replace(media_type=IMAGE_INDEX)), 10, "NS-2102"),
    case("19 of the same image in another repository", of_other(lambda image: image), 0, "NS-0001"),
    case("19 of nothing", jws(payload=b"{}"), 10, "NS-2002"),
    case("19 of a payload that is no JSON", jws(payload=b"image"), 10, "NS-2002"),
    case("20 alg none", jws(protected={"alg": "none"}, outer={"signature": ""}), 10, "NS-2101"),
    case("20 HS256 with the public key", hs256, 10, "NS-2101"),
    case("20 an algorithm of another key", jws(protected={"alg": "PS256"}), 10, "NS-2101"),
    case("20 a stronger algorithm than the key's", jws(protected={"alg": "ES512"}), 10, "NS-2101"),
    case("20 an unknown critical header", jws(protected={"x": 1, "crit": [CRIT, "x"]}), 10, "NS-2002"),
    case("20 a critical header that is not there", jws(protected={"crit": [CRIT, "x"]}), 10, "NS-2002"),
    case("20 nothing is critical", jws(protected={"crit": []}), 10, "NS-2002"),
    case("20 b64 false", unencoded, 10, "NS-2002"),
    case("20 the general serialisation", rewritten(general), 10, "NS-2002"),
    case("20 two signatures in a list", rewritten(lambda value: [value, value]), 10, "NS-2002"),
    case("20 both serialisations", rewritten(lambda value: value | general(value)), 10, "NS-2002"),
    case("20 an unprotected alg", jws(header={"alg": "ES256"}), 10, "NS-2002"),
    case("20 an unprotected alg alone", jws(dropped=("alg",), header={"alg": "ES256"}), 10, "NS-2002"),
    case("20 data behind it", lambda stage, image: envelope(stage.trusted, image) + b"{}", 10, "NS-2002"),
    case("20 one bit", jws(outer={"signature": b64url(b"\0" * 64)}), 10, "NS-2101"),
    case("20 a signature of 100 KB", jws(outer={"signature": b64url(b"\1" * 100_000)}), 10, "NS-2101"),
    case("20 300 KB", jws(header={"x": "x" * 300_000}), 10, "NS-2004"),
    case("20 of another media type", jws(), 10, "NS-2005", ANY_TYPE),
    case("20 nested 50000 deep", lambda *_: b"[" * 50_000, 10, "NS-2004"),
    case("21 a good one", in_cose(), 0, "NS-0001", COSE_TYPE),
    case("21 a list of indefinite length", in_cose(finish=lambda parts: b"\xd2\x9f" + tagged(parts)[2:] + b"\xff"), 10,
         "NS-2002", COSE_TYPE),
    case("21 a header of indefinite length",
         in_cose(encode=lambda header: b"\xbf" + cbor2.dumps(header)[1:] + b"\xff"), 10, "NS-2002", COSE_TYPE),
    case("21 a key twice", in_cose(encode=key_twice), 10, "NS-2002", COSE_TYPE),
    case("21 no tag", in_cose(finish=lambda parts: cbor2.dumps(parts)), 10, "NS-2002", COSE_TYPE),
    case("21 another tag", in_cose(finish=lambda parts: cbor2.dumps(CBORTag(98, parts))), 10, "NS-2002", COSE_TYPE),
    case("21 another content type", in_cose(protected={3: ANY_TYPE}), 10, "NS-2002", COSE_TYPE),
    case("21 nested 20 deep", in_cose(protected={"x": json.loads("[" * 20 + "]" * 20)}), 10, "NS-2002", COSE_TYPE),
    case("21 nested 100000 deep", lambda *_: b"\xd2" + b"\x81" * 100_000, 10, "NS-2002", COSE_TYPE),
    case("21 an integer in a longer form",
         in_cose(encode=lambda header: cbor2.dumps(header).replace(b"\x01\x26", b"\x01\x38\x06", 1)), 10, "NS-2002",
         COSE_TYPE),
    case("21 an unknown critical header", in_cose(protected={"x": 1, 2: [CRIT, "x"]}), 10, "NS-2002", COSE_TYPE),
    case("21 an unknown algorithm", in_cose(protected={1: -8}), 10, "NS-2002", COSE_TYPE),
    case("21 a detached payload", in_cose(finish=detached), 10, "NS-2002", COSE_TYPE),
    case("21 a length of two GiB", lambda *_: b"\xd2\x84\x5a\x7f\xff\xff\xff", 10, "NS-2002", COSE_TYPE),
    case("21 a billion entries", lambda *_: b"\xd2\x9a\x3b\x9a\xca\x00", 10, "NS-2002", COSE_TYPE),
    case("21 200000 entries", lambda *_: b"\xd2" + cbor2.dumps([0] * 200_000), 10, "NS-2002", COSE_TYPE),
    case("21 JSON as COSE", jws(), 10, "NS-2002", COSE_TYPE),
    case("21 COSE as JSON", in_cose(), 10, "NS-2002"),
    case("22 the signing certificate is a CA", from_root, 10, "NS-2107"),
    case("22 it says CA true", by(ca=True), 10, "NS-2107"),
    case("22 no extended key usage", by(purposes=()), 0, "NS-0001"),
    case("22 an extended key usage of servers", by(purposes=(ExtendedKeyUsageOID.SERVER_AUTH,)), 10, "NS-2107"),
    case("22 any extended key usage", by(purposes=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)), 10, "NS-2107"),
    case("22 a wrong key usage", by(usages=("key_encipherment",)), 10, "NS-2107"),
    case("22 no key usage", by(usages=None), 10, "NS-2107"),
    case("22 the root first", under(lambda chain: chain[::-1]), 10, "NS-2101"),
    case("22 another order", under(lambda chain: (chain[0], chain[2], chain[1])), 10, "NS-2107"),
    case("22 without its root", under(lambda chain: chain[:2]), 10, "NS-2107"),
    case("22 one certificate too many", under(lambda chain: (*chain, usual_signer(number=5).root)), 10, "NS-2107"),
    case("22 the signing certificate twice", under(lambda chain: (chain[0], *chain)), 10, "NS-2107"),
    case("22 1000 certificates", under(lambda chain: chain[:1] * 1000), 10, "NS-2004"),
    case("22 200 certificates", under(lambda chain: chain[:1] * 200), 10, "NS-2004"),
    case("22 name constraints", by(extensions=(CONSTRAINTS,)), 10, "NS-2107"),
    case("22 critical name constraints", by(critical_extensions=(CONSTRAINTS,)), 10, "NS-2107"),
    case("22 an unknown critical extension",
         by(critical_extensions=(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0"),)), 10,
         "NS-2107"),
    case("22 RSA 1024", by(kind="RSA-1024"), 10, "NS-2101"),
    case("22 P-224", by(kind="P-224"), 10, "NS-2101"),
    case("22 P-192", by(kind="P-192"), 10, "NS-2101"),
    case("22 Ed25519", by(kind="Ed25519"), 10, "NS-2101"),
    case("22 DSA", by(kind="DSA-2048"), 10, "NS-2101"),
    case("22 a stranger's RSA 1024 CA",
         by_chain(Profile(name("x"), key_number=61), ca_profile("weak", kind="RSA-1024", key_number=62)), 10,
         "NS-2107"),
    case("22 expired now", by(starts=timedelta(days=-9), ends=timedelta(hours=-1)), 10, "NS-2110"),
    case("22 not valid yet", by(starts=timedelta(hours=1), ends=timedelta(days=1)), 10, "NS-2106"),
    case("22 self-signed", by_chain(Profile(name("self"), key_number=63)), 10, "NS-2103"),
    case("22 the same subjects, other keys", imitated, 10, "NS-2103"),
    case("22 the trusted root behind others", with_trusted_root, 10, "NS-2107"),
    case("22 signed by another key than its issuer's", names_only, 10, "NS-2107"),
    case("22 a subject with =#", by(subject=of_rdn(*plain_parts("a=#04024869, O=#0"))), 0, "NS-0001"),
    case("22 a subject with =# for an organisation", by(subject=name("x", O="#0402")), 10, "NS-2104"),
    case("22 a subject with commas", by(subject=name("x", O="Other, O=Acme")), 10, "NS-2104"),
    case("22 a subject with a NUL", by(subject=name("x", O="Acme\0")), 10, "NS-2104"),
    case("22 a subject with a look-alike", by(subject=name("x", O="\u0410cme")), 10, "NS-2104"),
    case("22 a subject of several values in one part",
         by(subject=of_rdn(*[[pair for part in plain_parts("x") for pair in part]])), 10, "NS-2104"),
    case("22 two organisations", by(subject=of_rdn([(NameOID.ORGANIZATION_NAME, "Other")], *plain_parts("x"))), 10,
         "NS-2104"),
    case("22 a subject that is not ASCII", by(subject=name("\u6771\u4eac", L="Z\u00fcrich")), 0, "NS-0001"),
    case("22 a certificate that is none", jws(header={"x5c": [base64.b64encode(b"0\x82").decode()]}), 10, "NS-2107"),
    case("23 no certificate", jws(header={"x5c": []}), 10, "NS-2107"),
    case("23 an empty certificate", jws(header={"x5c": [""]}), 10, "NS-2107"),
    case("23 no list of certificates", jws(header={"x5c": None}), 10, "NS-2002"),
    case("23 no certificate in COSE", in_cose(unprotected={33: []}), 10, "NS-2107", COSE_TYPE),
    case("23 a bare certificate in COSE", in_cose(unprotected={33: b""}), 10, "NS-2002", COSE_TYPE),
)  # fmt: skip


@pytest.fixture(scope="module")
def found(stage: Stage) -> dict[str, Measured]:
    """What came of every case."""
    return run_all(stage, "signature", CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_signature(case: Case, found: dict[str, Measured], stage: Stage) -> None:
    check(case, found[case.name], stage.base)
