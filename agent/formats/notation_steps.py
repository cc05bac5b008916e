"""The numbered steps of verifying one Notary Project signature under one trust policy statement.

Notary Project, trust store and trust policy specification, "Steps" of signature verification; the numbers are those of
`agent.formats.notation`.  Loaded when there is a signature: `cryptography` comes with it.  What reads timestamps, and
what asks about revocation, is loaded by the first signature that needs it.

Pure: what revocation has to ask is yielded (`agent.model.inquiry.Inquiry`).
"""

from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Mapping, NamedTuple, Sequence

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from agent.errors import Cause, Code, Malformed
from agent.formats import notation_envelope as envelopes
from agent.formats.notation_envelope import Envelope
from agent.model.descriptor import Descriptor
from agent.model.evidence import Evidence
from agent.model.inquiry import Inquiry
from agent.model.outcome import Action, Check, CheckResult, Status
from agent.model.signer import DeniedSigner
from agent.trust import chain as chains
from agent.trust import identity
from agent.trust.algorithms import verify_signature
from agent.trust.revocationstatus import Status as Revoked
from agent.trust.trustpolicy import AFTER_CERT_EXPIRY, TrustPolicy
from agent.trust.truststore import TrustStores

if TYPE_CHECKING:
    from agent.trust.revocation import Revocation

_JWS, _COSE = "application/jose+json", "application/cose"
_STORE_OF_SCHEME = {envelopes.SCHEME_X509: "ca", envelopes.SCHEME_SIGNING_AUTHORITY: "signingAuthority"}
_TSA = "tsa"


class Signature(NamedTuple):
    """An envelope whose integrity holds, with its certificates."""

    envelope: Envelope
    chain: tuple[Certificate, ...]

    @property
    def signer(self) -> Certificate:
        """The signing certificate."""
        return self.chain[0]


class Appraisal(NamedTuple):
    """What the steps came to: every check, and what failed, if anything.

    `code` is None unless an enforced check, or one that no policy can lower, failed; then `message` says how.  Else
    `signer` holds the signer's issuer and subject, under Ratify's names, and `valid_until` is when an enforced check
    will fail: the end of the signature, and of the certificates unless an authentic time stands for them.  `told_until`
    is when the next word about revocation is due.
    """

    signer: Mapping[str, str]
    checks: tuple[CheckResult, ...]
    code: Code | None = None
    message: str = ""
    valid_until: datetime | None = None
    told_until: datetime | None = None


def verify(
    policy: TrustPolicy,
    stores: TrustStores,
    denied: Sequence[DeniedSigner],
    subject: Descriptor,
    evidence: Evidence,
    now: datetime,
) -> Inquiry[Appraisal]:
    """Steps 2 to 8.  The first enforced check that fails ends it; logged ones are recorded.

    Signatures of whom is `denied` never count, whatever the trust policy's level makes of authenticity.
    """
    checks: list[CheckResult] = []
    try:
        signature = _check_integrity(evidence)  # (2)
    except Malformed as error:
        checks.append(_result(policy, Check.INTEGRITY, error.code, error.message))
        return Appraisal({}, tuple(checks), error.code, error.message)
    signed = f"signed {signature.envelope.signing_time:%Y-%m-%dT%H:%M:%SZ}"
    checks.append(_result(policy, Check.INTEGRITY, None, signed))
    if signature.envelope.plugin:  # (3)
        plugin = ascii(signature.envelope.plugin)[:60]
        text = f"the signature demands the verification plugin {plugin}, which is not here"
        return Appraisal({}, tuple(checks), Code.PLUGIN_DEMANDED, text)
    steps = _Steps(policy, stores, signature, now)
    for step in (steps.authenticity, steps.expiry, steps.authentic_timestamp, steps.revocation):
        result = yield from step()
        checks.append(result)
        if result.action is Action.ENFORCE and result.status is Status.FAILED:
            return Appraisal({}, tuple(checks), result.code or Code.SIGNATURE_INVALID, result.message)
        if result.check is Check.AUTHENTICITY and (complaint := _denied(denied, signature)):
            checks.append(CheckResult(result.check, Action.ENFORCE, Status.FAILED, complaint.message, complaint.code))
            return Appraisal({}, tuple(checks), complaint.code, complaint.message)
    try:
        target = envelopes.target_artifact(signature.envelope.payload)  # (8)
    except Malformed as error:
        return Appraisal({}, tuple(checks), error.code, error.message)
    if not target.same_content(subject):
        text = f"the signature is for another image ({_difference(target, subject)})"
        return Appraisal({}, tuple(checks), Code.SIGNATURE_OF_ANOTHER_IMAGE, text)
    names = {"Issuer": signature.signer.issuer.rfc4514_string(), "SN": signature.signer.subject.rfc4514_string()}
    ends, told = min(steps.ends, default=None), min(steps.told, default=None)
    return Appraisal(names, tuple(checks), valid_until=ends, told_until=told)


