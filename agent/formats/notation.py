"""Notary Project signatures (artifact type `application/vnd.cncf.notary.signature`).

Notary Project specifications 1.x: signature specification; trust store and trust policy specification, "Steps" of
signature verification.  `NotationFormat.verify` carries the steps' numbers:

1. choose the trust policy for the repository
2. integrity: read the envelope, check its certificates' chain and its signature
3. a verification plugin that the signature demands: there are none here
4. authenticity: the chain holds a certificate of the trust store; the signer is a trusted identity
5. expiry: the signature has not expired
6. authentic timestamp: every certificate of the chain is valid now
7. revocation
8. the signed payload names the very image that is being verified

The first enforced check that fails ends it; logged ones are recorded.
"""

from datetime import datetime
from typing import Iterator, Mapping, NamedTuple, Sequence

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from agent.errors import Cause, Code, Malformed
from agent.formats import ParsedOptions, notation_jws
from agent.model.documents import Sources
from agent.model.evidence import Evidence
from agent.model.outcome import Action, Check, CheckResult, Outcome, Status
from agent.model.request import PullRequest
from agent.trust import chain as chains
from agent.trust import identity, trustpolicy
from agent.trust.algorithms import verify_signature
from agent.trust.truststore import CA, TrustStores

ARTIFACT_TYPE = "application/vnd.cncf.notary.signature"
TYPE = "notation"
_SUCCESS = "Notation signature verification success"  # Ratify's words


class _Unsupported(Malformed):
    """Evidence of a kind that this version does not read."""

    code = Code.EVIDENCE_UNSUPPORTED


class _Signature(NamedTuple):
    """An envelope whose integrity holds, with its certificates."""

    envelope: notation_jws.Envelope
    chain: tuple[Certificate, ...]


