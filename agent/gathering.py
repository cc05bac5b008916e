"""Steps 4 to 6 of a verification: what is looked for, what was found, what that says.

Awaits ports and imports no event loop, like the engine whose part it is.  A *gap* is something that nobody answered:
more may exist than was seen.  A *defect* is content that can't be looked at (a broken list, too many referrers): its
author's choice, so it counts as failed evidence of any type.

How far it looks is the policy's: under Ratify's config policy the first verifier that looks at a type takes an
artifact, and what no verifier looks at is passed over; our own rules ask all of them; a Rego policy sees every
referrer of every type, and the referrers of these.
"""

from typing import Awaitable, Callable, Mapping, NamedTuple, Sequence

from agent import asking
from agent.asking import Ask, Ports
from agent.codec import strictjson
from agent.errors import Cause, Code, LimitExceeded, Malformed, Unavailable
from agent.formats import REPORTS, Format
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Blob, Evidence, Listing
from agent.model.manifest import COSIGN_SIGNATURE, COSIGN_TAG, EMPTY_CONFIG, IMAGE_CONFIG, Manifest
from agent.model.outcome import Outcome, Status
from agent.model.packed import Packed, packed
from agent.model.reference import Reference
from agent.model.report import Artifact, Report
from agent.model.verdict import Decision, Verdict
from agent.verifier import ALL_TYPES, Verifier

MAX_EVIDENCE = 50
"""Most referrers fetched for one subject.  `notation` stops at 100 by default; each costs two requests."""

MAX_NESTED = 200
"""Most referrers fetched for one image, those of its referrers among them."""

MAX_NESTING = 4
"""Most referrers in each other: an SBOM's signature is the second."""

PATIENCE = 5.0
"""Most seconds until no further evidence is looked at, once `LOOKED_AT_LEAST` pieces were: referrers, or their blobs.

More signatures than can be looked at in our time are their authors' choice: not a deadline, which says "cannot tell".
"""

LOOKED_AT_LEAST = 10
"""Pieces of evidence that are looked at however long they take."""

MAX_MANIFEST_SIZE = 256 * 1024
"""Largest manifest of evidence taken, in bytes; real ones have one or two KiB."""

MAX_VALUES = 4_000
"""Most JSON values in a manifest of evidence, about: 64 layers with sixteen annotations each have a thousand."""

_READ_HERE = 512 * 1024  # bytes of a report that may be passed on as it is


class Gap(NamedTuple):
    """Something that could not be looked at: more evidence may exist than was seen."""

    cause: Cause
    message: str


class Found(NamedTuple):
    """What was found for one subject: its report, what could not be looked at, where it was listed."""

    report: Report
    gaps: tuple[Gap, ...]
    source: str


class _Look(NamedTuple):
    """What came of one referrer: an artifact, unless it is of no type that anyone asked for."""

    artifact: Artifact | None = None
    gaps: tuple[Gap, ...] = ()
    defects: tuple[Outcome, ...] = ()


_NOTHING = _Look()


class _Listed(NamedTuple):
    """All that is listed for a subject.  `tagged` are those that a tag names, with the type that this gives them."""

    descriptors: tuple[Descriptor, ...]
    tagged: Mapping[Digest, str]
    source: str
    types_are_reliable: bool
    defect: Malformed | None
    gaps: tuple[Gap, ...]


