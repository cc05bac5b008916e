"""Scans: what was found, how bad it is, and what is no scan."""

from typing import Any

import pytest

from agent.codec.sarif import MAX_RUNS, MAX_SIZE, UnsupportedVersion, parse
from agent.errors import LimitExceeded, Malformed
from tests.reports import RULES, rule, sarif


def run(**changes: Any) -> dict[str, Any]:
    """One run of a scanner."""
    usual = {"tool": {"driver": {"name": "Trivy", "rules": list(RULES)}}, "results": [{"ruleId": "CVE-2026-0001"}]}
    return {name: each for name, each in (usual | changes).items() if each is not None}


def test_results_are_read_with_the_severity_of_their_rules() -> None:
    (read,) = parse(sarif())
    assert (read.scanner, read.found) == ("trivy", ("CVE-2026-0001", "CVE-2026-0002"))
    assert [read.severities(each) for each in (*read.found, "CVE-2026-0003")] == [{"low"}, {"high"}, {""}]


def test_every_run_is_read_and_a_rule_that_is_broken_twice_is_found_once() -> None:
    twice = run(results=[{"ruleId": "a"}, {"ruleId": "b"}, {"ruleId": "a"}])
    assert [each.found for each in parse(sarif(runs=[run(), twice]))] == [("CVE-2026-0001",), ("a", "b")]


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("Severity: CRITICAL\n", "critical"),
        ("Severity:\tmedium", "medium"),
        ("severity: high", ""),
        ("Severity: ", ""),
        ("Severity: a\nSeverity: b", "a"),
    ],
)
def test_severity_is_the_first_that_the_help_text_says(text: str, severity: str) -> None:
    (read,) = parse(sarif(rule("a", help={"text": text})))
    assert read.severities("a") == {severity}


@pytest.mark.parametrize(
    "runs",
    [
        None,
        [],
        {},
        ["x"],
        [run(tool=None)],
        [run(tool={})],
        [run(tool={"driver": {"rules": []}})],
        [run(tool={"driver": {"name": 5}})],
        [run(tool={"driver": {"name": "a", "rules": {}}})],
        [run(tool={"driver": {"name": "a", "rules": [{"id": 5}]}})],
        [run(tool={"driver": {"name": "a", "rules": [{"id": "a", "help": "text"}]}})],
        [run(results=None)],
        [run(results={})],
        [run(results=["CVE"])],
        [run(results=[{}])],
        [run(results=[{"ruleId": ""}])],
        [run(results=[{"RuleId": "CVE", "ruleId": "a"}])],
        [run(Results=[])],
    ],
    ids=str,
)
def test_anything_else_is_malformed(runs: object) -> None:
    with pytest.raises(Malformed):
        parse(sarif(runs=runs))


def test_scan_that_found_nothing_is_one() -> None:
    assert parse(sarif(found=[]))[0].found == ()


@pytest.mark.parametrize("version", [None, "2.0.0", 2.1, []])
def test_other_versions_are_named_as_such(version: object) -> None:
    with pytest.raises(UnsupportedVersion, match=r"expected 2.1.0"):
        parse(sarif(version=version))


@pytest.mark.parametrize("content", [b" " * (MAX_SIZE + 1), sarif(runs=[run()] * (MAX_RUNS + 1)), b"[" * 400_000])
def test_what_is_too_much_is_refused(content: bytes) -> None:
    with pytest.raises(LimitExceeded):
        parse(content)
