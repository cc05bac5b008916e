"""Trusted roots that are fetched: their form, their bounds, what tells one source from another, and what they are."""

import json
from typing import Any, NamedTuple

import pytest

from agent.config import ratify, trustroots
from agent.config.checking import Finding
from agent.config.config import Config
from agent.config.dialect import Node
from agent.config.documentset import NamedDocuments
from agent.config.trustroots import TrustRootSource
from agent.errors import ConfigurationError, Problem
from tests import signing_sigstore as sigstore
from tests.config.documents import NOW
from tests.signing import usual_signer
from tests.simulators.tufrepository import TufRepository

OLD, NEW = (json.dumps(sigstore.instance(number).trusted_root()).encode() for number in (0, 1))
FIRST_ROOT = TufRepository(OLD).first_root
MIRROR = "https://tuf.example.com/repository"
PRIVATE = {"mirror": MIRROR, "root": "root.json"}


def read(*entries: dict[str, Any]) -> tuple[dict[str, TrustRootSource], dict[str, str], list[Problem]]:
    """Sources, what was found by its key, and problems of a configuration with these entries."""
    root = {"nodeseal": {"trustRoots": list(entries)}}
    contents = {"config.json": b"{}", "root.json": FIRST_ROOT, "ca.pem": usual_signer().root_pem, "other.json": OLD}
    findings: list[Finding] = []
    problems: list[Problem] = []
    found = trustroots.read(root, NamedDocuments.of(contents, "x"), findings, problems)
    return found, {str(each.path[-1]): each.got for each in findings}, problems


def test_what_is_not_written_is_the_public_instance_once_a_day() -> None:
    found, findings, problems = read({})
    assert (findings, problems) == ({}, [])
    source = found["trusted_root.json"]
    assert (str(source.mirror), source.root, source.interval, source.cas) == (
        "https://tuf-repo-cdn.sigstore.dev/", b"", 86400, (),
    )  # fmt: skip


def test_a_private_one_has_a_root_of_its_own() -> None:
    found, findings, problems = read({**PRIVATE, "name": "own.json", "refreshInterval": "6h", "caBundle": "ca.pem"})
    assert (findings, problems) == ({}, [])
    source = found["own.json"]
    assert (str(source.mirror), source.root, source.interval, len(source.cas)) == (MIRROR, FIRST_ROOT, 21600, 1)


@pytest.mark.parametrize(
    ("entry", "wrong", "got"),
    [
        ({"mirror": MIRROR}, "0", "no root that https://tuf.example.com is trusted by at first"),
        ({"mirror": "ftp://x", "root": "root.json"}, "mirror", "ftp://x"),
        ({"mirror": "https://x/?a=b", "root": "root.json"}, "mirror", "a URL with a query"),
        ({"mirror": "file:///x", "root": "root.json"}, "mirror", "file:///x"),
        ({"root": "missing.json"}, "root", "nothing there"),
        ({"root": "other.json"}, "root", "which is no root of a TUF repository"),
        ({"root": "ca.pem"}, "root", "JSON"),
        ({"mirror": "https://tuf.example.com", "root": "other.json"}, "root", "which is no root of a TUF repository"),
        ({"refreshInterval": "59m"}, "refreshInterval", "59m"),
        ({"refreshInterval": "31d"}, "refreshInterval", "31d"),
    ],
)
def test_what_is_out_of_form_or_bounds(entry: dict[str, Any], wrong: str, got: str) -> None:
    found, findings, _ = read(entry)
    assert found == {}
    assert list(findings) == [wrong]
    assert got in findings[wrong]


def test_a_ca_bundle_that_is_none_is_a_problem() -> None:
    found, findings, problems = read({"caBundle": "missing.pem"})
    assert (found, findings) == ({}, {})
    assert problems[0].path == "nodeseal.trustRoots[0].caBundle[0]"


def test_two_of_one_name() -> None:
    _, findings, _ = read({}, {"name": "trusted_root.json"})
    assert findings == {"name": '"trusted_root.json", which another one has too'}


@pytest.mark.parametrize("entry", [7, None, {"name": 7}, {"mirror": 7}, {"root": 7}, {"caBundle": 7}])
def test_what_the_schema_refuses_is_passed_over(entry: Any) -> None:
    read(entry)
    assert (
        trustroots.read({"nodeseal": {"trustRoots": 7}}, NamedDocuments.of({"config.json": b"{}"}, "x"), [], []) == {}
    )


