"""Revocation and signing authorities as the trust policy sees them, and whom nobody asks."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from agent.errors import Cause, Code
from agent.formats.notation import NotationFormat
from agent.model.outcome import Check, CheckResult, Outcome, Status
from agent.trust import trustpolicy, trustpolicy_document
from agent.trust.truststore import TrustStores
from tests.formats.support import SUBJECT, decided, evidence, request
from tests.signing import PREFIX, Signer, envelope, rfc3339, trust_policy
from tests.trust.answers import HOUR, NOW, OCSP_URL, Ocsp, asked_at, chain_with, ocsp_answer

LEAF = OCSP_URL.format("leaf")
SIGNER = chain_with(asked_at(LEAF))
PLAIN = chain_with()
REVOKED = ocsp_answer(SIGNER.chain[0], SIGNER.chain[1], 32, Ocsp(status=ocsp.OCSPCertStatus.REVOKED))
GOOD = ocsp_answer(SIGNER.chain[0], SIGNER.chain[1], 32)
SCHEME, AUTHENTIC_TIME = PREFIX + "signingScheme", PREFIX + "authenticSigningTime"


def verifier(stores: dict[str, Signer], **statement: Any) -> NotationFormat:
    """A verifier with one statement over named trust stores, each with one signer's root."""
    policies, problems = trustpolicy_document.parse(trust_policy(trustStores=list(stores), **statement), "policy")
    assert not [problem for problem in problems if problem.fatal]
    named = {store: frozenset([each.root.public_bytes(Encoding.DER)]) for store, each in stores.items()}
    return NotationFormat("notation", policies, TrustStores(named))


def outcome(
    answers: dict[str, bytes],
    level: str = "strict",
    *,
    signer: Signer = SIGNER,
    trusted: Signer = SIGNER,
    signature: bytes = b"",
    store: str = "ca:certs",
    now: datetime = NOW,
    override: dict[str, str] | None = None,
) -> Outcome:
    verification = {"level": level} | ({"override": override} if override else {})
    chosen = verifier({store: trusted}, signatureVerification=verification)
    return decided(chosen.verify(request(), evidence(signature or envelope(signer, SUBJECT)), now), answers)


def revocation_of(found: Outcome) -> CheckResult:
    return next(check for check in found.checks if check.check is Check.REVOCATION)


def test_good_answer_passes_and_is_told() -> None:
    found = outcome({LEAF: GOOD})
    assert found.status is Status.PASSED
    assert revocation_of(found).message == "OCSP of ocsp.example.com"


@pytest.mark.parametrize(
    ("level", "override", "status", "code"),
    [
        ("strict", None, Status.FAILED, Code.CERTIFICATE_REVOKED),
        ("permissive", None, Status.PASSED, None),
        ("audit", None, Status.PASSED, None),
        ("strict", {"revocation": "log"}, Status.PASSED, None),
        ("strict", {"revocation": "skip"}, Status.PASSED, None),
        ("permissive", {"revocation": "enforce"}, Status.FAILED, Code.CERTIFICATE_REVOKED),
    ],
)
def test_revoked_certificate_under_each_level(
    level: str, override: dict[str, str] | None, status: Status, code: Code | None
) -> None:
    found = outcome({LEAF: REVOKED}, level, override=override)
    assert (found.status, found.code) == (status, code)
    if override != {"revocation": "skip"}:
        assert len(revocation_of(found).certificate) == 64


@pytest.mark.parametrize(
    ("level", "override", "status", "cause"),
    [
        ("strict", None, Status.INCONCLUSIVE, Cause.REVOCATION_UNKNOWN),
        ("permissive", None, Status.PASSED, None),
        ("strict", {"revocation": "log"}, Status.PASSED, None),
        ("strict", {"revocation": "skip"}, Status.PASSED, None),
    ],
)
def test_unanswered_question_under_each_level(
    level: str, override: dict[str, str] | None, status: Status, cause: Cause | None
) -> None:
    found = outcome({}, level, override=override)
    assert (found.status, found.cause) == (status, cause)
    assert revocation_of(found).status is (
        Status.SKIPPED if override == {"revocation": "skip"} else Status.INCONCLUSIVE
    )


