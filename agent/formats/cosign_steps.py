"""The steps of verifying one piece of cosign's evidence, which may hold several signatures: one that is good is enough.

Signatures of images, and attestations, are verified alike; what is said here of the first holds for the others.
Where several signers are wanted, signatures are looked at until so many different ones are found.

For each signature, in this order; the first that fails ends it:

1. read the layout: one blob is one signature; an attestation's envelope may have several
2. who signed: the signature holds under a key of the statement; or under a certificate of one of its Sigstore
   instances, for an identity that the statement names (`agent.trust.keyless`); and who that is, is not denied
3. what was signed is what says that an image is signed, and can be read; or is a statement of the type that is wanted
4. it is about the very image that is being verified: its digest, and nothing else, says so
5. every annotation that is wanted is there
6. an attestation is not older than it may be

A key needs neither a log nor a time, unless the statement asks for a log.  Where it does not, log entries, timestamps
and certificates that come along prove nothing, and nothing is taken from them.  Loaded when there is a signature, and
`cryptography` with it.  Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

from agent.errors import Cause, Code, LimitExceeded, Malformed, Unavailable
from agent.formats.cosign import BUNDLE_TYPES
from agent.formats.cosign_signature import Claim, Said, Signature, Unsupported
from agent.formats.cosign_signers import Keys, Signer, Signers
from agent.model.digest import Digest
from agent.model.evidence import Blob, Evidence
from agent.model.inquiry import Inquiry, Paused
from agent.model.outcome import Action, Check, CheckResult, Status
from agent.model.signer import DeniedSigner
from agent.trust import deniedsigners, publickeys
from agent.trust.signingpolicy import SigningPolicy

_TIME = "%Y-%m-%dT%H:%M:%SZ"

MAX_PREDICATES_SIZE = 512 * 1024
"""Most bytes of statements whose predicates are told in one outcome: a policy's program copies all of them."""

MAX_SIGNATURES = 64
"""Most signatures looked at in one manifest: as many as it has layers, though envelopes may hold several each."""


class Attestation(NamedTuple):
    """What an attestation must be: the predicate type of its statement, and its greatest age, None for any."""

    predicate_type: str
    maximum_age: timedelta | None = None


class Appraisal(NamedTuple):
    """What the steps came to.

    `code` is set if it failed, `cause` if it is inconclusive.  `said` is what is told in the report: whose signature it
    is, and attestations' predicates.  If the signature counts only for a while, that is until `valid_until`.
    `attested` is what was signed, of one attestation.  `names` tell signers apart.
    """

    status: Status
    message: str
    code: Code | None = None
    cause: Cause | None = None
    checks: tuple[CheckResult, ...] = ()
    said: Mapping[str, object] = MappingProxyType({})
    valid_until: datetime | None = None
    attested: Said | None = None
    names: tuple[str, ...] = ()


class _Wanted(NamedTuple):
    """What must be true of a signature that counts."""

    policy: SigningPolicy
    believed: Signers
    subject: Digest
    now: datetime
    attestation: Attestation | None
    denied: Sequence[DeniedSigner]


def verify(
    policy: SigningPolicy,
    denied: Sequence[DeniedSigner],
    material: Mapping[str, bytes],
    subject: Digest,
    evidence: Evidence,
    now: datetime,
    attestation: Attestation | None = None,
) -> Inquiry[Appraisal]:
    """What the evidence's signatures come to together: see the module's docstring.

    `denied` are signers whose signatures never count.  `material` is the DER of keys and certificates by their SHA-256.
    With `attestation` they are not signatures of an image that are looked for; and all that are good are told, as a
    policy may want to read them.
    """
    wanted = _Wanted(policy, _believed(policy, material, now), subject, now, attestation, denied)
    found: list[Appraisal] = []
    good: list[Appraisal] = []
    left = MAX_PREDICATES_SIZE
    for appraisal in _all(wanted, evidence):
        if isinstance(appraisal, Paused):
            yield appraisal
            continue
        if len(found) + len(good) >= MAX_SIGNATURES:
            text = f"manifest: got more than {MAX_SIGNATURES} signatures in its layers; expected fewer"
            found = [_failed([], Check.INTEGRITY, LimitExceeded(text))]
            break
        if appraisal.attested is not None:
            appraisal, left = _as_told(appraisal, appraisal.attested, left)
        (good if appraisal.status is Status.PASSED else found).append(appraisal)
        if attestation is None and len(_by_signer(good)) >= policy.threshold:
            return _passed_together(_by_signer(good))
    if not good:
        return _together(found)
    signers = _by_signer(good)
    unknown = any(each.status is Status.INCONCLUSIVE for each in found)
    if unknown and len(signers) < policy.threshold:  # it may be a signer's that is lacking
        return _together(found)
    return _passed_together(signers) if attestation is None else _attested(attestation.predicate_type, good)


