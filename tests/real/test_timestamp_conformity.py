"""Timestamps before the real `notation` and before us: whose, when, of what, and what a policy makes of them."""

import base64
import json
import pathlib
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple, get_args

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.real.conformity import CONFIGURATION_INVALID, Bench, Image, Json, agree, signed_before_it_ended, statement
from tests.signing import PREFIX, Profile, Signer, ca_profile, name, signer
from tests.simulators import tsa
from tests.simulators.authority import Authority, authority
from tests.testbed.signatures import signature_of

pytestmark = pytest.mark.real

TSA_STORES = ["ca:acme", "tsa:acme"]
VERIFY = ("always", "afterCertExpiry")


class Clock(NamedTuple):
    """A timestamp authority at an address of the node's, and the file of its root."""

    authority: Signer
    url: str
    root: pathlib.Path

    @property
    def options(self) -> tuple[str, ...]:
        """What `notation sign` is told."""
        return "--timestamp-url", self.url, "--timestamp-root-cert", str(self.root)


class Signed(NamedTuple):
    """One signing certificate's images, with and without a timestamp."""

    signer: Signer
    stamped: Image
    bare: Image


class Fresh(NamedTuple):
    """An image with an envelope that `notation` made without a timestamp, to put one into."""

    signer: Signer
    image: Image
    envelope: dict[str, Any]

    @property
    def signature(self) -> bytes:
        """The bytes that a timestamp is over."""
        return base64.urlsafe_b64decode(self.envelope["signature"] + "==")

    def stamp(self, bench: Bench, token: bytes) -> None:
        """Put a timestamp into the envelope, in place of what was there."""
        header = {**self.envelope["header"], PREFIX + "timestampSignature": base64.b64encode(token).decode()}
        bench.attach(self.image, json.dumps({**self.envelope, "header": header}).encode())


def clock(bench: Bench, label: str, made: Signer) -> Clock:
    """Put a timestamp authority into the node's network."""
    path = f"/tsa/{label}"
    bench.responder.serve(path, lambda query: tsa.answer(query, made), tsa.REPLY_TYPE)
    root = bench.node.work / f"tsa-{label}.pem"
    root.write_bytes(made.root_pem)
    return Clock(made, bench.responder.base + path, root)


def policy(verify: str = "always", stores: list[str] | None = None) -> Json:
    """One strict statement that names a timestamp store."""
    verification = {"level": "strict", "verifyTimestamp": verify}
    return statement(signatureVerification=verification, trustStores=stores or TSA_STORES)


@pytest.fixture(scope="module")
def good(bench: Bench) -> Clock:
    """A good authority."""
    return clock(bench, "good", tsa.usual_tsa())


@pytest.fixture(scope="module")
def fresh(bench: Bench) -> Fresh:
    """One of them for the whole module: each case replaces its timestamp."""
    made = signer(Profile(name("build.example.com"), key_number=200), ca_profile("Valid CA", key_number=201))
    image = bench.signed("stamped-by-us", made)
    return Fresh(made, image, signature_of(bench.node, image.repository, str(image.descriptor.digest))[1])


@pytest.fixture(scope="module", params=["jws", "cose"])
def valid(bench: Bench, good: Clock, request: pytest.FixtureRequest) -> Signed:
    """Certificates that are valid."""
    made = signer(Profile(name("build.example.com"), key_number=200), ca_profile("Valid CA", key_number=201))
    label = f"stamped-valid-{request.param}"
    stamped = bench.signed(label, made, *good.options, envelope=request.param)
    return Signed(made, stamped, bench.signed(f"{label}-not", made, envelope=request.param))


@pytest.fixture(scope="module", params=["jws", "cose"])
def ended(bench: Bench, good: Clock, request: pytest.FixtureRequest) -> Signed:
    """A signing certificate that was valid when it signed, and no longer is."""

    def sign(made: Signer) -> Signed:
        label = f"stamped-ended-{request.param}"
        stamped = bench.signed(label, made, *good.options, envelope=request.param)
        return Signed(made, stamped, bench.signed(f"{label}-not", made, envelope=request.param))

    leaf = Profile(name("build.example.com"), key_number=200)
    return signed_before_it_ended(leaf, ca_profile("Ended CA", key_number=201), sign)


@pytest.mark.parametrize("verify", VERIFY)
def test_valid_certificate_with_a_timestamp(bench: Bench, valid: Signed, good: Clock, verify: str) -> None:
    stores = {"ca:acme": [valid.signer.root], "tsa:acme": [good.authority.root]}
    agree(bench.judge(valid.stamped, policy(verify), stores), accepted=True)