class NotationFormat:
    """Verifies Notary Project signatures under trust policies and the trust stores that they name."""

    def __init__(self, name: str, policies: Sequence[trustpolicy.TrustPolicy], stores: TrustStores) -> None:
        """`name` is the verifier's."""
        self._name = name
        self._policies = policies
        self._stores = stores

    @classmethod
    def parse(cls, options: Mapping[str, object], documents: Sources, where: str) -> ParsedOptions:
        """Check the options; see `Format.parse`."""
        from agent.formats import notation_options  # never on a pull

        return notation_options.parse(options, documents, where)

    @classmethod
    def load(cls, name: str, settings: Mapping[str, object], certificates: Mapping[str, bytes]) -> "NotationFormat":
        """See `Format.load`."""
        policies = [trustpolicy.TrustPolicy.from_json(each) for each in settings["trustPolicies"]]  # type: ignore[attr-defined]
        return cls(name, policies, TrustStores.from_json(settings["trustStores"], certificates))  # type: ignore[arg-type]

    def blob_limit(self, blob_count: int) -> int:
        """See `Format.blob_limit`.  A signature has exactly one blob, its envelope."""
        if blob_count != 1:
            raise Malformed(f"signature manifest: got {blob_count} layers; expected exactly one, the envelope")
        return notation_jws.MAX_ENVELOPE_SIZE

    def verify(self, request: PullRequest, evidence: Evidence, now: datetime) -> Outcome:
        """See `Format.verify`; the steps are in the module's docstring."""
        policy = trustpolicy.select(self._policies, request.repository)  # (1)
        if policy is None:
            return self._failed(evidence, (), Code.NO_TRUST_POLICY, f"no trust policy is for {request.repository}")
        results: list[CheckResult] = []
        try:
            signature = _check_integrity(evidence)  # (2)
        except Malformed as error:
            results.append(_result(policy, Check.INTEGRITY, error.code, error.message))
            return self._failed(evidence, results, error.code, error.message)
        results.append(
            _result(policy, Check.INTEGRITY, None, f"signed {signature.envelope.signing_time:%Y-%m-%dT%H:%M:%SZ}")
        )
        if signature.envelope.plugin:  # (3)
            plugin = ascii(signature.envelope.plugin)[:60]
            text = f"the signature demands the verification plugin {plugin}, which is not here"
            return self._failed(evidence, results, Code.PLUGIN_DEMANDED, text)
        for check in self._checks(policy, signature, now):
            results.append(check)
            if check.action is Action.ENFORCE and check.status is Status.FAILED:
                return self._failed(evidence, results, check.code or Code.SIGNATURE_INVALID, check.message)
        try:
            target = notation_jws.target_artifact(signature.envelope.payload)  # (8)
        except Malformed as error:
            return self._failed(evidence, results, error.code, error.message)
        if not target.same_content(request.subject):
            text = f"the signature is for another image ({_difference(target, request.subject)})"
            return self._failed(evidence, results, Code.SIGNATURE_OF_ANOTHER_IMAGE, text)
        return self._concluded(evidence, results, signature)

    def _checks(self, policy: trustpolicy.TrustPolicy, signature: _Signature, now: datetime) -> Iterator[CheckResult]:
        """One after another: what comes behind a check that ends it all is never made."""
        authenticity = self._check_authenticity(policy, signature)  # (4)
        yield authenticity
        yield _check_expiry(policy, signature, now)  # (5)
        yield _check_authentic_timestamp(policy, signature, now)  # (6)
        yield _check_revocation(policy, signature, trusted=authenticity.status is Status.PASSED)  # (7)

    def _check_authenticity(self, policy: trustpolicy.TrustPolicy, signature: _Signature) -> CheckResult:
        signer = chains.subject_of(signature.chain[0])
        trusted = self._stores.certificates(policy.stores, CA)
        if not any(certificate.public_bytes(Encoding.DER) in trusted for certificate in signature.chain):
            return _result(policy, Check.AUTHENTICITY, Code.SIGNER_NOT_TRUSTED, f"signer not trusted ({signer})")
        if policy.identities is not None:
            try:
                attributes = identity.subject_attributes(signature.chain[0].subject)
            except ValueError as error:
                text = f"signer's identity not trusted ({signer} has {error})"
                return _result(policy, Check.AUTHENTICITY, Code.IDENTITY_NOT_TRUSTED, text)
            if not any(identity.covers(each, attributes) for each in policy.identities):
                text = f"signer's identity not trusted ({signer})"
                return _result(policy, Check.AUTHENTICITY, Code.IDENTITY_NOT_TRUSTED, text)
        return _result(policy, Check.AUTHENTICITY, None, f"signer {signer} is trusted by policy {policy.name!r}")

    def _concluded(self, evidence: Evidence, results: Sequence[CheckResult], signature: _Signature) -> Outcome:
        """Passed, or inconclusive if an enforced check was."""
        signer = signature.chain[0]
        extensions = {"Issuer": signer.issuer.rfc4514_string(), "SN": signer.subject.rfc4514_string()}
        for result in results:
            if result.action is Action.ENFORCE and result.status is Status.INCONCLUSIVE:
                return self._outcome(
                    evidence, results, Status.INCONCLUSIVE, result.message, cause=result.cause, extensions=extensions
                )
        logged = [result for result in results if result.status in (Status.FAILED, Status.INCONCLUSIVE)]
        notes = "".join(f"; only logged: {result.check.value} ({result.message})" for result in logged)
        return self._outcome(evidence, results, Status.PASSED, f"{_SUCCESS}{notes}", extensions=extensions)

    def _failed(self, evidence: Evidence, results: Sequence[CheckResult], code: Code, message: str) -> Outcome:
        return self._outcome(evidence, results, Status.FAILED, message, code=code)

    def _outcome(
        self,
        evidence: Evidence,
        results: Sequence[CheckResult],
        status: Status,
        message: str,
        *,
        code: Code | None = None,
        cause: Cause | None = None,
        extensions: Mapping[str, str] | None = None,
    ) -> Outcome:
        return Outcome(
            digest=evidence.digest,
            artifact_type=evidence.manifest.artifact_type,
            verifier=self._name,
            verifier_type=TYPE,
            status=status,
            message=message,
            code=code,
            cause=cause,
            checks=tuple(results),
            extensions=extensions or {},
        )