def _by_signer(good: Sequence[Appraisal]) -> list[Appraisal]:
    """The first signature of each signer."""
    found: dict[str, Appraisal] = {}
    for each in good:
        for name in each.names:
            found.setdefault(name, each)
    return list(found.values())


def _passed_together(found: Sequence[Appraisal]) -> Appraisal:
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


def _together(found: Sequence[Appraisal]) -> Appraisal:
    """Of those that did not pass: one that nobody answers for, which might have; else the one that came furthest."""
    unknown = [each for each in found if each.status is Status.INCONCLUSIVE]
    nearest = unknown[0] if unknown else max(found, key=lambda each: len(each.checks))
    others = f" (nearest of {len(found)} in one manifest)" if len(found) > 1 and not unknown else ""
    return nearest._replace(message=f"{nearest.message}{others}")


def _all(wanted: _Wanted, evidence: Evidence) -> Iterator[Appraisal | Paused]:
    """All signatures, one after the other, with a pause between two."""
    for i, (blob, annotations) in enumerate(zip(evidence.blobs, evidence.manifest.annotations, strict=True)):
        if i:
            yield Paused()
        yield from _judged(wanted, evidence.manifest.artifact_type, blob, annotations)


def _judged(wanted: _Wanted, artifact_type: str, blob: Blob, annotations: object) -> Iterator[Appraisal | Paused]:
    """The signatures of one blob, one after the other, until one is good; with a pause between two.

    Where several signers are wanted, all of them.
    """
    if isinstance(blob.failure, Unavailable):
        yield Appraisal(Status.INCONCLUSIVE, blob.failure.message, cause=blob.failure.cause)
        return
    try:
        signatures = _read(artifact_type, blob, annotations, wanted.attestation)  # (1)
    except Malformed as error:
        yield _failed([], Check.INTEGRITY, error)
        return
    for i, signature in enumerate(signatures):
        if i:
            yield Paused()
        appraisal = _checked(wanted, signature)
        yield appraisal
        if appraisal.status is Status.PASSED and wanted.policy.threshold == 1:
            return


def _checked(wanted: _Wanted, signature: Signature) -> Appraisal:
    """One signature."""
    attestation = wanted.attestation
    checks = [_passed(Check.INTEGRITY, f"a signature of {len(signature.signature)} bytes")]
    check = Check.AUTHENTICITY
    try:
        signer = wanted.believed.signer(signature)  # (2)
        _check_denied(wanted, signer, checks)
        said = signature.read()  # (3)
        _check_image(said.claims, wanted.subject)  # (4)
        _check_annotations(said.claims, wanted.subject, wanted.policy.annotations)  # (5)
        checks.append(_passed(check, signer.how))
        check, until = Check.EXPIRY, signer.until
        if attestation is not None and attestation.maximum_age is not None:
            made, end = _lifetime(signer, attestation.maximum_age, wanted.now)  # (6)
            checks.append(_passed(check, f"known since {made:{_TIME}}; it counts until {end:{_TIME}}"))
            until = end if until is None else min(until, end)
    except Malformed as error:
        return _failed(checks, check, error)
    except Unavailable as error:
        checks.append(CheckResult(check, Action.ENFORCE, Status.INCONCLUSIVE, error.message, cause=error.cause))
        return Appraisal(Status.INCONCLUSIVE, error.message, cause=error.cause, checks=tuple(checks))
    what = "cosign signature" if attestation is None else f"attestation of the type {attestation.predicate_type}"
    return Appraisal(
        Status.PASSED,
        f"{what} verified {signer.who}",
        checks=tuple(checks),
        said=signer.said,
        valid_until=until,
        attested=None if attestation is None else said,
        names=(signer.name,),
    )


