"""A subject, a signature of it, and what the notation format says of that: the arrangement of most tests here."""

from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any, Callable, Mapping, Sequence, cast

from cryptography.hazmat.primitives.serialization import Encoding

from agent.errors import Cause, Malformed, Unavailable
from agent.formats.notation import NotationFormat
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.documents import Document, Examination
from agent.model.evidence import Blob, Evidence
from agent.model.inquiry import Confirmed, Fetched, Inquiry, Labour, Paused, RevocationQuery
from agent.model.manifest import IMAGE_MANIFEST, Manifest
from agent.model.outcome import Outcome
from agent.model.reference import Reference
from agent.model.request import PullRequest
from tests.signing import ARTIFACT_TYPE, ENVELOPE_TYPE, Signer, trust_policy

SUBJECT = Descriptor(IMAGE_MANIFEST, Digest.of(b"the image"), 1234)
NAME = "registry.example.com/shop/cart:1"


class GivenDocuments:
    """`model.documents.Sources` that finds what it was given, under any path."""

    def __init__(self, *contents: bytes) -> None:
        """Keep the contents."""
        self._found = tuple(Document(f"{i}.crt", each, f"{i}.crt") for i, each in enumerate(contents))

    def find(self, path: str) -> tuple[Document, ...]:
        """All of them."""
        del path
        return self._found

    def file(self, path: str) -> Document | None:
        """Nothing."""
        del path
        return None

    def tree(self, path: str, wanted: Sequence[str]) -> tuple[Document, ...]:
        """Nothing."""
        del path, wanted
        return ()

    def provided(self, provider: str) -> Document | None:
        """Nothing."""
        del provider
        return None

    def examined(self, document: Document, begin: Callable[[bytes], Examination]) -> object:
        """On the spot."""
        begun = begin(document.content)
        flaw = begun.examine()
        if flaw:
            raise Malformed(flaw.decode())
        return begun.value


def request(name: str = NAME, subject: Descriptor = SUBJECT) -> PullRequest:
    """A pull of the subject."""
    return PullRequest(name, Reference.parse(name), subject)


def evidence(envelope: bytes, media_type: str = ENVELOPE_TYPE) -> Evidence:
    """A signature's evidence, as the engine fetches it."""
    blob = Descriptor(media_type, Digest.of(envelope), len(envelope))
    manifest = Manifest(IMAGE_MANIFEST, ARTIFACT_TYPE, (blob,), SUBJECT)
    return Evidence(Digest.of(b"manifest of " + envelope), manifest, (Blob(blob, envelope),))


def notation(*trusted: Signer, **policy: Any) -> NotationFormat:
    """A verifier that trusts the roots of signers under one statement; `policy` changes that statement."""
    documents = GivenDocuments(*(each.root.public_bytes(Encoding.PEM) for each in trusted))
    options = {"verificationCerts": ["certs"], "trustPolicyDoc": trust_policy(**policy)}
    parsed = NotationFormat.parse(options, documents, "verifier")
    fatal = [str(problem) for problem in parsed.problems if problem.fatal]
    if fatal:
        raise AssertionError(fatal)
    return NotationFormat.load("notation", parsed.settings, parsed.certificates)


def verify(
    envelope: bytes, *trusted: Signer, media_type: str = ENVELOPE_TYPE, now: datetime | None = None, **policy: Any
) -> Outcome:
    """What a verifier that trusts `trusted` finds about an envelope."""
    verifier = notation(*trusted, **policy)
    return decided(verifier.verify(request(), evidence(envelope, media_type), now or datetime.now(timezone.utc)))


class Answers:
    """`ports.RevocationSource` that answers what it was given, by URL; nobody else can be reached."""

    def __init__(self, answers: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Keep the answers."""
        self._answers = answers
        self.asked: list[str] = []
        self.kept: list[str] = []

    async def fetch(self, query: RevocationQuery) -> Fetched:
        """What was given for the query's URL."""
        self.asked.append(query.url)
        if query.url not in self._answers:
            raise Unavailable(f"{query.url}: nobody there", cause=Cause.REGISTRY_UNAVAILABLE)
        return Fetched(self._answers[query.url])

    async def keep(self, confirmed: Confirmed) -> None:
        """Note it."""
        self.kept.append(confirmed.query.url)


def decided(inquiry: Inquiry[Outcome], answers: Mapping[str, bytes] = MappingProxyType({})) -> Outcome:
    """Run a verification to its end; `answers` maps URLs to what is there, nothing else can be reached."""
    try:
        step = next(inquiry)
        while True:
            if isinstance(step, Confirmed | Paused):
                step = inquiry.send(Fetched(b""))
            elif isinstance(step, Labour):
                step = inquiry.send(Fetched(step.work()))
            elif step.url in answers:
                step = inquiry.send(Fetched(answers[step.url]))
            else:
                step = inquiry.throw(Unavailable(f"{step.url}: nobody there", cause=Cause.REGISTRY_UNAVAILABLE))
    except StopIteration as finished:
        return cast("Outcome", finished.value)