@pytest.mark.parametrize("verify", VERIFY)
def test_valid_certificate_without_a_timestamp(bench: Bench, valid: Signed, good: Clock, verify: str) -> None:
    stores = {"ca:acme": [valid.signer.root], "tsa:acme": [good.authority.root]}
    verdicts = bench.judge(valid.bare, policy(verify), stores)
    if verify == "always":
        agree(verdicts, accepted=False, says="no timestamp countersignature", code="NS-2110")
    else:
        agree(verdicts, accepted=True)


@pytest.mark.parametrize("verify", VERIFY)
def test_ended_certificate_with_a_timestamp(bench: Bench, ended: Signed, good: Clock, verify: str) -> None:
    stores = {"ca:acme": [ended.signer.root], "tsa:acme": [good.authority.root]}
    agree(bench.judge(ended.stamped, policy(verify), stores), accepted=True)


@pytest.mark.parametrize("verify", VERIFY)
def test_ended_certificate_without_a_timestamp(bench: Bench, ended: Signed, good: Clock, verify: str) -> None:
    stores = {"ca:acme": [ended.signer.root], "tsa:acme": [good.authority.root]}
    verdicts = bench.judge(ended.bare, policy(verify), stores)
    agree(verdicts, accepted=False, says="no timestamp countersignature", code="NS-2110")


def test_without_a_store_no_timestamp_helps(bench: Bench, ended: Signed) -> None:
    verdicts = bench.judge(ended.stamped, statement(), {"ca:acme": [ended.signer.root]})
    agree(verdicts, accepted=False, says="it was expired", code="NS-2106")


def test_timestamp_by_a_stranger(bench: Bench, ended: Signed) -> None:
    stores = {"ca:acme": [ended.signer.root], "tsa:acme": [tsa.usual_tsa("time.example.net", number=1).root]}
    verdicts = bench.judge(ended.stamped, policy(), stores)
    agree(verdicts, accepted=False, says="unknown authority", code="NS-2110")


def test_store_that_is_missing(bench: Bench, ended: Signed) -> None:
    verdicts = bench.judge(ended.stamped, policy(), {"ca:acme": [ended.signer.root]})
    agree(verdicts, accepted=False, says="does not exist", code="")
    assert verdicts.exit == CONFIGURATION_INVALID


@pytest.mark.parametrize("kind", ["RSA-2048", "RSA-3072", "P-384", "P-521"])
def test_key_of_a_timestamp_authority(bench: Bench, kind: str) -> None:
    keeper = clock(bench, kind.lower(), tsa.usual_tsa(kind=kind, number=2))
    made = signer(Profile(name("build.example.com"), key_number=200), ca_profile("Valid CA", key_number=201))
    image = bench.signed(f"stamped-by-{kind.lower()}", made, *keeper.options)
    stores = {"ca:acme": [made.root], "tsa:acme": [keeper.authority.root]}
    agree(bench.judge(image, policy(), stores), accepted=True)


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("source", ["ocsp", "crl"])
def test_revoked_timestamp_authority(bench: Bench, source: str, depth: int) -> None:
    sources: dict[str, Any] = {source: (depth,)}
    keeper = authority(f"tsa-{source}-{depth}", bench.responder.base, number=30, tsa=True, **sources)
    bench.announce(keeper, source, depth, revoked=False)
    made = signer(Profile(name("build.example.com"), key_number=200), ca_profile("Valid CA", key_number=201))
    image = bench.signed(f"stamped-{keeper.label}", made, *clock(bench, keeper.label, keeper.signer).options)
    stores = {"ca:acme": [made.root], "tsa:acme": [keeper.root]}
    agree(bench.judge(image, policy(), stores), accepted=True)
    bench.announce(keeper, source, depth, revoked=True)
    agree(bench.judge(image, policy(), stores), accepted=False, says="revoked", code="NS-2111")


@pytest.fixture(scope="module")
def unanswered(bench: Bench) -> tuple[Authority, Signed]:
    """An image whose timestamp's authority is not known to be good any more: nobody answers."""
    keeper = authority("tsa-unanswered", bench.responder.base, number=30, tsa=True, ocsp=(0,))
    bench.announce(keeper, "ocsp", 0)
    made = signer(Profile(name("build.example.com"), key_number=200), ca_profile("Valid CA", key_number=201))
    image = bench.signed("stamped-unanswered", made, *clock(bench, keeper.label, keeper.signer).options)
    bench.responder.serve(keeper.responder(0), b"", status=500)
    return keeper, Signed(made, image, image)


OVERRIDES = {
    "none": ({}, False),
    "revocation skipped": ({"revocation": "skip"}, False),  # that is about the signer's certificates
    "timestamp logged": ({"authenticTimestamp": "log"}, True),
}