def _check_integrity(evidence: Evidence) -> Signature:
    """(2).  Raises `Malformed`."""
    envelope = envelopes.checked(_attributes(evidence))
    chain = chains.parse_chain(envelope.chain)
    verify_signature(chain[0], envelope.algorithm, envelope.signature, envelope.signing_input)
    chains.check_chain(chain)
    return Signature(envelope, chain)


def _denied(denied: Sequence[DeniedSigner], signature: Signature) -> Malformed | None:
    """Why a signature does not count, whoever trusts the signer; None if nobody denies him."""
    if not denied:
        return None

    from agent.trust import deniedsigners, publickeys

    try:
        key = sha256(publickeys.spki(signature.signer)).hexdigest()
        chain = tuple(each.public_bytes(Encoding.DER) for each in signature.chain)
        deniedsigners.check(denied, deniedsigners.Made(key, chain))
    except Malformed as error:
        return error
    return None


def _attributes(evidence: Evidence) -> envelopes.Attributes:
    """The envelope, read as what its media type says.  A format is imported when there is one of its envelopes."""
    blob = evidence.blobs[0]
    media_type = blob.descriptor.media_type
    if media_type == _JWS:
        from agent.formats import notation_jws

        return notation_jws.parse(blob.content)
    if media_type == _COSE:
        from agent.formats import notation_cose

        return notation_cose.parse(blob.content)
    raise envelopes.Unsupported(f"envelope: got {ascii(media_type)[:80]}; expected {_JWS} or {_COSE}")