class Gathering:
    """Steps 4 to 6 for one subject.

    A verifier that exempts the image is sent nothing, and its types are not looked for.
    """

    def __init__(self, ask: Ask, ports: Ports, nested: Callable[[Ask], Awaitable[Verdict]]) -> None:
        """`nested` verifies what an artifact's verifier wants to know of the artifact's own referrers."""
        self._ask = ask
        self._ports = ports
        self._nested = nested
        self._trace = ports.trace
        self._subject = ask.request.subject.digest
        self._tagged: Mapping[Digest, str] = {}
        self._exemptions: list[Artifact] = []
        self._exempting: set[Verifier] = set()
        for verifier in ask.verifiers:
            exemption = verifier.format.exemption(ask.request)
            if exemption is not None:
                self._exempting.add(verifier)
                if ask.depth == 1:
                    self._exemptions += self._exempted(verifier, exemption)
        asked = [each for each in ask.verifiers if each not in self._exempting]
        kinds = tuple(dict.fromkeys(kind for each in asked for kind in each.artifact_types))
        self.wanted = (ALL_TYPES,) if kinds and ask.policy.sees_everything else kinds
        self._tags = {end: kind for each in asked for end, kind in each.tags.items()}
        if ask.cosign_tags and {COSIGN_SIGNATURE, ALL_TYPES} & set(self.wanted):
            self._tags[COSIGN_TAG] = COSIGN_SIGNATURE

    async def gather(self) -> Found:
        """(5) and (6)."""
        if not self.wanted:
            self._trace.step("list referrers", "nothing", "the configuration asks for no evidence of this image")
            return self._found([], (), "no listing")
        listing = await self._listed()
        self._tagged = listing.tagged
        if listing.descriptors and self._ask.depth > MAX_NESTING:
            excess = LimitExceeded(f"{listing.source}: got more than {MAX_NESTING} referrers in each other")
            return self._found([self._defect(self._subject, excess)], listing.gaps, listing.source)
        chosen, defect = self._choose(listing)
        source, gaps = listing.source, listing.gaps
        self._trace.step(
            "list referrers" if self._ask.depth == 1 else f"list referrers of {self._subject}",
            ", ".join(self.wanted),
            "; ".join(
                (
                    f"{len(listing.descriptors)} by {source}, {len(chosen)} to look at",
                    *(f"{gap.cause.value}: {gap.message}" for gap in gaps),
                )
            ),
        )
        del listing  # it may be long, and what refers to each of its referrers is listed before it is done with

        async def look(descriptor: Descriptor) -> _Look:
            """One referrer, unless patience has run out."""
            looked_at = MAX_NESTED - self._ask.left[0]
            if self._is_too_long(max(looked_at, self._ask.tried[0])):
                text = f"{source}: looked at {looked_at} referrers in {self._ask.patience:g} s"
                return self._defect(descriptor.digest, LimitExceeded(f"{text}; expected fewer"))
            return await self._look_at(descriptor)

        def enough(results: Sequence[_Look]) -> bool:
            """Whether no further referrer can change the answer."""
            policy, report = self._ask.policy, self._found(results, (), "").report
            return (
                bool(report.grounds(Status.PASSED, Status.SKIPPED))
                and policy.allow_stands(report, self.wanted)
                and policy.evaluate(report, inconclusive_passes=False, now=self._ask.now)
            )

        results = await self._ports.concurrent.map(look, chosen, enough=enough)
        defects = [] if defect is None else [self._defect(self._subject, defect)]
        return self._found([*results, *defects], gaps, source)

    def _found(self, looks: Sequence[_Look], gaps: tuple[Gap, ...], source: str) -> Found:
        artifacts = sorted(
            (*self._exemptions, *(look.artifact for look in looks if look.artifact)),
            key=lambda artifact: (str(artifact.digest), artifact.outcomes[0].verifier if artifact.outcomes else ""),
        )
        defects = sorted((each for look in looks for each in look.defects), key=lambda each: str(each.digest))
        identity, whole = self._ask.request.identity, self._ask.policy.sees_everything
        report = Report(identity, tuple(artifacts), tuple(defects), seen_whole=whole)
        return Found(report, (*gaps, *(gap for look in looks for gap in look.gaps)), source)

    async def _listed(self) -> _Listed:
        """The subject's referrers and what its tags name, each once.  A place that nobody answers for is a gap.

        What a tag names comes first: more referrers than are looked at must not hide it.
        """
        places = ("", *self._tags)
        heard = await self._ports.concurrent.map(self._heard, places, enough=lambda _: False)
        silent = (each.missing for each in heard if isinstance(each, Listing) and each.missing is not None)
        gaps = [each for each in heard if isinstance(each, Gap)]
        listings = {place: each for place, each in zip(places, heard, strict=True) if isinstance(each, Listing)}
        listing = listings.pop("", None) or Listing((), "no listing", types_are_reliable=True)
        named = {
            each.digest: each._replace(artifact_type=self._tags[end])
            for end, tagged in listings.items()
            for each in tagged.descriptors
        }
        others = (each for each in listing.descriptors if each.digest not in named)
        defects = (each.defect for each in (listing, *listings.values()) if each.defect is not None)
        return _Listed(
            descriptors=(*named.values(), *others),
            tagged={digest: str(each.artifact_type) for digest, each in named.items()},
            source=" and ".join((listing.source, *(f"tag *{end}" for end in self._tags))),
            types_are_reliable=listing.types_are_reliable,
            defect=next(defects, None),
            gaps=(*gaps, *(Gap(each.cause, each.message) for each in silent)),
        )

    async def _heard(self, place: str) -> Listing | Gap:
        """What one place lists: a tag by its end, or the referrers ("")."""
        ask, registry = self._ask, self._ports.registry
        try:
            if not place:
                return await registry.referrers(ask.repository, self._subject, self.wanted)
            tag = f"{self._subject.algorithm}-{self._subject.encoded}{place}"
            found = await registry.tagged(Reference(ask.repository, tag, None))
            return Listing(() if found is None else (found,), tag, types_are_reliable=True)
        except Malformed as error:
            return Listing((), "referrers API", types_are_reliable=True, defect=error)
        except Unavailable as error:
            return Gap(error.cause, error.message)

    def _is_too_long(self, looked_at: int) -> bool:
        """Whether patience has run out, after so many pieces."""
        return looked_at >= LOOKED_AT_LEAST and self._ports.clock.monotonic() - self._ask.since > self._ask.patience

    def _choose(self, listing: _Listed) -> tuple[list[Descriptor], Malformed | None]:
        """What is worth fetching: where listed types can't be relied on, everything, up to the limit."""
        chosen = [
            each
            for each in listing.descriptors
            if not listing.types_are_reliable
            or each.artifact_type in (None, EMPTY_CONFIG)  # the second is what some say of an artifact that tells it
            or self._concerns(str(each.artifact_type))
        ]
        if len(chosen) <= MAX_EVIDENCE:
            return chosen, listing.defect
        got = f"{listing.source}: got {len(chosen)} referrers to look at"
        return chosen[:MAX_EVIDENCE], listing.defect or LimitExceeded(f"{got}; expected at most {MAX_EVIDENCE}")

    async def _look_at(self, descriptor: Descriptor) -> _Look:
        """Fetch one referrer and verify it; then what refers to it, once its own content is given up."""
        self._ask.left[0] -= 1
        if self._ask.left[0] < 0:
            return self._defect(descriptor.digest, LimitExceeded(f"got more than {MAX_NESTED} referrers of referrers"))
        look = await self._looked_at(descriptor)
        return look if look.artifact is None else await self._with_nested(look.artifact, descriptor)

    async def _looked_at(self, descriptor: Descriptor) -> _Look:
        """One referrer for itself."""
        artifact_type, refers = descriptor.artifact_type or "", True
        size = asking.as_manifest(min(descriptor.size, MAX_MANIFEST_SIZE))
        try:
            async with self._ports.room.holding(size):
                manifest = await self._manifest(descriptor)
                artifact_type = self._type(descriptor.digest, manifest)
                if not self._concerns(artifact_type):
                    self._trace.step(f"fetch {descriptor.digest}", "manifest", "an artifact of another type")
                    return _NOTHING
                self._check_subject(manifest, descriptor.digest)
                refers = manifest.subject is not None
                evidence = manifest._replace(artifact_type=artifact_type)
                outcomes = await self._verified_by(self._handlers(artifact_type), descriptor, evidence)
        except Unavailable as error:
            self._trace.step(f"fetch {descriptor.digest}", "manifest and blob", f"{error.cause.value}: {error.message}")
            return _Look(gaps=(Gap(error.cause, error.message),))
        except Malformed as error:
            if artifact_type and not self._concerns(artifact_type):
                return _NOTHING
            handlers = self._handlers(artifact_type) if artifact_type else []
            if not handlers:
                return self._defect(descriptor.digest, error)
            outcomes = [self._failed(descriptor.digest, artifact_type, each, error) for each in handlers]
        for outcome in outcomes:
            told = f"{outcome.status.value}: {outcome.message}"
            self._trace.step(f"verify {descriptor.digest}", outcome.verifier, told)
        identity = self._ask.request.identity
        return _Look(Artifact(identity, descriptor.digest, artifact_type, tuple(outcomes), refers=refers))

    def _type(self, digest: Digest, manifest: Manifest) -> str:
        """The one that counts: a tag's, but must not hide a referrer from those who look for what that says it is."""
        tagged = self._tagged.get(digest)
        refers = manifest.subject is not None and manifest.artifact_type != IMAGE_CONFIG
        return manifest.artifact_type if not tagged or (refers and self._concerns(manifest.artifact_type)) else tagged

    async def _with_nested(self, artifact: Artifact, descriptor: Descriptor) -> _Look:
        """The artifact with what refers to it, as far as the policy or a verifier wants to know.

        A program is told nothing of what refers to a manifest that names no image: it could be signed for another one.
        """
        whole, about = self._ask.policy.sees_everything, self._ask.about(descriptor)
        look = _Look(artifact)
        if whole and artifact.refers:
            found = await Gathering(about, self._ports, self._nested).gather()
            look = _Look(artifact._replace(nested=found.report.artifacts), found.gaps, found.report.defects)
        asking = {each.name: each for each in self._handlers(artifact.artifact_type) if each.nested}
        verdicts: dict[tuple[str, ...], Verdict] = {}
        outcomes: list[Outcome] = []
        for outcome in artifact.outcomes:
            verifier = asking.get(outcome.verifier)
            if verifier is None or outcome.status is Status.FAILED or (whole and not verifier.signed_by):
                outcomes.append(outcome)
                continue
            names = verifier.signed_by
            if names not in verdicts:
                verdicts[names] = await self._nested(about.by_one_of(names) if names else about)
            outcomes.append(_told(outcome, verdicts[names], refers=artifact.refers))
        seen = {
            each.digest: each for verdict in verdicts.values() if verdict.report for each in verdict.report.artifacts
        }
        nested = look.artifact.nested if whole and look.artifact else tuple(seen.values())
        return look._replace(artifact=artifact._replace(outcomes=tuple(outcomes), nested=nested))

    async def _manifest(self, descriptor: Descriptor) -> Manifest:
        """A referrer's manifest.  Raises `Malformed`, `Unavailable`."""
        if descriptor.size > MAX_MANIFEST_SIZE:
            raise LimitExceeded(f"manifest: listed with {descriptor.size} bytes; expected at most {MAX_MANIFEST_SIZE}")
        content = await self._ports.registry.manifest(self._ask.repository, descriptor)
        value = strictjson.decode(content, "manifest", limit=MAX_MANIFEST_SIZE, most=MAX_VALUES)
        return Manifest.from_json(value, descriptor.media_type)

    def _check_subject(self, manifest: Manifest, digest: Digest) -> None:
        """Raises `Malformed` unless the manifest points at our subject; what a tag names need not."""
        if digest in self._tagged and manifest.subject is None:
            return
        if manifest.subject is None or manifest.subject.digest != self._subject:
            raise _WrongSubject(
                f"the signature's manifest points at another image ({manifest.subject and manifest.subject.digest})"
            )

    async def _verified_by(
        self, verifiers: Sequence[Verifier], descriptor: Descriptor, manifest: Manifest
    ) -> list[Outcome]:
        """What verifiers say of a referrer, whose blobs are held for all of them.  Raises `Unavailable`, `NoRoom`."""
        fetched = dict[Descriptor, bytes]()
        size = max((_size(each.format, manifest) for each in verifiers), default=0)
        async with self._ports.room.holding(size):
            return [await self._verified(each, descriptor, manifest, fetched) for each in verifiers]

    async def _verified(
        self, verifier: Verifier, descriptor: Descriptor, manifest: Manifest, fetched: dict[Descriptor, bytes]
    ) -> Outcome:
        """What one verifier says of a referrer, of which `fetched` is known.  Raises `Unavailable`."""
        ask = self._ask
        try:
            blobs = await self._blobs(verifier.format, manifest, fetched)
            await self._pause()
            evidence = Evidence(descriptor.digest, manifest, blobs)
            inquiry = verifier.format.verify(ask.request, evidence, ask.now)
            largest = max((len(each.content) for each in blobs), default=0)
            if verifier.type in REPORTS and largest > _READ_HERE:
                largest = 0  # it is read elsewhere (`Labour`)
            return await self._told(await asking.inquire(inquiry, largest, ask, self._ports, self._pause))
        except Malformed as error:
            return self._failed(descriptor.digest, manifest.artifact_type, verifier, error)

    async def _pause(self) -> None:
        """Let others go on, and count what is verified next.  Raises `LimitExceeded` if patience has run out."""
        await self._ports.concurrent.pause()
        tried = self._ask.tried
        if self._is_too_long(tried[0]):
            raise LimitExceeded(f"signatures: verified {tried[0]} in {self._ask.patience:g} s; expected fewer")
        tried[0] += 1

    async def _blobs(self, form: Format, manifest: Manifest, fetched: dict[Descriptor, bytes]) -> tuple[Blob, ...]:
        """The manifest's blobs, each fetched once for all verifiers, which `fetched` is for.

        Raises `Malformed` or, unless each counts, `Unavailable`.
        """
        limit = form.blob_limit(manifest)
        found: dict[Descriptor, Blob] = {}
        for blob in manifest.blobs:
            if blob in found:
                continue
            try:
                if form.each_blob_counts and self._is_too_long(len(found)):
                    raise LimitExceeded(f"layers: looked at {len(found)} in {self._ask.patience:g} s; expected fewer")
                if blob not in fetched or blob.size > limit:
                    fetched[blob] = await self._ports.registry.blob(self._ask.repository, blob, limit)
                found[blob] = Blob(blob, fetched[blob])
            except (Malformed, Unavailable) as error:
                if not form.each_blob_counts:
                    raise
                found[blob] = Blob(blob, b"", error)
        return tuple(found[blob] for blob in manifest.blobs)

    async def _told(self, outcome: Outcome) -> Outcome:
        """The outcome, with room for what it tells until the image is judged.  Raises `LimitExceeded`."""
        said = packed(outcome.extensions)
        if not isinstance(said, Packed):
            return outcome
        self._ask.told[0] -= said.size
        if self._ask.told[0] < 0:
            raise LimitExceeded(f"evidence: got more than {asking.MAX_TOLD} bytes that it tells; expected less")
        await self._ports.room.keep(said.size)
        return outcome._replace(extensions=said)

    def _handlers(self, artifact_type: str) -> list[Verifier]:
        """Who verifies evidence of this type."""
        found = [each for each in self._ask.verifiers if each.handles(artifact_type)]
        if self._ask.policy.one_verifier:
            found = found[:1]
        return [each for each in found if each not in self._exempting]

    def _concerns(self, artifact_type: str) -> bool:
        """Whether anyone wants to know of artifacts of this type."""
        return self._ask.policy.sees_everything or bool(self._handlers(artifact_type))

    def _exempted(self, verifier: Verifier, exemption: Outcome) -> list[Artifact]:
        """What stands in the report for evidence that is not looked for: one artifact for each type."""
        kinds = [exemption.artifact_type if kind == ALL_TYPES else kind for kind in verifier.artifact_types]
        identity = self._ask.request.identity
        return [
            Artifact(identity, self._subject, kind, (exemption._replace(artifact_type=kind),))
            for kind in dict.fromkeys(kinds)
        ]

    def _defect(self, digest: Digest, error: Malformed) -> _Look:
        """Content whose type nobody knows, in the name of the first verifier."""
        return _Look(defects=(self._failed(digest, "", self._ask.verifiers[0], error),))

    @staticmethod
    def _failed(digest: Digest, artifact_type: str, verifier: Verifier, error: Malformed) -> Outcome:
        return Outcome(
            digest=digest,
            artifact_type=artifact_type,
            verifier=verifier.name,
            verifier_type=verifier.type,
            status=Status.FAILED,
            message=error.message,
            code=error.code,
        )


