"""A worker's work as bytes: what comes out is what went in, and nothing but what may be called is."""

import io
import json
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial

import pytest

from agent.adapters import jobform
from agent.adapters.policy_worker import encode_content, encode_decision
from agent.codec import instances
from agent.errors import Code
from agent.formats import sbom_steps, vulnerability_steps
from agent.formats.contents import Appraisal, examined
from agent.formats.schemavalidator import has_form
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Blob
from agent.model.outcome import Action, Check, CheckResult, Outcome, Status
from agent.model.packed import packed
from agent.model.report import Artifact, Report
from agent.policies import evaluated
from agent.rego.compiler import compile_policy
from tests.reports import SCHEMA, rule, sarif, spdx

DIGEST = Digest.of(b"image")
NOW = datetime(2026, 11, 28, tzinfo=timezone.utc)
LATE = CheckResult(Check.EXPIRY, Action.ENFORCE, Status.FAILED, "too old", Code.SIGNATURE_EXPIRED)

Work = Callable[[], bytes]


def there_and_back(work: Work) -> Work:
    """What a worker would be given."""
    stream = io.BytesIO()
    jobform.write(work, stream)
    stream.seek(0)
    return jobform.read(stream)


def reading(check: Callable[[], Appraisal]) -> Work:
    """The reading of some content, as formats and doors make it."""
    return partial(encode_content, partial(examined, check))


def policy(last: int) -> Work:
    """The evaluation of a policy over what two artifacts are: one tells much, the other failed."""
    told = packed({"x": [{"a": 1}] * 999 + [{"a": last}]})
    good = Outcome(DIGEST, "a/b", "v", "notation", Status.PASSED, "ok", extensions=told, valid_until=NOW)
    bad = Outcome(DIGEST, "a/b", "w", "notation", Status.FAILED, "no", Code.SIGNATURE_EXPIRED, checks=(LATE,))
    report = Report("image", (Artifact("image", DIGEST, "a/b", (good, bad)),))
    text = "package ratify.policy\nvalid { input.verifierReports[_].verifierReports[_].extensions.x[999].a == 0 }\n"
    settings = {"compiled": compile_policy(text), "name": "p.rego"}
    return partial(
        encode_decision, partial(evaluated, "regopolicy", settings, report, inconclusive_passes=False, now=NOW)
    )


SBOM = reading(partial(sbom_steps.check, spdx(), {"disallowedLicenses": ["GPL-2.0-only"], "disallowedPackages": []}))
SCAN = {"denylistCVEs": ["CVE-2026-0666"], "disallowedSeverities": [], "schema": None, "passthrough": False}
BLOBS = (Blob(Descriptor("application/json", DIGEST, 9), b'{"by": "a"}'),)
WORKS: dict[str, tuple[Work, bytes]] = {
    "bill of materials": (SBOM, b"GPL-2.0-only"),
    "scan": (
        reading(partial(vulnerability_steps.check, sarif(rule("CVE-2026-0666", "HIGH")), SCAN)),
        b"CVE-2026-0666",
    ),
    "document under a schema": (
        reading(partial(has_form, instances.check, BLOBS, {"application/json": SCHEMA})),
        b"1 layers have the form",
    ),
    "policy, yes": (policy(0), b"+"),
    "policy, no": (policy(1), b"-"),
}


@pytest.mark.parametrize("name", WORKS)
def test_work_of_every_kind_says_there_what_it_says_here(name: str) -> None:
    work, told = WORKS[name]
    assert told in work()
    assert there_and_back(work)() == work()


@pytest.mark.parametrize(
    "work",
    [
        lambda: b"",
        partial(encode_decision, lambda: True),
        partial(json.dumps, 1),
        partial(encode_content, partial(examined, io.BytesIO)),  # type: ignore[arg-type]
        partial(encode_content, io.BytesIO()),  # type: ignore[arg-type]
    ],
)
def test_nothing_else_can_be_written(work: Work) -> None:
    with pytest.raises(jobform.Unwritable):
        jobform.write(work, io.BytesIO())


@pytest.mark.parametrize(
    "form",
    [
        ["f", "os:getpid"],
        ["f", "agent.adapters.jobform:read"],
        ["n", "os:stat_result", 1],
        ["e", "agent.adapters.jobform:Unwritable", 1],
        ["x"],
    ],
)
def test_nothing_else_is_read(form: object) -> None:
    text = json.dumps([form, []]).encode()
    with pytest.raises(ValueError, match=r".+"):
        jobform.read(io.BytesIO(len(text).to_bytes(8, "big") + text))


def test_what_breaks_off_is_no_work() -> None:
    stream = io.BytesIO()
    jobform.write(SBOM, stream)
    for length in (0, 7, 20, len(stream.getvalue()) - 1):
        with pytest.raises(EOFError):
            jobform.read(io.BytesIO(stream.getvalue()[:length]))
