"""What the formats of reports have in common: content is read in a worker process, and an outcome proves nothing.

A report (a bill of materials, a scan, any document) has no signature of its own.  Whoever may push can attach one, so
its outcome is `unsigned`: a condition that an image meets or not, and a ground for nothing unless something that is
signed refers to it (`agent.gathering`).

Reading a report may take any time and memory.  So a check is yielded as `Labour`, and run where it can be killed.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, Self, cast

from agent.codec import strictjson
from agent.errors import Code, LimitExceeded, Malformed
from agent.model.evidence import Evidence
from agent.model.inquiry import Inquiry, Labour
from agent.model.manifest import Manifest
from agent.model.outcome import Outcome, Status
from agent.model.request import PullRequest
from agent.model.signer import DeniedSigner

MAX_VIOLATIONS = 100
"""Most violations of one kind that a report tells."""

_FEW = 3  # texts that a message shows
_LONGEST = 60  # characters of each of them
_LARGEST_ANSWER = 1024 * 1024  # bytes; as much as a worker may return (`agent.adapters.policy_worker.MAX_ANSWER`)


class Unsupported(Malformed):
    """An artifact of a type that a format does not read."""

    code = Code.EVIDENCE_UNSUPPORTED


class Appraisal(NamedTuple):
    """What a verifier makes of some content.  `code` is set if it is refused; `said` is for policies: JSON values."""

    message: str
    code: Code | None = None
    said: Mapping[str, object] = MappingProxyType({})


class ReportFormat:
    """A format of reports; members have their `type`, `artifact_types`, `parse`, `blob_limit` and `verify`."""

    type: str
    tags: Mapping[str, str] = MappingProxyType({})
    each_blob_counts = False
    tells = 0

    def __init__(self, name: str, settings: Mapping[str, object]) -> None:
        """`name` is the verifier's; `settings` are what `parse` made."""
        self._name = name
        self._settings = settings

    @classmethod
    def load(
        cls,
        name: str,
        settings: Mapping[str, object],
        certificates: Mapping[str, bytes],
        denied: Sequence[DeniedSigner] = (),
    ) -> Self:
        """See `Format.load`.  Nobody has signed what it reads."""
        del certificates, denied
        return cls(name, settings)

    def exemption(self, request: PullRequest) -> Outcome | None:
        """See `Format.exemption`.  There is none."""
        del request
        return None

    def _outcome(self, evidence: Evidence, found: Appraisal, valid_until: datetime | None = None) -> Outcome:
        """What this verifier says of the evidence: nothing that it rests on is signed."""
        return Outcome(
            digest=evidence.digest,
            artifact_type=evidence.manifest.artifact_type,
            verifier=self._name,
            verifier_type=self.type,
            status=Status.PASSED if found.code is None else Status.FAILED,
            message=found.message,
            code=found.code,
            extensions=found.said,
            valid_until=None if found.code is not None else valid_until,
            unsigned=True,
        )


def only_blob(manifest: Manifest, kinds: tuple[str, ...], what: str) -> None:
    """Check what an artifact of one report is.  Raises `Malformed`, `Unsupported`."""
    if manifest.artifact_type not in kinds:
        got = ascii(manifest.artifact_type)[:80]
        raise Unsupported(f"{what}: got an artifact of the type {got}; expected {' or '.join(kinds)}")
    if len(manifest.blobs) != 1:
        raise Malformed(f"{what}: got a manifest of {len(manifest.blobs)} layers; expected exactly one, the report")


def judged(check: Callable[[], Appraisal]) -> Inquiry[Appraisal]:
    """What `check` makes of content, run where it can be killed.

    `check` may raise `Malformed`; then, and if it takes too much time or memory, the content is refused.
    """
    try:
        answer = yield Labour(partial(examined, check))
    except Malformed as error:
        return Appraisal(error.message, error.code)
    value = cast("Mapping[str, object]", strictjson.decode(answer.content, "answer", limit=_LARGEST_ANSWER))
    code = value["code"]
    said = cast("Mapping[str, object]", value["said"])
    return Appraisal(str(value["message"]), None if code is None else Code(code), said)


def few(texts: list[str]) -> str:
    """The first of `texts`, shortened and in printable ASCII, and how many more there are, for a message."""
    shown = ", ".join(ascii(each)[1:-1][:_LONGEST] for each in texts[:_FEW])
    return f"{shown} and {len(texts) - _FEW} more" if len(texts) > _FEW else shown


def examined(check: Callable[[], Appraisal]) -> bytes:
    """What `check` returned, as bytes that `judged` reads back: what a worker process runs.  Raises nothing."""
    try:
        found = check()
    except RecursionError:
        found = Appraisal("content: got values nested too deeply", LimitExceeded.code)
    except Malformed as error:
        found = Appraisal(error.message, error.code)
    return strictjson.canonical(found._asdict() | {"said": dict(found.said)})
