"""Outcomes: what was found about one piece of evidence.

The five checks and the two actions are the Notary Project's (trust store and trust policy specification, "Signature
Verification details"); other formats use those that they have.
"""

from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Mapping, NamedTuple

from agent.errors import Cause, Code
from agent.model.digest import Digest


class Check(str, Enum):
    """One validation of a signature."""

    INTEGRITY = "integrity"
    AUTHENTICITY = "authenticity"
    AUTHENTIC_TIMESTAMP = "authenticTimestamp"
    EXPIRY = "expiry"
    REVOCATION = "revocation"


class Action(str, Enum):
    """What a failed check does: stop the verification, be noted, or never be run."""

    ENFORCE = "enforce"
    LOG = "log"
    SKIP = "skip"


class Status(str, Enum):
    """The three answers, of a check and of a whole outcome, and the check that was not run."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"


class CheckResult(NamedTuple):
    """The result of one check.  `code` is set if it failed, `cause` if it is inconclusive.

    `certificate` tells a certificate that was found to be revoked from all others; empty if none was.
    """

    check: Check
    action: Action
    status: Status
    message: str
    code: Code | None = None
    cause: Cause | None = None
    certificate: str = ""


class Outcome(NamedTuple):
    """What one verifier found about one piece of evidence.

    `status` is passed, failed (then `code` says how) or inconclusive (then `cause` says why).  `extensions` is what the
    format adds to the report for people and policies, for example issuer and subject of the signer, or what an
    attestation says: JSON values, bounded by the format.  `valid_until` is the moment from which the same checks would
    no longer pass, as far as the evidence tells: None if it names no end.  `told_until` is the moment at which others
    (who tell of revocation) may say something new: None if nobody was asked.
    `signers` are names of those who signed, each the same wherever it signs; empty where a format does not tell them.
    `unsigned`: whoever may push could have written what it rests on, so that it is a ground for nothing by itself.
    """

    digest: Digest
    artifact_type: str
    verifier: str
    verifier_type: str
    status: Status
    message: str
    code: Code | None = None
    cause: Cause | None = None
    checks: tuple[CheckResult, ...] = ()
    extensions: Mapping[str, object] = MappingProxyType({})
    valid_until: datetime | None = None
    told_until: datetime | None = None
    signers: tuple[str, ...] = ()
    unsigned: bool = False

    @property
    def is_of_another_kind(self) -> bool:
        """Whether it failed for being something else than its verifier looks for: a signature is no attestation."""
        return self.code in (Code.NO_SIGNATURE, Code.PREDICATE_TYPE_DIFFERS)