class _Steps:
    """Steps 4 to 7, over one signature."""

    def __init__(self, policy: TrustPolicy, stores: TrustStores, signature: Signature, now: datetime) -> None:
        self._policy = policy
        self._stores = stores
        self._signature = signature
        self._now = now
        self._trusted = stores.certificates(policy.stores, _STORE_OF_SCHEME[signature.envelope.scheme])
        self._is_authentic = False
        self.ends: list[datetime] = []
        """Ends of what enforced checks that passed rested on."""
        self.told: list[datetime] = []
        """When the next word about revocation is due, from whoever gave one."""

    def authenticity(self) -> Inquiry[CheckResult]:
        """(4)"""
        yield from ()
        code, message = self._judged_signer()
        self._is_authentic = code is None
        return self._result(Check.AUTHENTICITY, code, message)

    def _judged_signer(self) -> tuple[Code | None, str]:
        signer = chains.subject_of(self._signature.signer)
        if not any(each.public_bytes(Encoding.DER) in self._trusted for each in self._signature.chain):
            return Code.SIGNER_NOT_TRUSTED, f"signer not trusted ({signer})"
        if self._policy.identities is not None:
            try:
                attributes = identity.subject_attributes(self._signature.signer.subject)
            except ValueError as error:
                return Code.IDENTITY_NOT_TRUSTED, f"signer's identity not trusted ({signer} has {error})"
            if not any(identity.covers(each, attributes) for each in self._policy.identities):
                return Code.IDENTITY_NOT_TRUSTED, f"signer's identity not trusted ({signer})"
        return None, f"signer {signer} is trusted by policy {self._policy.name!r}"

    def expiry(self) -> Inquiry[CheckResult]:
        """(5)"""
        yield from ()
        expiry = self._signature.envelope.expiry
        if expiry is None:
            return self._result(Check.EXPIRY, None, "the signature has no end")
        if self._now >= expiry:
            text = f"the signature expired {expiry:%Y-%m-%dT%H:%M:%SZ}; it is {self._now:%Y-%m-%dT%H:%M:%SZ}"
            return self._result(Check.EXPIRY, Code.SIGNATURE_EXPIRED, text)
        self._note_end(Check.EXPIRY, expiry)
        return self._result(Check.EXPIRY, None, f"the signature ends {expiry:%Y-%m-%dT%H:%M:%SZ}")

    def authentic_timestamp(self) -> Inquiry[CheckResult]:
        """(6): the certificates were valid when the image was signed, or they still are."""
        chain, envelope = self._signature.chain, self._signature.envelope
        if envelope.scheme == envelopes.SCHEME_SIGNING_AUTHORITY:
            outside = chains.not_valid_at(chain, envelope.signing_time)
            return self._valid(outside, "every certificate of the chain was valid at the authentic time of signing")
        timestamped = any(store.startswith(f"{_TSA}:") for store in self._policy.stores)
        if timestamped and self._policy.verify_timestamp == AFTER_CERT_EXPIRY:
            timestamped = any(self._now > certificate.not_valid_after_utc for certificate in chain)
        if not timestamped:
            outside = chains.not_valid_at(chain, self._now)
            self._note_end(Check.AUTHENTIC_TIMESTAMP, min(each.not_valid_after_utc for each in chain))
            return self._valid(outside, "every certificate of the chain is valid now")
        return (yield from self._countersignature())

    def _countersignature(self) -> Inquiry[CheckResult]:
        envelope = self._signature.envelope
        authorities = self._stores.certificates(self._policy.stores, _TSA)
        if not envelope.timestamp:
            return self._timestamp(Code.TIMESTAMP_INVALID, "the signature has no timestamp")

        from agent.trust import revocation, timestamp

        try:
            stamp = timestamp.check(envelope.timestamp, envelope.signature, authorities)
        except Malformed as error:
            return self._timestamp(error.code, error.message)
        outside = timestamp.outside_of(stamp, self._signature.chain)
        if outside:
            return self._timestamp(Code.TIMESTAMP_INVALID, f"at the time of the timestamp: {outside}")
        found = yield from revocation.check(stamp.chain, authorities, self._now)
        message = f"timestamped {stamp.earliest:%Y-%m-%dT%H:%M:%SZ} by {chains.subject_of(stamp.chain[0])}"
        return self._revoked(Check.AUTHENTIC_TIMESTAMP, found, message)

    def revocation(self) -> Inquiry[CheckResult]:
        """(7): asked only about a signer who is trusted, so that no stranger chooses whom we contact."""
        action = self._policy.actions[Check.REVOCATION]
        if action is Action.SKIP:
            return CheckResult(Check.REVOCATION, action, Status.SKIPPED, "the trust policy skips it")
        if not chains.names_revocation_source(self._signature.chain):
            return self._result(Check.REVOCATION, None, "no certificate names a revocation source")
        if not self._is_authentic:
            text = "revocation is not asked about for a signer who is not trusted"
            return self._result(Check.REVOCATION, Code.SIGNER_NOT_TRUSTED, text)

        from agent.trust import revocation

        by_authority = self._signature.envelope.scheme == envelopes.SCHEME_SIGNING_AUTHORITY
        signed = self._signature.envelope.signing_time if by_authority else None
        found = yield from revocation.check(self._signature.chain, self._trusted, self._now, signed)
        return self._revoked(Check.REVOCATION, found, found.message)

    def _note_end(self, check: Check, end: datetime) -> None:
        if self._policy.actions[check] is Action.ENFORCE:
            self.ends.append(end)

    def _revoked(self, check: Check, found: "Revocation", message: str) -> CheckResult:
        if found.status is Revoked.REVOKED:
            revoked = self._result(check, Code.CERTIFICATE_REVOKED, found.message)
            return revoked._replace(certificate=found.certificate)
        if found.status is Revoked.GOOD:
            self.told += [found.until] if found.until else []
            return self._result(check, None, message)
        if not self._is_authentic:  # a stranger must not be able to make it "cannot tell"
            return self._result(check, Code.REVOCATION_UNKNOWN, found.message)
        action, cause = self._policy.actions[check], Cause.REVOCATION_UNKNOWN
        return CheckResult(check, action, Status.INCONCLUSIVE, found.message, cause=cause)

    def _valid(self, outside: str, message: str) -> CheckResult:
        return self._timestamp(Code.CERTIFICATE_NOT_VALID_NOW if outside else None, outside or message)

    def _timestamp(self, code: Code | None, message: str) -> CheckResult:
        return self._result(Check.AUTHENTIC_TIMESTAMP, code, message)

    def _result(self, check: Check, code: Code | None, message: str) -> CheckResult:
        return _result(self._policy, check, code, message)


def _result(policy: TrustPolicy, check: Check, code: Code | None, message: str) -> CheckResult:
    status = Status.PASSED if code is None else Status.FAILED
    return CheckResult(check, policy.actions[check], status, message, code)


def _difference(target: Descriptor, subject: Descriptor) -> str:
    for name in ("digest", "media_type", "size"):
        signed, asked = getattr(target, name), getattr(subject, name)
        if signed != asked:
            return f"{name.replace('_', ' ')} {ascii(str(signed)[:80])[1:-1]}"
    return "another descriptor"
