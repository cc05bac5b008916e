"""The steps of one verification: from a pull request to a verdict.

Awaits ports and imports no event loop; opens no file and no socket, reads no clock of its own.  The numbers are
those of docs/architecture.md, "One pull": 4 ask the formats what to look for, 5 list and fetch, 6 verify each piece
of evidence, 7 evaluate the policy, 8 conclude.

What can be inconclusive here: a listing or a fetch that nobody answered (a *gap*), and an enforced check that could not
be made.  A gap never ends in a denial, since what was not seen might have been enough.  Content that can't be looked at
(a *defect*: a broken list, too many signatures) is its author's choice: it counts as failed evidence of any type.
"""

from datetime import datetime, timezone
from typing import Mapping, NamedTuple, Sequence, cast

from agent import RELEASED
from agent.codec import strictjson
from agent.config.config import Config, VerifierSettings
from agent.errors import Cause, Code, LimitExceeded, Malformed, NodesealError, Unavailable
from agent.formats import Format, format_class
from agent.model.descriptor import Descriptor
from agent.model.evidence import Blob, Evidence, Listing, SpoiltEvidence
from agent.model.manifest import Manifest
from agent.model.outcome import Outcome, Status
from agent.model.report import Report
from agent.model.request import PullRequest
from agent.model.revocation import Confirmed, Fetched, Inquiry
from agent.model.verdict import Decision, Verdict
from agent.policies import Policy, policy_class
from agent.ports import Clock, Concurrent, Registry, RevocationSource, Trace

MAX_EVIDENCE = 50
"""Most referrers fetched for one subject.  `notation` stops at 100 by default; each costs two requests."""

PATIENCE = 5.0
"""Seconds after which no further evidence is looked at, once `LOOKED_AT_LEAST` pieces were.

More signatures than can be looked at in our time are their authors' choice: not a deadline, which says "cannot tell".
"""

LOOKED_AT_LEAST = 10

MAX_MANIFEST_SIZE = 256 * 1024
"""Largest manifest of evidence taken, in bytes; real ones have one or two KiB."""

_ALL_TYPES = "*"


class Verifier:
    """A configured verifier: what it looks for, and the format that verifies it.

    The format is loaded when there is evidence for it: its cryptography costs an unsigned image nothing.
    """

    __slots__ = ("_certificates", "_format", "_settings")

    def __init__(self, settings: VerifierSettings, certificates: Mapping[str, bytes]) -> None:
        """Keep the settings, and the certificates that they refer to."""
        self._settings = settings
        self._certificates = certificates
        self._format: Format | None = None

    @property
    def name(self) -> str:
        """The verifier's name in messages."""
        return self._settings.name

    @property
    def type(self) -> str:
        """Its format, a key of `agent.formats.FORMATS`."""
        return self._settings.type

    @property
    def artifact_types(self) -> tuple[str, ...]:
        """What it looks for."""
        return self._settings.artifact_types

    @property
    def format(self) -> Format:
        """Its format, loaded on first use."""
        if self._format is None:
            kind = format_class(self._settings.type)
            self._format = kind.load(self._settings.name, self._settings.settings, self._certificates)
        return self._format

    def handles(self, artifact_type: str) -> bool:
        """Whether evidence of this type is for this verifier."""
        return artifact_type in self.artifact_types or _ALL_TYPES in self.artifact_types


class Gap(NamedTuple):
    """Something that could not be looked at: more evidence may exist than was seen."""

    cause: Cause
    message: str


class _Fetched(NamedTuple):
    verifier: Verifier
    evidence: Evidence


class _Found(NamedTuple):
    """What was found: outcomes by digest; `defects` are failed outcomes of content whose type nobody knows."""

    outcomes: tuple[Outcome, ...]
    gaps: tuple[Gap, ...]
    defects: tuple[Outcome, ...]
    source: str


