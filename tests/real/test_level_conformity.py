"""Levels and overrides before the real `notation` and before us: each against each defect that a signature can have."""

import time
from typing import Any, NamedTuple

import pytest

from tests.real.conformity import Bench, Image, Stores, agree, signed_before_it_ended, statement
from tests.signing import Profile, Signer, ca_profile, name, signer
from tests.simulators.authority import authority

pytestmark = pytest.mark.real


class Defective(NamedTuple):
    """An image with a defect, the stores to judge it by, and the identity that a statement trusts."""

    image: Image
    stores: Stores
    identity: str = "*"


DEFECTS = {
    "none": ("", ""),
    "wrong identity": ("authenticity", "NS-2104"),
    "untrusted": ("authenticity", "NS-2103"),
    "expired signature": ("expiry", "NS-2105"),
    "expired certificate": ("authenticTimestamp", "NS-2106"),
    "revoked": ("revocation", "NS-2111"),
    "not signed": ("signature", "NS-2001"),
}
"""Which check each defect fails, and our code for that."""

LOGGED = {
    "strict": (),
    "permissive": ("authenticTimestamp", "expiry", "revocation"),
    "audit": ("authenticity", "authenticTimestamp", "expiry", "revocation"),
    "skip": ("authenticity", "authenticTimestamp", "expiry", "revocation", "signature"),
}
"""What a level does not enforce, from the trust store and trust policy specification."""


@pytest.fixture(scope="module")
def defective(bench: Bench) -> dict[str, Defective]:
    """One image for each defect."""
    good = signer(Profile(name("build.example.com"), key_number=300), ca_profile("Level CA", key_number=301))
    trusted = {"ca:acme": [good.root]}

    def sign(made: Signer) -> tuple[Image, Signer]:
        return bench.signed("level-ended", made), made

    leaf = Profile(name("build.example.com"), key_number=300)
    ended, ending = signed_before_it_ended(leaf, ca_profile("Ending CA", key_number=301), sign)
    revoked = authority("level", bench.responder.base, number=45, ocsp=(0,))
    bench.announce(revoked, "ocsp", 0, revoked=True)
    found = {
        "none": Defective(bench.signed("level-none", good), trusted),
        "untrusted": Defective(bench.signed("level-untrusted", good), {"ca:acme": [ending.root]}),
        "expired certificate": Defective(ended, {"ca:acme": [ending.root]}),
        "expired signature": Defective(bench.signed("level-expired", good, "--expiry", "1s"), trusted),
        "revoked": Defective(bench.signed("level-revoked", revoked.signer), {"ca:acme": [revoked.root]}),
        "not signed": Defective(bench.image("signed/level-not"), trusted),
    }
    found["wrong identity"] = found["none"]._replace(identity="x509.subject: C=US, ST=WA, O=Other")
    time.sleep(1.1)  # the expiry of the one that expires
    return found


def trusting(case: Defective, level: str, override: dict[str, str] | None = None) -> dict[str, Any]:
    """One statement of a level."""
    verification = {"level": level} | ({"override": override} if override else {})
    if level != "skip":
        return statement(signatureVerification=verification, trustedIdentities=[case.identity])
    skipping = statement(signatureVerification=verification)
    for unwanted in ("trustStores", "trustedIdentities"):
        del skipping["trustPolicies"][0][unwanted]
    return skipping


@pytest.mark.parametrize("defect", DEFECTS)
@pytest.mark.parametrize("level", LOGGED)
def test_level(bench: Bench, defective: dict[str, Defective], level: str, defect: str) -> None:
    case = defective[defect]
    failed, code = DEFECTS[defect]
    accepted = not failed or failed in LOGGED[level]
    verdicts = bench.judge(case.image, trusting(case, level), case.stores)
    allowed = "NS-0002" if level == "skip" else "NS-0001"
    agree(verdicts, accepted=accepted, code=allowed if accepted else code)


@pytest.mark.parametrize("defect", [name for name, (failed, _) in DEFECTS.items() if failed not in ("", "signature")])
@pytest.mark.parametrize(("level", "action"), [("strict", "log"), ("audit", "enforce")])
def test_override(bench: Bench, defective: dict[str, Defective], level: str, action: str, defect: str) -> None:
    case = defective[defect]
    failed, code = DEFECTS[defect]
    verdicts = bench.judge(case.image, trusting(case, level, {failed: action}), case.stores)
    agree(verdicts, accepted=action == "log", code="NS-0001" if action == "log" else code)


REFUSED = {
    "integrity is overridden": {"level": "strict", "override": {"integrity": "log"}},
    "authenticity is skipped": {"level": "strict", "override": {"authenticity": "skip"}},
    "a check that does not exist": {"level": "strict", "override": {"colour": "log"}},
    "an action that does not exist": {"level": "strict", "override": {"expiry": "perhaps"}},
    "skip is overridden": {"level": "skip", "override": {"expiry": "log"}},
    "a level that does not exist": {"level": "severe"},
    "no level": {"level": ""},
    "a level in capitals": {"level": "STRICT"},
    "a timestamp rule that does not exist": {"level": "strict", "verifyTimestamp": "never"},
}


@pytest.mark.parametrize("what", REFUSED)
def test_policy_that_neither_takes(bench: Bench, defective: dict[str, Defective], what: str) -> None:
    case = defective["none"]
    verdicts = bench.judge(case.image, statement(signatureVerification=REFUSED[what]), case.stores)
    assert verdicts.notation is False, verdicts.said
    assert verdicts.exit == 3, verdicts.line
