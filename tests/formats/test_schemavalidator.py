"""Documents under schemas: every layer has a schema, and its form."""

import sys
from typing import Any

import pytest

from agent import codec
from agent.adapters.inline import run
from agent.adapters.policy_worker import ForkedWorker
from agent.errors import Code, LimitExceeded, Malformed
from agent.formats.contents import Unsupported
from agent.formats.schemavalidator import MAX_SIZE, MAX_TOTAL, SchemaValidatorFormat
from agent.formats.vulnerabilityreport import ARTIFACT_TYPE, VulnerabilityReportFormat
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Blob, Evidence
from agent.model.inquiry import Labour
from agent.model.manifest import IMAGE_MANIFEST, Manifest
from agent.model.outcome import Outcome, Status
from tests import reports
from tests.formats.support import SUBJECT, request
from tests.reports import NOON, SCHEMA, NamedSchemas

REVIEW = "application/vnd.example.review+json"


def loaded(schema: object = SCHEMA) -> SchemaValidatorFormat:
    """A verifier with one schema."""
    parsed = SchemaValidatorFormat.parse({"schemas": {REVIEW: "file:///review.json"}}, NamedSchemas(schema), "v")
    assert parsed.problems == ()
    return SchemaValidatorFormat.load("reviews", parsed.settings, parsed.certificates)


def judged(*contents: bytes) -> Outcome:
    """What a verifier finds in layers, at noon."""
    return reports.judged(loaded(), *contents, kind="a/b", media_type=REVIEW)


def test_layers_that_have_the_form_pass() -> None:
    found = judged(b'{"by": "a"}', b'{"by": "aa"}')
    assert (found.status, found.message) == (Status.PASSED, "2 layers have the form that the schemas ask for")
    assert found.extensions == {}
    assert found.unsigned


def test_validator_is_there_before_a_process_is_forked_for_some_content(monkeypatch: pytest.MonkeyPatch) -> None:
    content = b'{"by": "a"}'
    blob = Descriptor(REVIEW, Digest.of(content), len(content))
    manifest = Manifest(
        IMAGE_MANIFEST,
        ARTIFACT_TYPE,
        (blob,),
        SUBJECT,
        ({},),
        {"org.opencontainers.image.created": "2026-11-20T10:00:00Z"},
    )
    evidence = Evidence(Digest.of(b"manifest"), manifest, (Blob(blob, content),))
    options = {"schemaURL": "file:///review.json"}
    settings = VulnerabilityReportFormat.parse(options, NamedSchemas(SCHEMA), "v").settings
    for form in (loaded(), VulnerabilityReportFormat.load("scan", settings, {})):
        monkeypatch.delitem(sys.modules, "agent.codec.instances", raising=False)
        monkeypatch.delattr(codec, "instances", raising=False)
        assert isinstance(next(form.verify(request(), evidence, NOON)), Labour)
        assert "agent.codec.instances" in sys.modules


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b'{"by": 5}', Code.CONTENT_REFUSED),
        (b"{}", Code.CONTENT_REFUSED),
        (b"no JSON", Code.EVIDENCE_MALFORMED),
        (b'{"by": "a", "by": "a"}', Code.EVIDENCE_MALFORMED),
        (b"[" * 60_000, Code.EVIDENCE_LIMIT),
    ],
    ids=["type", "missing", "text", "twice", "values"],
)
def test_layer_that_has_not_the_form_fails_whichever_it_is(content: bytes, code: Code) -> None:
    for contents in ((content,), (b'{"by": "a"}', content)):
        found = judged(*contents)
        assert (found.status, found.code) == (Status.FAILED, code)
        assert found.message.startswith(f"layer {len(contents)}: ")