def _size(form: Format, manifest: Manifest) -> int:
    """Bytes of memory that a manifest's blobs take while they are verified, those alone that are fetched."""
    try:
        limit = form.blob_limit(manifest)
    except Malformed:
        return 0
    sizes = [each.size for each in dict.fromkeys(manifest.blobs) if each.size <= limit]
    return asking.as_content(sizes, form.tells)


class _WrongSubject(Malformed):
    """A referrer of another image, listed as one of ours."""

    code = Code.SIGNATURE_OF_ANOTHER_IMAGE


def _told(outcome: Outcome, nested: Verdict, *, refers: bool) -> Outcome:
    """The outcome of evidence once it is known what its own referrers are worth.

    Where its manifest points at no image (`refers`), they say nothing of this one: what needs them is not signed.
    """
    if outcome.status is Status.FAILED:
        return outcome
    if outcome.unsigned and not refers:
        message = (
            f"nobody signed it for this image: a tag names it, and its manifest names no image ({outcome.message})"
        )
        return outcome._replace(status=Status.FAILED, message=message, code=Code.EVIDENCE_UNSIGNED, cause=None)
    if nested.decision is Decision.ALLOW:
        return outcome
    message = f"nested verification failed: {nested.message}"  # Ratify's words
    if nested.decision is Decision.DENY:
        return outcome._replace(status=Status.FAILED, message=message, code=nested.code, cause=None)
    cause = outcome.cause or nested.causes[0]  # and who knows whether somebody signed it
    return outcome._replace(status=Status.INCONCLUSIVE, message=message, cause=cause, unsigned=False)
