"""Notary Project signatures (artifact type `application/vnd.cncf.notary.signature`).

Notary Project specifications 1.x: signature specification; trust store and trust policy specification, "Steps" of
signature verification.  `NotationFormat.verify` goes through these:

1. choose the trust policy for the repository; under the level `skip` nothing is asked for
2. integrity: read the envelope, check its certificates' chain and its signature
3. a verification plugin that the signature demands: there are none here
4. authenticity: the chain holds a certificate of the trust store; the signer is a trusted identity; and, under every
   level, neither the signer's key nor a certificate of the chain is denied
5. expiry: the signature has not expired
6. authentic timestamp: the certificates were valid at a proven time of signing, or they are valid now
7. revocation: no certificate of the chain was revoked
8. the signed payload names the very image that is being verified

The first enforced check that fails ends it; logged ones are recorded.  (1) is here, and light: what the others need is
in `agent.formats.notation_steps`, loaded when there is a signature.
"""

from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Mapping, Sequence

from agent.errors import Cause, Code, Malformed
from agent.formats import ParsedOptions
from agent.formats.notation_envelope import MAX_ENVELOPE_SIZE
from agent.model.documents import Sources
from agent.model.evidence import Evidence
from agent.model.inquiry import Inquiry
from agent.model.manifest import Manifest
from agent.model.outcome import Action, CheckResult, Outcome, Status
from agent.model.request import PullRequest
from agent.model.signer import DeniedSigner
from agent.trust import trustpolicy
from agent.trust.truststore import TrustStores

if TYPE_CHECKING:
    from agent.formats import notation_steps

ARTIFACT_TYPE = "application/vnd.cncf.notary.signature"
TYPE = "notation"
_SUCCESS = "Notation signature verification success"  # Ratify's words


class NotationFormat:
    """Verifies Notary Project signatures under trust policies and trust stores."""

    artifact_types = (ARTIFACT_TYPE,)
    tags: Mapping[str, str] = MappingProxyType({})
    each_blob_counts = False
    tells = 0

    def __init__(
        self,
        name: str,
        policies: Sequence[trustpolicy.TrustPolicy],
        stores: TrustStores,
        denied: Sequence[DeniedSigner] = (),
    ) -> None:
        """`name` is the verifier's; signatures of whom is `denied` never count."""
        self._name = name
        self._policies = policies
        self._stores = stores
        self._denied = denied

    @classmethod
    def parse(cls, options: Mapping[str, object], documents: Sources, where: str) -> ParsedOptions:
        """See `Format.parse`."""
        from agent.formats import notation_options  # never on a pull

        return notation_options.parse(options, documents, where)

    @classmethod
    def load(
        cls,
        name: str,
        settings: Mapping[str, object],
        certificates: Mapping[str, bytes],
        denied: Sequence[DeniedSigner] = (),
    ) -> "NotationFormat":
        """See `Format.load`."""
        policies = [trustpolicy.TrustPolicy.from_json(each) for each in settings["trustPolicies"]]  # type: ignore[attr-defined]
        return cls(name, policies, TrustStores.from_json(settings["trustStores"], certificates), denied)  # type: ignore[arg-type]

    def exemption(self, request: PullRequest) -> Outcome | None:
        """See `Format.exemption`: the trust policy's level for the repository is `skip`."""
        policy = trustpolicy.select(self._policies, request.repository)  # (1)
        if policy is None or policy.level != trustpolicy.SKIP:
            return None
        return Outcome(
            digest=request.subject.digest,
            artifact_type=ARTIFACT_TYPE,
            verifier=self._name,
            verifier_type=TYPE,
            status=Status.SKIPPED,
            message=f"trust policy {policy.name!r} skips verification",
        )

    def blob_limit(self, manifest: Manifest) -> int:
        """See `Format.blob_limit`.  A signature has exactly one blob, its envelope."""
        if len(manifest.blobs) != 1:
            raise Malformed(f"signature manifest: got {len(manifest.blobs)} layers; expected exactly one, the envelope")
        return MAX_ENVELOPE_SIZE

    def verify(self, request: PullRequest, evidence: Evidence, now: datetime) -> Inquiry[Outcome]:
        """See `Format.verify`; the steps are in the module's docstring."""
        policy = trustpolicy.select(self._policies, request.repository)  # (1)
        if policy is None:
            return self._failed(evidence, (), Code.NO_TRUST_POLICY, f"no trust policy is for {request.repository}")

        from agent.formats import notation_steps

        found = yield from notation_steps.verify(  # (2) to (8)
            policy, self._stores, self._denied, request.subject, evidence, now
        )
        if found.code is not None:
            return self._failed(evidence, found.checks, found.code, found.message)
        return self._concluded(evidence, found)

    def _concluded(self, evidence: Evidence, found: "notation_steps.Appraisal") -> Outcome:
        """Passed, or inconclusive if an enforced check was."""
        for result in found.checks:
            if result.action is Action.ENFORCE and result.status is Status.INCONCLUSIVE:
                return self._outcome(
                    evidence,
                    found.checks,
                    Status.INCONCLUSIVE,
                    result.message,
                    cause=result.cause,
                    extensions=found.signer,
                )
        logged = [result for result in found.checks if result.status in (Status.FAILED, Status.INCONCLUSIVE)]
        notes = "".join(f"; only logged: {result.check.value} ({result.message})" for result in logged)
        message = f"{_SUCCESS}{notes}"
        passed = self._outcome(evidence, found.checks, Status.PASSED, message, extensions=found.signer)
        return passed._replace(valid_until=found.valid_until, told_until=found.told_until)

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