class Engine:
    """Verifies images under one configuration."""

    def __init__(
        self,
        config: Config,
        *,
        registry: Registry,
        revocation: RevocationSource,
        concurrent: Concurrent,
        clock: Clock,
        trace: Trace,
    ) -> None:
        """Load the configuration's policy, and its verifiers; the ports are used as they are."""
        self.config = config
        self.registry = registry
        self.revocation = revocation
        self.concurrent = concurrent
        self.clock = clock
        self.trace = trace
        self.verifiers = tuple(Verifier(settings, config.certificates) for settings in config.verifiers)
        self.policy: Policy = policy_class(config.policy.name).load(config.policy.settings)

    async def verify(self, request: PullRequest) -> Verdict:
        """Steps 4 to 8 for one image.  Raises nothing but bugs: everything foreseen is in the verdict."""
        now = self.clock.now()
        if now < datetime.fromisoformat(RELEASED).replace(tzinfo=timezone.utc):
            said = f"this host's clock says {now:%Y-%m-%d}, before this release ({RELEASED})"
            text = f"{Cause.CLOCK_IMPLAUSIBLE.value}: {said}"
            return Verdict(Decision.CANNOT_TELL, Code.CLOCK_IMPLAUSIBLE, text, (Cause.CLOCK_IMPLAUSIBLE,))
        gathering = _Gathering(self, request, now)  # (4)
        found = await gathering.gather()  # (5), (6)
        return self._conclude(request, gathering.wanted, found)  # (7), (8)

    def _conclude(self, request: PullRequest, wanted: Sequence[str], found: _Found) -> Verdict:
        """(7) and (8)."""
        report = Report(request.identity, found.outcomes + found.defects)
        inconclusive = report.with_status(Status.INCONCLUSIVE)
        unseen = list(wanted) if found.gaps or found.defects else []
        in_doubt = [outcome.artifact_type for outcome in inconclusive] + unseen
        allowed = self.policy.evaluate(found.outcomes, inconclusive_passes=False)
        if allowed and self.policy.allow_stands(in_doubt):
            code = Code.VERIFIED if report.with_status(Status.PASSED) else Code.NOT_VERIFIED
            verdict = Verdict(Decision.ALLOW, code, _success(report), report=report)
        elif found.gaps:
            verdict = _cannot_tell(report, inconclusive, found.gaps)
        elif found.defects and not self.policy.allow_stands(wanted):
            verdict = _denial(report, wanted, found.source)
        elif allowed or self.policy.evaluate(found.outcomes, inconclusive_passes=True):
            verdict = _cannot_tell(report, inconclusive, found.gaps)
        else:
            verdict = _denial(report, wanted, found.source)
        self.trace.step("evaluate policy", self.config.policy.name, f"{verdict.decision.value}: {verdict.message}")
        return verdict


