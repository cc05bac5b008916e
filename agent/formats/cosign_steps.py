"""The steps of verifying one piece of cosign's evidence, which may hold several signatures: one that is good is enough.

For each signature, in this order; the first that fails ends it:

1. read the layout: one blob is one signature
2. who signed: the signature holds under a key of the statement
3. what was signed is what says that an image is signed, and can be read
4. it is about the very image that is being verified: its digest, and nothing else, says so
5. every annotation that is wanted is there

A key needs neither a log nor a time.  Log entries, timestamps and certificates that come along prove nothing here, and
nothing is taken from them.  Loaded when there is a signature, and `cryptography` with it.  Pure.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from agent.errors import Cause, Code, Malformed, Unavailable
from agent.formats.cosign import BUNDLE_TYPES
from agent.formats.cosign_signature import Claim, Signature, Unsupported
from agent.model.digest import Digest
from agent.model.evidence import Blob, Evidence
from agent.model.outcome import Action, Check, CheckResult, Status
from agent.model.revocation import Inquiry
from agent.trust import publickeys
from agent.trust.publickeys import PublicKey
from agent.trust.signingpolicy import SigningPolicy

_SHOWN = 16


class Finding(NamedTuple):
    """What the steps came to.

    `code` is set if it failed, `cause` if it is inconclusive.  `signer` says whose signature it is, for people.
    """

    status: Status
    message: str
    code: Code | None = None
    cause: Cause | None = None
    checks: tuple[CheckResult, ...] = ()
    signer: Mapping[str, str] = MappingProxyType({})


def verify(
    policy: SigningPolicy, keys: Mapping[str, bytes], subject: Digest, evidence: Evidence, now: datetime
) -> Inquiry[Finding]:
    """What the evidence's signatures come to together: see the module's docstring.  `keys` are DER by fingerprint."""
    del now
    yield from ()
    loaded = [publickeys.load(der) for der in keys.values()]
    found = []
    for blob, annotations in zip(evidence.blobs, evidence.manifest.annotations, strict=True):
        finding = _judged(policy, loaded, subject, evidence.manifest.artifact_type, blob, annotations)
        if finding.status is Status.PASSED:
            return finding
        found.append(finding)
    return _together(found)


def _together(found: Sequence[Finding]) -> Finding:
    """Of those that did not pass: one that nobody answers for, which might have; else the one that came furthest."""
    unknown = [each for each in found if each.status is Status.INCONCLUSIVE]
    nearest = unknown[0] if unknown else max(found, key=lambda each: len(each.checks))
    others = f" (nearest of {len(found)} in one manifest)" if len(found) > 1 and not unknown else ""
    return nearest._replace(message=f"{nearest.message}{others}")


def _judged(
    policy: SigningPolicy,
    keys: Sequence[PublicKey],
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
        key = _signer(keys, signature)  # (2)
        claims = signature.read()  # (3)
        _check_image(claims, subject)  # (4)
        _check_annotations(claims, subject, policy.annotations)  # (5)
    except Malformed as error:
        checks.append(CheckResult(check, Action.ENFORCE, Status.FAILED, error.message, error.code))
        return Finding(Status.FAILED, error.message, error.code, checks=tuple(checks))
    checks.append(_passed(check, f"signed with the key {key.fingerprint}"))
    signer = {"Key": f"sha256:{key.fingerprint}"}
    message = f"cosign signature verified with the key {_shown(key)}"
    return Finding(Status.PASSED, message, checks=tuple(checks), signer=signer)


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


def _signer(keys: Sequence[PublicKey], signature: Signature) -> PublicKey:
    """(2): the key that made the signature.  A hint only says which is tried first.  Raises `Malformed`."""
    if signature.certificates:
        raise _NotTrusted("signer not trusted: signed with a certificate; expected one of the keys")
    for key in sorted(keys, key=lambda each: each.hint != signature.hint):
        if key.made(signature.signature, signature.signed):
            return key
    named = next((key for key in keys if key.hint == signature.hint), None)
    if named is not None:
        raise _Altered(f"signature: does not hold under the key {_shown(named)}, which the bundle names")
    known = ", ".join(_shown(key) for key in keys[:3]) + (", ..." if len(keys) > 3 else "")
    raise _NotTrusted(f"signer not trusted: none of the keys made the signature ({known})")


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


class _NotTrusted(Malformed):
    """Nobody who is trusted made the signature."""

    code = Code.SIGNER_NOT_TRUSTED


class _Altered(Malformed):
    """The signature does not hold under the very key that it names."""

    code = Code.SIGNATURE_INVALID


class _AnotherImage(Malformed):
    """What was signed is not this image."""

    code = Code.SIGNATURE_OF_ANOTHER_IMAGE


class _AnnotationsDiffer(Malformed):
    """What was signed lacks what the configuration asks for."""

    code = Code.ANNOTATIONS_DIFFER


def _passed(check: Check, message: str) -> CheckResult:
    return CheckResult(check, Action.ENFORCE, Status.PASSED, message)


def _shown(key: PublicKey) -> str:
    return f"sha256:{key.fingerprint[:_SHOWN]}"
