"""The table of formats: which evidence is a ground for something, and which is not."""

import pytest

from agent.formats import FORMATS, REPORTS, format_class
from agent.model.outcome import Status
from tests.reports import NOON, NamedSchemas, judged, sarif, spdx

REVIEW = "application/vnd.example.review+json"
GOOD = {
    "sbom": ({}, spdx(), "application/spdx+json"),
    "schemavalidator": ({"schemas": {REVIEW: "file:///review.json"}}, b'{"by": "a"}', "a/b"),
    "vulnerabilityreport": ({}, sarif(), "application/sarif+json"),
}


def test_every_report_is_a_format() -> None:
    assert set(REPORTS) <= set(FORMATS)
    assert set(GOOD) == set(REPORTS)


@pytest.mark.parametrize("name", REPORTS)
def test_what_nobody_signed_says_so(name: str) -> None:
    options, content, kind = GOOD[name]
    made = format_class(name)
    format_ = made.load(name, made.parse(options, NamedSchemas(), "v").settings, {})
    created = {"org.opencontainers.image.created": NOON.isoformat()}
    outcome = judged(format_, content, kind=kind, media_type=REVIEW, notes=created)
    assert (outcome.status, outcome.unsigned, outcome.verifier_type) == (Status.PASSED, True, name)