class _Gathering:
    """Steps 4 to 6 for one image: what is looked for, what was found, what that says.

    Evidence goes to the first verifier, in the configuration's order, that handles its type: one outcome for each.  A
    verifier that exempts the image is sent nothing, and its types are not looked for.
    """

    def __init__(self, engine: Engine, request: PullRequest, now: datetime) -> None:
        self._engine = engine
        self._policy = engine.policy
        self._trace = engine.trace
        self._clock = engine.clock
        self._request = request
        self._now = now
        self._exemptions: list[Outcome] = []
        self._exempting: set[Verifier] = set()
        for verifier in engine.verifiers:
            exemption = verifier.format.exemption(request)
            if exemption is not None:
                kinds = [exemption.artifact_type if kind == _ALL_TYPES else kind for kind in verifier.artifact_types]
                self._exemptions += (exemption._replace(artifact_type=kind) for kind in kinds)
                self._exempting.add(verifier)
        asked = [each for each in engine.verifiers if each not in self._exempting]
        self.wanted = tuple(dict.fromkeys(kind for each in asked for kind in each.artifact_types))

    async def gather(self) -> _Found:
        """(5) and (6)."""
        if not self.wanted:
            self._trace.step("list referrers", "nothing", "the configuration asks for no evidence of this image")
            return _Found(tuple(self._exemptions), (), (), "no listing")
        try:
            listing = await self._engine.registry.referrers(
                self._request.repository, self._request.subject.digest, self.wanted
            )
        except Unavailable as error:
            self._trace.step("list referrers", ", ".join(self.wanted), f"{error.cause.value}: {error.message}")
            return _Found(tuple(self._exemptions), (Gap(error.cause, error.message),), (), "no listing")
        except Malformed as error:
            listing = Listing((), "referrers API", types_are_reliable=True, defect=error)
        chosen, defect = self._choose(listing)
        self._trace.step(
            "list referrers",
            ", ".join(self.wanted),
            f"{len(listing.descriptors)} by {listing.source}, {len(chosen)} to look at",
        )

        start = self._clock.monotonic()

        async def look(numbered: tuple[int, Descriptor]) -> Outcome | Gap | None:
            number, descriptor = numbered
            if number >= LOOKED_AT_LEAST and self._clock.monotonic() - start > PATIENCE:
                text = f"{listing.source}: looked at {number} of {len(chosen)} referrers in {PATIENCE:g} s"
                return self._spoilt(SpoiltEvidence(descriptor.digest, "", LimitExceeded(f"{text}; expected fewer")))
            return await self._look_at(descriptor)

        def enough(results: Sequence[Outcome | Gap | None]) -> bool:
            found = [result for result in results if isinstance(result, Outcome) and result.artifact_type]
            outcomes = [*self._exemptions, *found]
            return self._policy.allow_stands(self.wanted) and self._policy.evaluate(outcomes, inconclusive_passes=False)

        results = await self._engine.concurrent.map(look, list(enumerate(chosen)), enough=enough)
        outcomes = sorted(
            (*self._exemptions, *(result for result in results if isinstance(result, Outcome))),
            key=lambda outcome: (str(outcome.digest), outcome.verifier),
        )
        if defect is not None:
            outcomes.append(self._spoilt(SpoiltEvidence(self._request.subject.digest, "", defect)))
        return _Found(
            tuple(outcome for outcome in outcomes if outcome.artifact_type),
            tuple(result for result in results if isinstance(result, Gap)),
            tuple(outcome for outcome in outcomes if not outcome.artifact_type),
            listing.source,
        )

    def _choose(self, listing: Listing) -> tuple[list[Descriptor], Malformed | None]:
        """What is worth fetching: where listed types can't be relied on, everything, up to the limit."""
        chosen = [
            each
            for each in listing.descriptors
            if not listing.types_are_reliable or each.artifact_type is None or self._handler(each.artifact_type)
        ]
        if len(chosen) <= MAX_EVIDENCE:
            return chosen, listing.defect
        excess = LimitExceeded(
            f"{listing.source}: got {len(chosen)} referrers to look at; expected at most {MAX_EVIDENCE}"
        )
        return chosen[:MAX_EVIDENCE], listing.defect or excess

    async def _look_at(self, descriptor: Descriptor) -> Outcome | Gap | None:
        """Fetch one referrer and verify it; None if it is of no type that anyone asked for."""
        try:
            fetched = await self._fetch(descriptor)
        except Unavailable as error:
            self._trace.step(f"fetch {descriptor.digest}", "manifest and blob", f"{error.cause.value}: {error.message}")
            return Gap(error.cause, error.message)
        if fetched is None:
            self._trace.step(f"fetch {descriptor.digest}", "manifest", "an artifact of another type")
            return None
        if isinstance(fetched, SpoiltEvidence):
            outcome = self._spoilt(fetched)
        else:
            outcome = await self._inquire(fetched.verifier.format.verify(self._request, fetched.evidence, self._now))
        self._trace.step(f"verify {descriptor.digest}", outcome.verifier, f"{outcome.status.value}: {outcome.message}")
        return outcome

    async def _inquire(self, inquiry: Inquiry[Outcome]) -> Outcome:
        """Run a verification to its end, and ask what it has to ask."""
        source = self._engine.revocation
        try:
            step = next(inquiry)
            while True:
                if isinstance(step, Confirmed):
                    await source.keep(step)
                    step = inquiry.send(Fetched(b""))
                    continue
                try:
                    fetched = await source.fetch(step)
                except NodesealError as error:
                    self._trace.step("ask about revocation", step.url, error.message)
                    step = inquiry.throw(error)
                else:
                    told = f"{len(fetched.content)} bytes{', kept from before' if fetched.kept else ''}"
                    self._trace.step("ask about revocation", step.url, told)
                    step = inquiry.send(fetched)
        except StopIteration as finished:
            return cast("Outcome", finished.value)

    async def _fetch(self, descriptor: Descriptor) -> _Fetched | SpoiltEvidence | None:
        """A referrer's manifest and blobs.  Raises `Unavailable`."""
        registry, request = self._engine.registry, self._request
        artifact_type = descriptor.artifact_type or ""
        try:
            if descriptor.size > MAX_MANIFEST_SIZE:
                raise LimitExceeded(
                    f"manifest: listed with {descriptor.size} bytes; expected at most {MAX_MANIFEST_SIZE}"
                )
            content = await registry.manifest(request.repository, descriptor)
            value = strictjson.decode(content, "manifest", limit=MAX_MANIFEST_SIZE)
            manifest = Manifest.from_json(value, descriptor.media_type)
            artifact_type = manifest.artifact_type
            verifier = self._handler(artifact_type)
            if verifier is None:
                return None
            if manifest.subject is None or manifest.subject.digest != request.subject.digest:
                raise _WrongSubject(
                    f"the signature's manifest points at another image ({manifest.subject and manifest.subject.digest})"
                )
            limit = verifier.format.blob_limit(len(manifest.blobs))
            blobs = [Blob(blob, await registry.blob(request.repository, blob, limit)) for blob in manifest.blobs]
        except Malformed as error:
            if artifact_type and self._handler(artifact_type) is None:
                return None
            return SpoiltEvidence(descriptor.digest, artifact_type, error)
        return _Fetched(verifier, Evidence(descriptor.digest, manifest, tuple(blobs)))

    def _handler(self, artifact_type: str) -> Verifier | None:
        """Who verifies evidence of this type; None if nobody asks for it."""
        found = next((each for each in self._engine.verifiers if each.handles(artifact_type)), None)
        return None if found in self._exempting else found

    def _spoilt(self, evidence: SpoiltEvidence) -> Outcome:
        """The failed outcome of content that is wrong; in the name of the first verifier, if nobody knows its type."""
        verifier = self._handler(evidence.artifact_type) or self._engine.verifiers[0]
        return Outcome(
            digest=evidence.digest,
            artifact_type=evidence.artifact_type,
            verifier=verifier.name,
            verifier_type=verifier.type,
            status=Status.FAILED,
            message=evidence.defect.message,
            code=evidence.defect.code,
        )


