"""Key providers of the type `url`: their form, their bounds, and what tells one source from another."""

import json
from typing import Any

import pytest

from agent.config import keysources
from agent.config.checking import Finding
from agent.config.documentset import NamedDocuments
from agent.config.keysources import KeySource
from agent.errors import Problem
from tests.signing import usual_signer

PEM = usual_signer().root_pem
URL = "https://pki.example.com/roots.pem"


def read(**provider: Any) -> tuple[dict[str, KeySource], list[str], list[Problem]]:
    """Sources, findings and problems of a configuration with one provider."""
    root = {"keyManagementProvider": {"plugins": [{"name": "corp", "type": "url", "url": URL, **provider}]}}
    documents = NamedDocuments.of({"config.json": json.dumps(root).encode(), "ca.pem": PEM}, "x")
    findings: list[Finding] = []
    problems: list[Problem] = []
    found = keysources.read(root, documents, findings, problems)
    return found, [str(each.path[-1]) for each in findings], problems


def test_what_is_not_written_is_usual() -> None:
    found, findings, problems = read()
    assert (findings, problems) == ([], [])
    source = found["corp"]
    assert (source.interval, source.keep_for) == (12 * 3600, 36 * 3600)
    assert (str(source.url), source.cas, source.pin) == (URL, (), "")


@pytest.mark.parametrize(
    ("interval", "keep", "seconds", "kept"),
    [
        ("1m", None, 60, 86400),
        ("1h30m", None, 5400, 86400),
        ("10h", None, 36000, 108000),
        ("720h", None, 2592000, 7776000),
        ("1h", "1h", 3600, 3600),
        ("1.5h", "48h", 5400, 172800),
        ("90s", "2160h", 90, 7776000),
    ],
)
def test_lengths_of_time_are_gos(interval: str, keep: str | None, seconds: float, kept: float) -> None:
    found, findings, _ = read(refreshInterval=interval, **({"keepFor": keep} if keep else {}))
    assert findings == []
    assert (found["corp"].interval, found["corp"].keep_for) == (seconds, kept)


@pytest.mark.parametrize(
    ("provider", "wrong"),
    [
        ({"refreshInterval": "59s"}, "refreshInterval"),
        ({"refreshInterval": "721h"}, "refreshInterval"),
        ({"refreshInterval": "2h", "keepFor": "1h"}, "keepFor"),
        ({"keepFor": "2161h"}, "keepFor"),
        ({"url": "http://pki.example.com/x"}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "https://user@pki.example.com/"}, "url"),
        ({"url": "https://pki.example.com/#x"}, "url"),
        ({"value": "x"}, "value"),
    ],
)
def test_what_is_out_of_bounds_is_refused(provider: dict[str, str], wrong: str) -> None:
    found, findings, _ = read(**provider)
    assert found == {}
    assert wrong in findings


def test_a_ca_bundle_that_is_none_is_a_problem() -> None:
    assert read(caBundle="ca.pem")[0]["corp"].cas != ()
    found, _, problems = read(caBundle="missing.pem")
    assert (found, bool(problems)) == ({}, True)


def test_another_address_ca_or_pin_is_another_source_and_nothing_else_is() -> None:
    def source(**provider: str) -> str:
        return read(**provider)[0]["corp"].source

    assert source() == source(refreshInterval="1h") == source(keepFor="100h")
    others = {source(url=f"{URL}?x"), source(caBundle="ca.pem"), source(sha256="0" * 64), source()}
    assert len(others) == 4


@pytest.mark.parametrize(
    "root",
    [
        None, [], {}, {"keyManagementProvider": 1}, {"keyManagementProvider": {"plugins": 5}},
        {"keyManagementProvider": {"plugins": [None, {"type": "url"}, {"name": 1}]}},
    ],
)  # fmt: skip
def test_what_has_no_such_form_has_none(root: object) -> None:
    documents = NamedDocuments.of({"config.json": b"{}"}, "x")
    assert keysources.read(root, documents, [], []) == {}