def test_a_source_is_its_mirror_and_its_first_root_whatever_its_name_and_cas() -> None:
    sources = {
        read(entry)[0].popitem()[1].source
        for entry in (
            {}, {"root": "root.json"}, PRIVATE, {**PRIVATE, "mirror": "https://other.example.com"},
        )
    }  # fmt: skip
    assert len(sources) == 4
    same = {**PRIVATE, "mirror": f"{MIRROR}/", "name": "b.json", "caBundle": "ca.pem", "refreshInterval": "1h"}
    assert read(same)[0]["b.json"].source in sources


class Given(NamedTuple):
    """What a configuration came to."""

    config: Config | None
    problems: list[str]


IDENTITY = {"issuer": sigstore.ISSUER, "subject": sigstore.SUBJECT}


def given(
    fetched: bytes | str | None, *, until: bytes | None = None, beside: bytes | None = None, **verifier: Any
) -> Given:
    """A configuration whose trusted root is fetched; None for `fetched` where nobody fetches."""
    section = {
        "apiVersion": "nodeseal.dev/v1alpha1",
        "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
        "trustRoots": [PRIVATE],
        "verifiers": [{"name": "release", "type": "cosign", "identities": [IDENTITY], **verifier}],
        "rules": [{"name": "all", "match": ["**"], "verifiers": ["release"], "policy": {"any": ["release"]}}],
    }
    contents = {"own.json": beside} if beside else {}
    contents |= {"nodeseal.yaml": json.dumps({"nodeseal": section}).encode(), "root.json": FIRST_ROOT}
    documents = NamedDocuments.of({**contents, **({"trusted_root.json": until} if until else {})}, "x")
    source = trustroots.source_of(MIRROR, FIRST_ROOT)
    node = Node(None, NOW, None if fetched is None else {source: fetched})
    try:
        config, told = ratify.read(documents.configuration, documents, node=node)
    except ConfigurationError as error:
        return Given(None, [str(each) for each in error.problems])
    assert documents.problems() == ()
    return Given(config, [str(each) for each in told])


def trusted(found: Given) -> list[str]:
    """The keys and certificates that it trusts."""
    assert found.config is not None, found.problems
    return sorted(found.config.certificates)


def test_what_was_fetched_goes_before_the_document_and_is_never_merged_with_it() -> None:
    only = trusted(given(NEW))
    assert only == trusted(given(NEW, until=OLD)) != trusted(given("gone", until=OLD))
    assert not set(only) & set(trusted(given("gone", until=OLD)))


def test_until_then_the_document_counts_and_people_are_told() -> None:
    found = given("gone", until=OLD)
    (told,) = found.problems
    assert told == (
        "nodeseal.yaml: nodeseal.trustRoots: trusted_root.json: got gone; expected the trusted root of "
        "https://tuf.example.com; x/trusted_root.json counts until then"
    )
    assert trusted(found) == trusted(given(None, until=OLD))


def test_with_neither_the_configuration_can_not_be_used() -> None:
    found = given("gone")
    assert found.config is None
    (told,) = found.problems
    assert "got gone; expected the trusted root of https://tuf.example.com, or a document of this name beside" in told


def test_who_only_checks_can_not_know_it() -> None:
    found = given(None)
    assert found.config is None
    assert ["which is fetched when this is put in force" in each for each in found.problems] == [True]


def test_what_was_fetched_has_to_be_what_the_verifier_asks_for() -> None:
    found = given(NEW, transparencyLogs=7)
    assert found.config is None
    assert any("with 2 transparency logs; expected one with at least 7" in each for each in found.problems)


def test_one_that_nothing_refers_to_is_told() -> None:
    found = given(NEW, beside=OLD, trustRoot="own.json")
    assert any("the trusted root 'trusted_root.json', which nothing refers to" in each for each in found.problems)
    assert trusted(found) == trusted(given("gone", until=OLD))


def test_a_document_that_a_signature_does_not_cover_is_not_looked_for() -> None:
    documents = NamedDocuments.of({"nodeseal.yaml": b"{}"}, "x")
    assert documents.own("trusted_root.json") is None
    assert documents.outside == ()
