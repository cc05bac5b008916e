"""in-toto statements: what is said (a predicate of some type), and of what (subjects by their digests).

in-toto attestation framework, Statement v1 and v0.1.  Members that nobody here knows are ignored, as the framework
demands; a member that stands twice, which two readers read differently, is refused.  Whether the statement is signed,
and whether it is about an image, is for others to say.
"""

from typing import Mapping, NamedTuple

from agent.codec import members, strictjson
from agent.errors import LimitExceeded, Malformed

PAYLOAD_TYPE = "application/vnd.in-toto+json"
"""The payload type of an envelope with a statement in it."""

TYPES = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")

MAX_SIZE = 4 * 1024 * 1024
"""Largest statement taken, in bytes: a predicate may be a whole bill of materials."""

MAX_SUBJECTS = 1024
"""Most subjects of one statement: the bound that Sigstore's own verifier has."""

MAX_DIGESTS = 32
"""Most digests of one subject: the bound that Sigstore's own verifier has."""

MAX_VALUES = 200_000
"""Most JSON values in one statement, about; a large bill of materials has this many."""


class Subject(NamedTuple):
    """One thing that a statement is about.

    `digests` are by algorithm, as they stand there, in no checked spelling; `annotations` may hold any JSON.
    """

    name: str
    digests: Mapping[str, str]
    annotations: Mapping[str, object]


class Statement(NamedTuple):
    """One statement; `predicate` is any JSON, None if it was left out."""

    predicate_type: str
    subjects: tuple[Subject, ...]
    predicate: object


def parse(payload: bytes) -> Statement:
    """Read a statement.  Raises `Malformed` or `LimitExceeded`."""
    value = members.of(strictjson.decode(payload, "statement", limit=MAX_SIZE, most=MAX_VALUES), "statement")
    kind = value.get("_type")
    if kind not in TYPES:
        raise Malformed(f"statement: _type: got {ascii(kind)[:80]}; expected one of {', '.join(TYPES)}")
    predicate_type = value.get("predicateType")
    if not isinstance(predicate_type, str) or not predicate_type:
        raise Malformed(f"statement: predicateType: got {ascii(predicate_type)[:80]}; expected a URI")
    subjects = members.array(value, "subject", "statement", most=MAX_SUBJECTS, of_what="subjects")
    found = tuple(_subject(each, f"statement: subject[{i}]") for i, each in enumerate(subjects))
    return Statement(predicate_type, found, value.get("predicate"))


def _subject(value: object, where: str) -> Subject:
    subject = members.of(value, where)
    name = members.text(subject, "name", where, default="")
    digests = members.of(subject.get("digest", {}), f"{where}: digest")
    if len(digests) > MAX_DIGESTS:
        raise LimitExceeded(f"{where}: got {len(digests)} digests; expected at most {MAX_DIGESTS}")
    texts = {algorithm: each for algorithm, each in digests.items() if isinstance(each, str)}
    if len(texts) != len(digests):
        raise Malformed(f"{where}: digest: got a value that is no string; expected hexadecimal digests")
    return Subject(name, texts, members.of(subject.get("annotations", {}), f"{where}: annotations"))