def _check_integrity(evidence: Evidence) -> _Signature:
    """(2).  Raises `Malformed`."""
    envelope_blob = evidence.blobs[0]
    media_type = envelope_blob.descriptor.media_type
    if media_type != notation_jws.MEDIA_TYPE:
        raise _Unsupported(f"envelope: got {ascii(media_type)[:80]}; this version reads {notation_jws.MEDIA_TYPE}")
    envelope = notation_jws.parse(envelope_blob.content)
    if envelope.scheme != notation_jws.SCHEME_X509:
        raise _Unsupported(
            f"signing scheme: got {ascii(envelope.scheme)[:60]}; this version reads {notation_jws.SCHEME_X509}"
        )
    chain = chains.parse_chain(envelope.chain)
    verify_signature(chain[0], envelope.algorithm, envelope.signature, envelope.signing_input)
    chains.check_chain(chain)
    return _Signature(envelope, chain)


def _check_expiry(policy: trustpolicy.TrustPolicy, signature: _Signature, now: datetime) -> CheckResult:
    expiry = signature.envelope.expiry
    if expiry is None:
        return _result(policy, Check.EXPIRY, None, "the signature has no end")
    if now >= expiry:
        text = f"the signature expired {expiry:%Y-%m-%dT%H:%M:%SZ}; it is {now:%Y-%m-%dT%H:%M:%SZ}"
        return _result(policy, Check.EXPIRY, Code.SIGNATURE_EXPIRED, text)
    return _result(policy, Check.EXPIRY, None, f"the signature ends {expiry:%Y-%m-%dT%H:%M:%SZ}")


def _check_authentic_timestamp(policy: trustpolicy.TrustPolicy, signature: _Signature, now: datetime) -> CheckResult:
    outside = chains.not_valid_at(signature.chain, now)
    if outside:
        return _result(policy, Check.AUTHENTIC_TIMESTAMP, Code.CERTIFICATE_NOT_VALID_NOW, outside)
    return _result(policy, Check.AUTHENTIC_TIMESTAMP, None, "every certificate of the chain is valid now")


def _check_revocation(policy: trustpolicy.TrustPolicy, signature: _Signature, *, trusted: bool) -> CheckResult:
    """(7): no source is asked in this version; a certificate that names one can't be told from a revoked one.

    Of a signer whom nobody trusts no source would ever be asked: then revocation fails, since who attached the
    signature chose whether it names one.
    """
    action = policy.actions[Check.REVOCATION]
    if action is Action.SKIP:
        return CheckResult(Check.REVOCATION, action, Status.SKIPPED, "the trust policy skips it")
    sources = chains.revocation_sources(signature.chain)
    if not sources:
        return _result(policy, Check.REVOCATION, None, "no certificate names a revocation source")
    if not trusted:
        text = "revocation is not asked about for a signer who is not trusted"
        return _result(policy, Check.REVOCATION, Code.SIGNER_NOT_TRUSTED, text)
    text = f"revocation of {sources[0]} can't be checked by this version"
    return CheckResult(Check.REVOCATION, action, Status.INCONCLUSIVE, text, cause=Cause.REVOCATION_UNKNOWN)


def _result(policy: trustpolicy.TrustPolicy, check: Check, code: Code | None, message: str) -> CheckResult:
    status = Status.PASSED if code is None else Status.FAILED
    return CheckResult(check, policy.actions[check], status, message, code)


def _difference(target: object, subject: object) -> str:
    for name in ("digest", "media_type", "size"):
        signed, asked = getattr(target, name), getattr(subject, name)
        if signed != asked:
            return f"{name.replace('_', ' ')} {ascii(str(signed)[:80])[1:-1]}"
    return "another descriptor"