def _as_told(appraisal: Appraisal, said: Said, left: int) -> tuple[Appraisal, int]:
    """An attestation without what `_attested` has no room for: a manifest may have sixty; and the room that is left."""
    if said.size <= left:
        return appraisal, left - said.size
    return appraisal._replace(attested=said._replace(predicate=None)), left


def _attested(predicate_type: str, good: Sequence[Appraisal]) -> Appraisal:
    """Attestations that passed, with what each says, and who does, as far as there is room in a report.

    A policy may rest on any of them: together they count for as long as the first that ends.
    """
    left, told = MAX_PREDICATES_SIZE, []
    for each in good:
        said = each.attested or Said(())
        if said.size <= left:
            left -= said.size
            told.append({**each.said, "predicate": said.predicate})
        else:
            told.append({**each.said, "predicateLeftOut": f"a statement of {said.size} bytes, with room for {left}"})
    ends = [each.valid_until for each in good if each.valid_until is not None]
    told_together = {**good[0].said, "predicateType": predicate_type, "attestations": told}
    names = tuple(sorted({name for each in good for name in each.names}))
    return good[0]._replace(said=told_together, valid_until=min(ends, default=None), attested=None, names=names)


def _read(
    artifact_type: str, blob: Blob, annotations: object, attestation: Attestation | None
) -> tuple[Signature, ...]:
    """(1).  A layout is imported when there is one of it."""
    if blob.failure is not None:
        raise blob.failure
    if artifact_type in BUNDLE_TYPES:
        if blob.descriptor.media_type not in BUNDLE_TYPES:
            got = ascii(blob.descriptor.media_type)[:80]
            raise Unsupported(f"layer: got media type {got}; expected {BUNDLE_TYPES[0]}")

        from agent.formats import cosign_bundle

        if attestation is None:
            return (cosign_bundle.read(blob),)
        return (cosign_bundle.read(blob, attestation.predicate_type),)

    if attestation is not None:
        from agent.formats import cosign_attested

        return cosign_attested.read(blob, annotations, attestation.predicate_type)

    from agent.formats import cosign_layer

    return (cosign_layer.read(blob, annotations),)


def _check_denied(wanted: _Wanted, signer: Signer, checks: list[CheckResult]) -> None:
    """The end of (2).  Of several signatures this one came far: who it is of is in `checks`.  Raises `Malformed`."""
    try:
        deniedsigners.check(wanted.denied, signer.made)
    except Malformed:
        checks.append(_passed(Check.AUTHENTICITY, signer.how))
        raise


def _lifetime(signer: Signer, maximum_age: timedelta, now: datetime) -> tuple[datetime, datetime]:
    """(6): since when the signature is known, of which the earliest counts, and until when it does.

    Raises `Malformed`.
    """
    if not signer.times:
        expected = "a log's promise (signed entry timestamp) or an RFC 3161 timestamp, as it has a maximumAge"
        raise _TooOld(f"nothing proves how old the attestation is; expected {expected}")
    made = min(signer.times)
    end = made + maximum_age
    if now >= end:
        raise _TooOld(f"the attestation is of {made:{_TIME}}; it counted until {end:{_TIME}}")
    return made, end


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


class _TooOld(Malformed):
    """An attestation that is older than it may be, or of which nobody knows how old it is."""

    code = Code.ATTESTATION_TOO_OLD


class _AnotherImage(Malformed):
    """What was signed is not this image."""

    code = Code.SIGNATURE_OF_ANOTHER_IMAGE


class _AnnotationsDiffer(Malformed):
    """What was signed lacks what the configuration asks for."""

    code = Code.ANNOTATIONS_DIFFER


def _failed(checks: Sequence[CheckResult], check: Check, error: Malformed) -> Appraisal:
    """What ended with an error, after `checks` that passed."""
    last = CheckResult(check, Action.ENFORCE, Status.FAILED, error.message, error.code)
    return Appraisal(Status.FAILED, error.message, error.code, checks=(*checks, last))


def _passed(check: Check, message: str) -> CheckResult:
    return CheckResult(check, Action.ENFORCE, Status.PASSED, message)