@pytest.mark.parametrize("override", OVERRIDES)
def test_timestamp_authority_that_may_be_revoked(
    bench: Bench, unanswered: tuple[Authority, Signed], override: str
) -> None:
    keeper, signed = unanswered
    overridden, accepted = OVERRIDES[override]
    asked = policy()
    asked["trustPolicies"][0]["signatureVerification"]["override"] = overridden
    verdicts = bench.judge(signed.stamped, asked, {"ca:acme": [signed.signer.root], "tsa:acme": [keeper.root]})
    agree(verdicts, accepted=accepted, code="NS-0001" if accepted else "NS-3004")


FLAWS = {
    "other_imprint": (False, "NS-2110"),
    "tampered_signature": (False, "NS-2110"),
    "tampered_info": (False, "NS-2110"),
    "no_signing_certificate": (False, "NS-2110"),
    "wrong_signing_certificate": (False, "NS-2110"),
    "signing_certificate_v1": (False, "NS-2110"),
    "imprecise": (True, "NS-0001"),  # the certificates are valid for longer than that
    "version_2": (False, "NS-2110"),
    "other_content_type": (False, "NS-2110"),
    "no_certificates": (False, "NS-2110"),
    "weak_imprint": (False, "NS-2110"),
    "trailing_bytes": (False, "NS-2110"),
}


def test_every_flaw_has_its_case() -> None:
    assert set(FLAWS) | {""} == set(get_args(tsa.Flaw))


@pytest.mark.parametrize("flaw", get_args(tsa.Flaw))
def test_flaw_of_a_timestamp(bench: Bench, fresh: Fresh, good: Clock, flaw: tsa.Flaw) -> None:
    fresh.stamp(bench, tsa.token(fresh.signature, good.authority, flaw=flaw))
    stores = {"ca:acme": [fresh.signer.root], "tsa:acme": [good.authority.root]}
    accepted, code = FLAWS.get(flaw, (True, "NS-0001"))
    agree(bench.judge(fresh.image, policy(), stores), accepted=accepted, code=code)


DAY = timedelta(days=1)
MOMENTS = {"hours before the certificate": -30, "within": -1, "hours after the certificate": 30}


@pytest.mark.parametrize("moment", MOMENTS)
def test_time_of_a_timestamp(bench: Bench, fresh: Fresh, moment: str) -> None:
    keeper = tsa.usual_tsa("long.example.com", number=3, starts=-9 * DAY, ends=9 * DAY)
    at = datetime.now(timezone.utc) + timedelta(hours=MOMENTS[moment])
    fresh.stamp(bench, tsa.token(fresh.signature, keeper, at=at))
    stores = {"ca:acme": [fresh.signer.root], "tsa:acme": [keeper.root]}
    inside = moment == "within"
    agree(bench.judge(fresh.image, policy(), stores), accepted=inside, code="NS-0001" if inside else "NS-2110")


@pytest.mark.parametrize("flaw", ["", "imprecise"])
def test_timestamp_too_imprecise_to_say_whether_the_certificate_had_ended(
    bench: Bench, fresh: Fresh, flaw: tsa.Flaw
) -> None:
    keeper = tsa.usual_tsa("long.example.com", number=3, starts=-9 * DAY, ends=9 * DAY)
    at = fresh.signer.chain[0].not_valid_after_utc - timedelta(minutes=10)
    fresh.stamp(bench, tsa.token(fresh.signature, keeper, at=at, flaw=flaw))
    stores = {"ca:acme": [fresh.signer.root], "tsa:acme": [keeper.root]}
    agree(bench.judge(fresh.image, policy(), stores), accepted=not flaw, code="NS-2110" if flaw else "NS-0001")


STAMPS = ExtendedKeyUsageOID.TIME_STAMPING
UNFIT: dict[str, dict[str, Any]] = {
    "expired when it stamped": {"starts": -2 * DAY, "ends": timedelta(hours=-1)},
    "not yet valid when it stamped": {"starts": timedelta(hours=1), "ends": DAY},
    "of no purpose": {"purposes": ()},
    "for code signing": {"purposes": (ExtendedKeyUsageOID.CODE_SIGNING,)},
    "for more than timestamps": {"purposes": (STAMPS, ExtendedKeyUsageOID.CODE_SIGNING)},
    "for timestamps, uncritically": {"purposes_critical": False},
    "a CA": {"ca": True, "usages": ("digital_signature", "key_cert_sign")},
    "for agreeing on keys": {"usages": ("digital_signature", "key_agreement")},
    "without key usage": {"usages": None},
}


@pytest.mark.parametrize("defect", UNFIT)
def test_certificate_of_a_timestamp_authority(bench: Bench, fresh: Fresh, defect: str) -> None:
    keeper = tsa.usual_tsa("unfit.example.com", number=4, **UNFIT[defect])
    fresh.stamp(bench, tsa.token(fresh.signature, keeper))
    stores = {"ca:acme": [fresh.signer.root], "tsa:acme": [keeper.root]}
    agree(bench.judge(fresh.image, policy(), stores), accepted=False, code="NS-2110")
