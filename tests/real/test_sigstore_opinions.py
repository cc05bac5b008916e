"""The same bundles before the Python package `sigstore`: a second opinion that shares no code with cosign's.

tests/trust, tests/formats and tests/conformance ask Nodeseal; what the real cosign signed is asked about where it is
pulled (`test_sigstore_signing`).  Where the two differ, `DIFFERENT` says why, in the words of docs/keyless.md; any
other difference fails.
"""

import importlib.util
import pathlib
from collections.abc import Iterator
from types import MappingProxyType
from typing import NamedTuple

import pytest

from tests import signing_sigstore as sigstore
from tests.conformance.rows import ARTIFACT, ROWS
from tests.sigstore_bundles import ENVELOPES, OLDER, SAID
from tests.sigstore_cases import CASES
from tests.testbed.sigstore_python import ACCEPTS, FAILS, REQUIREMENTS, Opinion, Question, ask

pytestmark = pytest.mark.real

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "keyless.md"

DIFFERENCES = MappingProxyType({
    "statement": "what is signed must be about this image, and be a signature",
    "future": "a time in the future is refused",
    "ended": "authorities and logs count until their end",
    "last second": "the end of a timestamp authority's time is part of it",
    "subject": "a certificate has one subject",
    "user name": "a subject may be a user name",
    "issuer": "an issuer in either extension counts",
    "index": "an entry has the index that was proved",
    "left out": "an index that is left out is 0",
    "intoto": "an entry of the first Rekor may be of the type intoto",
    "none": "a log entry need not be there if none is asked for",
    "promise": "an entry of a version 0.1 bundle needs no proof",
    "algorithm": "P-384 and P-521 with the hash of their curve, RSA and Ed25519 count",
    "twice": "a timestamp that comes twice counts once",
    "size": "a checkpoint is of a tree of the proof's size",
    "name": "a checkpoint's signature says whose it is",
    "log": "an SCT says whose it is",
    "many": "up to 16 SCTs are in one certificate",
    "digest": "a message's digest is of the algorithm that it names",
})  # fmt: skip
"""Where the two differ on purpose: by name, the words of docs/keyless.md under "Beside the Python package"."""

DIFFERENT = MappingProxyType({
    "first Rekor, intoto": "intoto",
    "no log, timestamp, none asked for": "none",
    "no log, no time, valid now, now counts": "none",
    "P-384 with SHA-384": "algorithm",
    "P-521 with SHA-512": "algorithm",
    "RSA-2048": "algorithm",
    "Ed25519": "algorithm",
    "timestamp at the authority's very end": "last second",
    "promise in the future": "future",
    "index of the entry alone changed": "index",
    "index left out": "left out",
    "issuer in the new extension alone": "issuer",
    "two subjects, the second as wanted": "subject",
    "subject as a user name": "user name",
    "certificate log ended": "ended",
    "certificate authority ended": "ended",
    "first Rekor ended": "ended",
    "second Rekor ended": "ended",
    "the same timestamp twice": "twice",
    "checkpoint of a tree of another size": "size",
    "second checkpoint of a tree of another size": "size",
    "second checkpoint signed under another name": "name",
    "SCT of the log under another id": "log",
    "as many SCTs as may be": "many",
    "envelope: another payload type, signed": "statement",
    "message: digest of another algorithm": "digest",
    "message: version 0.1, a promise alone": "promise",
    "version: 0.1, no proof": "promise",
})  # fmt: skip
"""Bundles on which the two differ, and the name of the difference."""

STUMBLES = (
    "RSA-2048", "Ed25519", "SCT that can't be read", "for nothing",
    "promised after the last day", "promised when no calendar reaches",
)  # fmt: skip
"""Bundles that make it fail with an error that is none of its own."""


class Asked(NamedTuple):
    """What is asked about a bundle, and whether it counts for Nodeseal."""

    question: Question
    counts: bool


def _gathered() -> Iterator[tuple[str, Asked]]:
    """Every bundle by identity that tests of Nodeseal are about, by name."""
    for kind, instance in ((each, sigstore.instance(0, each)) for each in ("P-256", "Ed25519")):
        for name, case in CASES.items():
            if kind == "P-256" or "second" in name:
                made = case.make(instance)
                told = name if kind == "P-256" else f"{name}, {kind}"
                yield told, Asked(Question(made.bundle, instance.trusted_root(**made.windows)), case.counts)
    instance = sigstore.instance()
    root = instance.trusted_root()
    for name, row in ROWS.items():
        if not row.by_key:
            yield f"message: {name}", Asked(Question(row.make(instance), root, ARTIFACT), row.counts)
    for table, cases in (("envelope", ENVELOPES), ("version", OLDER), ("statement", SAID)):
        for name, each in cases.items():
            yield f"{table}: {name}", Asked(Question(each.make(instance), root), each.code is None)


_NAMES = [
    *CASES,
    *(f"{name}, Ed25519" for name in CASES if "second" in name),
    *(f"message: {name}" for name, row in ROWS.items() if not row.by_key),
    *(f"envelope: {name}" for name in ENVELOPES),
    *(f"version: {name}" for name in OLDER),
    *(f"statement: {name}" for name in SAID),
]


class Told(NamedTuple):
    """What was asked, and what it said, by name."""

    asked: dict[str, Asked]
    version: str
    opinions: dict[str, Opinion]


@pytest.fixture(scope="module")
def told() -> Told:
    """Everything is asked at once."""
    asked = dict(_gathered())
    assert list(asked) == _NAMES
    return Told(asked, *ask((name, each.question) for name, each in asked.items()))


@pytest.mark.parametrize("name", _NAMES)
def test_sigstore_says_the_same_but_for_what_is_written_down(told: Told, name: str) -> None:
    opinion = told.opinions[name]
    says = told.asked[name].counts is not bool(_difference(told, name))
    assert (opinion.word == ACCEPTS) is says, f"sigstore {told.version} {opinion.word}: {opinion.reason}"
    assert (opinion.word == FAILS) is (name in STUMBLES), opinion.reason


def _difference(told: Told, name: str) -> str:
    """Why it says something else than Nodeseal; empty if it does not."""
    if name.startswith("statement: ") and not told.asked[name].counts:
        return "statement"
    return DIFFERENT.get(name.removesuffix(", Ed25519"), "")


def test_what_differs_is_written_down(told: Told) -> None:
    section = DOCS.read_text().partition("## Beside the Python package")[2].partition("\n## ")[0]
    assert f"sigstore` {told.version}" in section
    named = {_difference(told, name) for name in _NAMES} - {""}
    assert named == set(DIFFERENCES)
    for words in DIFFERENCES.values():
        assert f"| {words} |" in section, words


def test_both_kinds_of_answer_are_many(told: Told) -> None:
    """Or else it was the same mistake each time."""
    words = [each.word for each in told.opinions.values()]
    assert words.count(ACCEPTS) >= 30, words
    reasons = {each.reason.partition(":")[0][:60] for each in told.opinions.values()}
    assert len(reasons) >= 25, sorted(reasons)


def test_it_is_locked_apart_from_everything_else(told: Told) -> None:
    assert f"\nsigstore=={told.version} " in REQUIREMENTS.read_text()
    for other in ("runtime.txt", "dev.txt"):
        assert "\nsigstore" not in REQUIREMENTS.with_name(other).read_text()
    assert importlib.util.find_spec("sigstore") is None