class _WrongSubject(Malformed):
    """A referrer of another image, listed as one of ours."""

    code = Code.SIGNATURE_OF_ANOTHER_IMAGE


def _success(report: Report) -> str:
    passed = report.with_status(Status.PASSED)
    if not passed:
        return f"not verified: {report.with_status(Status.SKIPPED)[0].message}"
    first = passed[0]
    signer = first.extensions.get("SN", "")
    signed_by = f" by {signer}" if signer else ""
    text = f"{len(passed)} of {len(report.outcomes)} signatures verified{signed_by} ({first.verifier})"
    logged = [check for check in first.checks if check.status in (Status.FAILED, Status.INCONCLUSIVE)]
    return text + "".join(f"; only logged: {check.message}" for check in logged)


def _cannot_tell(report: Report, inconclusive: Sequence[Outcome], gaps: Sequence[Gap]) -> Verdict:
    reasons = list(gaps) + [
        Gap(outcome.cause, outcome.message) for outcome in inconclusive if outcome.cause is not None
    ]
    causes = tuple(dict.fromkeys(reason.cause for reason in reasons))
    first = reasons[0]
    others = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    text = f"{first.cause.value}: {first.message}{others}"
    return Verdict(Decision.CANNOT_TELL, Code.of(first.cause), text, causes, report)


def _denial(report: Report, wanted: Sequence[str], source: str) -> Verdict:
    failed = report.with_status(Status.FAILED)
    if not report.outcomes:
        text = f"no signature found (looked for {', '.join(wanted)} by {source})"
        return Verdict(Decision.DENY, Code.NO_EVIDENCE, text, report=report)
    if not failed:
        text = f"the policy asks for more than the {len(report.outcomes)} signatures found"
        return Verdict(Decision.DENY, Code.POLICY_NOT_SATISFIED, text, report=report)
    nearest = max(failed, key=lambda outcome: (len(outcome.checks), outcome.code is Code.EVIDENCE_LIMIT))
    others = f" (nearest of {len(failed)} that failed)" if len(failed) > 1 else ""
    return Verdict(
        Decision.DENY, nearest.code or Code.POLICY_NOT_SATISFIED, f"{nearest.message}{others}", report=report
    )
