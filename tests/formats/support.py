"""A subject, a signature of it, and what the notation format says of that: the arrangement of most tests here."""

from datetime import datetime, timezone
from typing import Any, Sequence

from cryptography.hazmat.primitives.serialization import Encoding

from agent.formats.notation import NotationFormat
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.documents import Document
from agent.model.evidence import Blob, Evidence
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

    def tree(self, path: str, wanted: Sequence[str]) -> tuple[Document, ...]:
        """Nothing."""
        del path, wanted
        return ()

    def provided(self, provider: str) -> Document | None:
        """Nothing."""
        del provider
        return None


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
    return verifier.verify(request(), evidence(envelope, media_type), now or datetime.now(timezone.utc))