def test_layer_without_a_schema_and_no_layer_at_all_are_refused_unread() -> None:
    known, unknown = (Descriptor(kind, Digest.of(b"x"), 1) for kind in (REVIEW, "text/plain"))
    manifest = Manifest(IMAGE_MANIFEST, "a/b", (known,), SUBJECT)
    assert loaded().blob_limit(manifest) == MAX_SIZE
    with pytest.raises(
        Unsupported, match="layer: got media type 'text/plain'; expected one with a schema: application"
    ):
        loaded().blob_limit(manifest._replace(blobs=(known, unknown)))
    with pytest.raises(Malformed, match="without layers"):
        loaded().blob_limit(manifest._replace(blobs=()))
    with pytest.raises(LimitExceeded):
        loaded().blob_limit(manifest._replace(blobs=(known._replace(size=MAX_TOTAL), known)))


@pytest.mark.parametrize(
    "content",
    [
        b'{"by": "' + b"a" * 40 + b'b"}',
        b'{"by": "a", "tags": [' + b",".join(b'{"%d": 1}' % i for i in range(20_000)) + b"]}",
    ],
    ids=["regular expression", "unique items"],
)
def test_document_that_takes_the_schema_any_time_is_refused_in_time(content: bytes) -> None:
    blob = Descriptor(REVIEW, Digest.of(content), len(content))
    manifest = Manifest(IMAGE_MANIFEST, "a/b", (blob,), SUBJECT, ({},))
    inquiry = loaded().verify(request(), Evidence(Digest.of(b"m"), manifest, (Blob(blob, content),)), NOON)
    step = next(inquiry)
    assert isinstance(step, Labour)
    left = [0.4]
    with pytest.raises(LimitExceeded, match=r"reading the content took more than 0.4 s") as raised:
        run(ForkedWorker().labour(step.work, left))
    assert left[0] <= 0
    with pytest.raises(StopIteration) as finished:
        inquiry.throw(raised.value)
    outcome = finished.value.value
    assert (outcome.status, outcome.code) == (Status.FAILED, Code.EVIDENCE_LIMIT)


@pytest.mark.parametrize(
    ("schema", "content"),
    [
        ({"properties": {"a": {"$ref": "#"}}}, b'{"a":' * 3_000 + b"1" + b"}" * 3_000),
        ({"allOf": [{"$ref": "#"}]}, b"1"),
    ],
    ids=["document", "schema"],
)
def test_schema_in_itself_ends(schema: object, content: bytes) -> None:
    blob = Descriptor(REVIEW, Digest.of(content), len(content))
    manifest = Manifest(IMAGE_MANIFEST, "a/b", (blob,), SUBJECT, ({},))
    inquiry = loaded(schema).verify(request(), Evidence(Digest.of(b"m"), manifest, (Blob(blob, content),)), NOON)
    step = next(inquiry)
    assert isinstance(step, Labour)
    answer = run(ForkedWorker().labour(step.work, [3.0]))
    assert b"nested too deeply" in answer


@pytest.mark.parametrize(
    ("location", "got"),
    [
        ("https://example.com/review.json", "https://example.com/review.json"),
        ("review.json", "review.json"),
        ("file:///missing.json", "file:///missing.json, which is no document here"),
    ],
)
def test_schema_that_is_no_document_here_is_an_error(location: str, got: str) -> None:
    parsed = SchemaValidatorFormat.parse({"schemas": {REVIEW: location}}, NamedSchemas(), "v")
    assert [(each.path, each.got) for each in parsed.problems] == [(f"v.schemas[{REVIEW}]", got)]


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"$ref": "https://example.com/x"}, "review.json: a reference to 'https://example.com/x'"),
        ({"type": "nothing"}, "review.json: no JSON Schema (at type)"),
        (b"{", "review.json: no valid JSON"),
    ],
    ids=str,
)
def test_schema_that_can_not_be_used_is_an_error(schema: Any, told: str) -> None:
    parsed = SchemaValidatorFormat.parse({"schemas": {REVIEW: "file:///review.json"}}, NamedSchemas(schema), "v")
    (problem,) = parsed.problems
    assert problem.got.startswith(told)