class Nobody(dict[str, bytes]):
    """Answers that nobody may ask for."""

    def __contains__(self, url: object) -> bool:
        raise AssertionError(f"{url} was asked")


@pytest.mark.parametrize("override", [None, {"authenticity": "log"}])
def test_no_address_of_a_stranger_is_asked(override: dict[str, str] | None) -> None:
    stranger = chain_with(asked_at("http://169.254.169.254/"))
    found = outcome(Nobody(), signer=stranger, trusted=PLAIN._replace(chain=(PLAIN.chain[1],)), override=override)
    assert found.status is Status.FAILED
    assert found.code is Code.SIGNER_NOT_TRUSTED


def test_stranger_without_revocation_source_passes_where_authenticity_is_only_logged() -> None:
    trusted = PLAIN._replace(chain=(PLAIN.chain[1],))
    assert outcome({}, signer=PLAIN, trusted=trusted, override={"authenticity": "log"}).status is Status.PASSED


def test_nobody_is_asked_before_what_costs_nothing_was_looked_at() -> None:
    signed_at = {PREFIX + "signingTime": rfc3339(NOW - HOUR)}
    expired = envelope(SIGNER, SUBJECT, expiry=NOW - timedelta(minutes=1), protected=signed_at)
    found = outcome(Nobody(), signature=expired)
    assert found.code is Code.SIGNATURE_EXPIRED


def by_authority(signer: Signer, at: datetime) -> bytes:
    """An envelope under the signing authority's scheme."""
    return envelope(
        signer,
        SUBJECT,
        protected={
            SCHEME: "notary.x509.signingAuthority",
            AUTHENTIC_TIME: rfc3339(at),
            "crit": [SCHEME, AUTHENTIC_TIME],
        },
        dropped=(PREFIX + "signingTime",),
    )


AUTHORITY = "signingAuthority:acme"


def test_signing_authority_is_trusted_by_its_own_kind_of_store_alone() -> None:
    signature = by_authority(PLAIN, NOW - HOUR)
    assert outcome({}, signature=signature, signer=PLAIN, trusted=PLAIN, store=AUTHORITY).status is Status.PASSED
    assert outcome({}, signature=signature, signer=PLAIN, trusted=PLAIN).code is Code.SIGNER_NOT_TRUSTED
    assert outcome({}, signer=PLAIN, trusted=PLAIN, store=AUTHORITY).code is Code.SIGNER_NOT_TRUSTED


def test_time_of_a_signing_authority_is_what_certificates_must_have_been_valid_at() -> None:
    later = NOW + timedelta(days=400)
    good = outcome(
        {}, signature=by_authority(PLAIN, NOW - HOUR), signer=PLAIN, trusted=PLAIN, store=AUTHORITY, now=later
    )
    assert good.status is Status.PASSED
    early = by_authority(PLAIN, NOW - timedelta(days=400))
    found = outcome({}, signature=early, signer=PLAIN, trusted=PLAIN, store=AUTHORITY)
    assert found.code is Code.CERTIFICATE_NOT_VALID_NOW


@pytest.mark.parametrize("scope", ["*", "registry.example.com/shop/cart"])
def test_level_skip_exempts_the_image(scope: str) -> None:
    chosen = NotationFormat(
        "notation",
        [trustpolicy.TrustPolicy("dev", trustpolicy.SKIP, (scope,), {}, (), None)],
        TrustStores({}),
    )
    exemption = chosen.exemption(request())
    assert exemption is not None
    assert (exemption.status, exemption.message) == (Status.SKIPPED, "trust policy 'dev' skips verification")


def test_no_other_level_exempts() -> None:
    assert verifier({"ca:certs": SIGNER}).exemption(request()) is None
    elsewhere = trustpolicy.TrustPolicy("dev", trustpolicy.SKIP, ("registry.example.com/other",), {}, (), None)
    assert NotationFormat("notation", [elsewhere], TrustStores({})).exemption(request()) is None
