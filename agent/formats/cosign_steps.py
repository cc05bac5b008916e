"""The steps of verifying one piece of cosign's evidence, which may hold several signatures: one that is good is enough.

Where several signers are wanted, signatures are looked at until so many different ones are found.

For each signature, in this order; the first that fails ends it:

1. read the layout: one blob is one signature
2. who signed: the signature holds under a key of the statement; or under a certificate of one of its Sigstore
   instances, for an identity that the statement names (`agent.trust.keyless`)
3. what was signed is what says that an image is signed, and can be read
4. it is about the very image that is being verified: its digest, and nothing else, says so
5. every annotation that is wanted is there

A key needs neither a log nor a time, unless the statement asks for a log.  Where it does not, log entries, timestamps
and certificates that come along prove nothing, and nothing is taken from them.  Loaded when there is a signature, and
`cryptography` with it.  Pure.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from agent.errors import Cause, Code, Malformed, Unavailable
from agent.formats.cosign import BUNDLE_TYPES
from agent.formats.cosign_signature import Claim, Signature, Unsupported
from agent.formats.cosign_signers import Keys, Signers
from agent.model.digest import Digest
from agent.model.evidence import Blob, Evidence
from agent.model.outcome import Action, Check, CheckResult, Status
from agent.model.revocation import Inquiry
from agent.trust import publickeys
from agent.trust.signingpolicy import SigningPolicy


class Finding(NamedTuple):
    """What the steps came to.

    `code` is set if it failed, `cause` if it is inconclusive.  `signer` says whose signature it is, for people; if the
    signature counts only for a while, that is until `valid_until`.  `names` tell signers apart.
    """

    status: Status
    message: str
    code: Code | None = None
    cause: Cause | None = None
    checks: tuple[CheckResult, ...] = ()
    signer: Mapping[str, str] = MappingProxyType({})
    valid_until: datetime | None = None
    names: tuple[str, ...] = ()


def verify(
    policy: SigningPolicy, material: Mapping[str, bytes], subject: Digest, evidence: Evidence, now: datetime
) -> Inquiry[Finding]:
    """What the evidence's signatures come to together: see the module's docstring.

    `material` is the DER of keys and certificates by their SHA-256.
    """
    yield from ()
    believed = _believed(policy, material, now)
    found: list[Finding] = []
    passed: dict[str, Finding] = {}
    for blob, annotations in zip(evidence.blobs, evidence.manifest.annotations, strict=True):
        finding = _judged(policy, believed, subject, evidence.manifest.artifact_type, blob, annotations)
        found.append(finding)
        for name in finding.names:
            passed.setdefault(name, finding)
        if len(passed) >= policy.threshold:
            return _passed_together(list(passed.values()))
    unknown = any(each.status is Status.INCONCLUSIVE for each in found)
    return _together(found) if unknown or not passed else _passed_together(list(passed.values()))


def _passed_together(found: Sequence[Finding]) -> Finding:
    """Signatures of different signers, as one."""
    first, *others = found
    ends = [each.valid_until for each in found if each.valid_until is not None]
    more = f", and {len(others)} more signers'" if others else ""
    names = tuple(sorted(name for each in found for name in each.names))
    return first._replace(message=f"{first.message}{more}", valid_until=min(ends, default=None), names=names)


def _believed(policy: SigningPolicy, material: Mapping[str, bytes], now: datetime) -> Signers:
    """Whose signatures count.  What Sigstore takes is imported where it is asked for."""
    keys = Keys([publickeys.load(material[name]) for name in policy.keys])
    if not policy.sigstore:
        return keys

    from agent.formats.cosign_sigstore import Sigstore

    return Sigstore(keys, policy.sigstore, material, now)


def _together(found: Sequence[Finding]) -> Finding:
    """Of those that did not pass: one that nobody answers for, which might have; else the one that came furthest."""
    unknown = [each for each in found if each.status is Status.INCONCLUSIVE]
    nearest = unknown[0] if unknown else max(found, key=lambda each: len(each.checks))
    others = f" (nearest of {len(found)} in one manifest)" if len(found) > 1 and not unknown else ""
    return nearest._replace(message=f"{nearest.message}{others}")


def _judged(
    policy: SigningPolicy,
    believed: Signers,
    subject: Digest,
    artifact_type: str,
    blob: Blob,
    annotations: object,
) -> Finding:
    """One signature."""
    if isinstance(blob.failure, Unavailable):
        return Finding(Status.INCONCLUSIVE, blob.failure.message, cause=blob.failure.cause)
    checks: list[CheckResult] = []
    check = Check.INTEGRITY
    try:
        signature = _read(artifact_type, blob, annotations)  # (1)
        checks.append(_passed(check, f"a signature of {len(signature.signature)} bytes"))
        check = Check.AUTHENTICITY
        signer = believed.signer(signature)  # (2)
        claims = signature.read()  # (3)
        _check_image(claims, subject)  # (4)
        _check_annotations(claims, subject, policy.annotations)  # (5)
    except Malformed as error:
        checks.append(CheckResult(check, Action.ENFORCE, Status.FAILED, error.message, error.code))
        return Finding(Status.FAILED, error.message, error.code, checks=tuple(checks))
    except Unavailable as error:
        checks.append(CheckResult(check, Action.ENFORCE, Status.INCONCLUSIVE, error.message, cause=error.cause))
        return Finding(Status.INCONCLUSIVE, error.message, cause=error.cause, checks=tuple(checks))
    checks.append(_passed(check, signer.how))
    message = f"cosign signature verified {signer.who}"
    return Finding(
        Status.PASSED,
        message,
        checks=tuple(checks),
        signer=signer.said,
        valid_until=signer.until,
        names=(signer.name,),
    )


def _read(artifact_type: str, blob: Blob, annotations: object) -> Signature:
    """(1).  A layout is imported when there is one of it."""
    if blob.failure is not None:
        raise blob.failure
    if artifact_type in BUNDLE_TYPES:
        if blob.descriptor.media_type not in BUNDLE_TYPES:
            got = ascii(blob.descriptor.media_type)[:80]
            raise Unsupported(f"layer: got media type {got}; expected {BUNDLE_TYPES[0]}")

        from agent.formats import cosign_bundle

        return cosign_bundle.read(blob)

    from agent.formats import cosign_layer

    return cosign_layer.read(blob, annotations)


def _check_image(claims: Sequence[Claim], subject: Digest) -> None:
    """(4).  Raises `Malformed`."""
    if not any(_is_about(claim, subject) for claim in claims):
        said = next((f"{name}:{value}" for claim in claims for name, value in claim.digests.items()), "nothing")
        raise _AnotherImage(f"the signature is for another image ({ascii(said)[1:-1][:80]})")


def _check_annotations(claims: Sequence[Claim], subject: Digest, wanted: Mapping[str, str]) -> None:
    """(5): beside the digest of this image, not of another.  Only texts can be equal.  Raises `Malformed`."""
    ours = [claim.annotations for claim in claims if _is_about(claim, subject)]
    if any(all(each.get(name) == value for name, value in wanted.items()) for each in ours):
        return
    missing = sorted(name for name, value in wanted.items() if not any(each.get(name) == value for each in ours))
    raise _AnnotationsDiffer(
        f"the signature lacks the annotation {', '.join(missing or wanted)[:80]}, or has another value"
    )


def _is_about(claim: Claim, subject: Digest) -> bool:
    return claim.digests.get(subject.algorithm) == subject.encoded


class _AnotherImage(Malformed):
    """What was signed is not this image."""

    code = Code.SIGNATURE_OF_ANOTHER_IMAGE


class _AnnotationsDiffer(Malformed):
    """What was signed lacks what the configuration asks for."""

    code = Code.ANNOTATIONS_DIFFER


def _passed(check: Check, message: str) -> CheckResult:
    return CheckResult(check, Action.ENFORCE, Status.PASSED, message)
