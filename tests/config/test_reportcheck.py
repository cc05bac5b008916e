"""Verifiers of reports in configurations: Ratify's keys as they are, who vouches for a report, and what is told."""

import copy
import json
from typing import Any

import pytest

from agent.config import canonical, ratify
from agent.config.config import VerifierSettings
from agent.errors import ConfigurationError, Problem
from agent.model.documents import Document
from tests.config.support import GOOD
from tests.reports import NamedSchemas
from tests.signing import trust_policy

NOTATION, SPDX, SARIF = "application/vnd.cncf.notary.signature", "application/spdx+json", "application/sarif+json"
NESTED = {"nestedReferences": NOTATION}
SIGNATURE = {"name": "signature", "type": "notation", "trustPolicyDoc": trust_policy(
    signatureVerification={"level": "skip"}, trustStores=[], trustedIdentities=[])}  # fmt: skip
SBOM = {"name": "sbom", "artifactTypes": SPDX, "disallowedLicenses": ["MPL"], **NESTED}


def ratifys(*plugins: dict[str, Any], **policy: Any) -> dict[str, Any]:
    """A configuration of Ratify's, under its config policy unless `policy` is another's keys."""
    value: dict[str, Any] = copy.deepcopy(GOOD)
    value["policy"]["plugin"] = policy or {"name": "configPolicy", "artifactVerificationPolicies": {"default": "any"}}
    value["verifier"]["plugins"] = [{"artifactTypes": NOTATION, **SIGNATURE}, *plugins]
    return value


def own(*verifiers: dict[str, Any], of: Any = None, **rule: Any) -> dict[str, Any]:
    """A configuration of our own with one rule."""
    names = [each["name"] for each in verifiers]
    usual = {"name": "all", "match": ["**"], "verifiers": names, "policy": {"all": of or names}}
    return {
        "nodeseal": {
            "apiVersion": "nodeseal.dev/v1alpha1",
            "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
            "verifiers": list(verifiers),
            "rules": [usual | rule],
        }
    }


def read(value: object) -> tuple[tuple[VerifierSettings, ...], list[Problem]]:
    """The verifiers, none if there is no configuration, and everything told."""
    document = Document("config.json", json.dumps(value).encode(), "test")
    try:
        checked = ratify.read(document, NamedSchemas())
    except ConfigurationError as error:
        return (), list(error.problems)
    form = canonical.encode(checked.config)
    assert canonical.decode(form, checked.config.certificates.__getitem__) == checked.config
    return checked.config.verifiers, list(checked.warnings)


def told(value: object, *, fatal: bool) -> dict[str, str]:
    """Place -> what was got, of errors or of warnings, without what the level `skip` is warned of."""
    problems = [each for each in read(value)[1] if each.fatal is fatal and "skip" not in each.got]
    return {each.path.removeprefix("config.json: "): each.got for each in problems}


def test_ratifys_verifiers_are_taken_as_they_are() -> None:
    verifiers, problems = read(
        ratifys(
            SBOM | {"version": "2.0.0-alpha.1", "disallowedPackages": [{"name": "a", "version": "1"}, {"name": "b"}]},
            {
                "name": "scan", "type": "vulnerabilityreport", "artifactTypes": SARIF, **NESTED, "version": "1.0.0",
                "createdAnnotationName": "created", "maximumAge": "24h", "disallowedSeverities": ["high"],
                "denylistCVEs": ["CVE-1"], "passthrough": False, "schemaURL": "",
            },
            {
                "name": "schemavalidator", "artifactTypes": "a/b", **NESTED,
                "schemas": {"c/d": "file:///etc/schemas/review.json"},
            },
        )
    )  # fmt: skip
    assert not [each for each in problems if "skip" not in each.got]
    assert [(each.name, each.type, each.nested) for each in verifiers[1:]] == [
        ("sbom", "sbom", True),
        ("scan", "vulnerabilityreport", True),
        ("schemavalidator", "schemavalidator", True),
    ]
    sbom, scan, schemas = (each.settings for each in verifiers[1:])
    assert sbom == {
        "disallowedLicenses": ["MPL"],
        "disallowedPackages": [{"name": "a", "version": "1"}, {"name": "b"}],
    }
    assert (scan["maximumAge"], scan["createdAnnotationName"], scan["schema"]) == (86400.0, "created", None)
    assert list(schemas["schemas"]) == ["c/d"]  # type: ignore[call-overload]


def test_key_of_ratifys_own_tests_for_a_version_is_told_to_mean_nothing() -> None:
    spoilt = ratifys(SBOM | {"disallowedPackages": [{"name": "a", "versionInfo": "1"}]})
    assert told(spoilt, fatal=False) == {"verifier.plugins[1].disallowedPackages[0].versionInfo": "an unknown key"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("disallowedLicenses", "MIT"),
        ("disallowedLicenses", [""]),
        ("disallowedLicenses", [5]),
        ("disallowedPackages", ["a"]),
        ("disallowedPackages", [{"version": "1"}]),
        ("disallowedPackages", [{"name": 5}]),
    ],
)
def test_what_has_not_the_form_is_an_error(key: str, value: object) -> None:
    places = told(ratifys(SBOM | {key: value}), fatal=True)
    assert all(place.startswith(f"verifier.plugins[1].{key}") for place in places)
    assert places


@pytest.mark.parametrize("age", ["1 day", "30d", "-1h", "0s", 5])
def test_age_that_is_none_is_an_error(age: object) -> None:
    scan = {"name": "vulnerabilityreport", "artifactTypes": SARIF, **NESTED, "maximumAge": age}
    assert list(told(ratifys(scan), fatal=True)) == ["verifier.plugins[1].maximumAge"]


def test_url_of_a_schema_is_an_error_that_says_where_to_put_it() -> None:
    url = {"c/d": "https://example.com/s.json"}
    validator = {"name": "schemavalidator", "artifactTypes": "a/b", **NESTED, "schemas": url}
    (problem,) = (each for each in read(ratifys(validator))[1] if each.fatal)
    assert problem.path == "config.json: verifier.plugins[1].schemas[c/d]"
    assert problem.expected.startswith("file:///NAME")
    assert list(told(ratifys({"name": "schemavalidator", "artifactTypes": "a/b"}), fatal=True)) == [
        "verifier.plugins[1].schemas"
    ]


def test_report_that_nobody_need_sign_is_warned_of_under_ratifys_policy() -> None:
    lax = {key: each for key, each in SBOM.items() if key != "nestedReferences"}
    assert told(ratifys(lax), fatal=False) == {
        "verifier.plugins[1].nestedReferences": "nothing: whoever may push can attach a report that says nothing bad"
    }
    assert told(ratifys(lax, name="regoPolicy", policy="package ratify.policy\nvalid { false }"), fatal=False) == {}


def test_verifiers_of_reports_alone_are_told_to_let_nothing_in() -> None:
    value = ratifys(SBOM)
    del value["verifier"]["plugins"][0]
    assert told(value, fatal=False) == {
        "verifier.plugins": "verifiers of reports alone, which nobody has signed by themselves"
    }


def test_listed_types_are_told_to_be_asked_of_each_report_too() -> None:
    policy = {"name": "configPolicy", "artifactVerificationPolicies": {"default": "any", SPDX: "all"}}
    assert told(ratifys(SBOM, **policy), fatal=False) == {
        "verifier.plugins[1].nestedReferences": f'it beside "{SPDX}" in artifactVerificationPolicies'
    }


def test_section_of_our_own_says_who_vouches_for_a_report() -> None:
    sbom = {"name": "sbom", "type": "sbom", "signedBy": ["signature"]}
    verifiers, problems = read(own(SIGNATURE, sbom))
    assert not [each for each in problems if each.fatal]
    assert verifiers[1].settings["signedBy"] == ["signature"]
    assert (verifiers[1].nested, verifiers[1].artifact_types) == (True, (SPDX,))
    assert told(own(SIGNATURE, {"name": "sbom", "type": "sbom"}), fatal=True) == {
        "nodeseal.verifiers[1].signedBy": "nothing"
    }


@pytest.mark.parametrize(
    ("signers", "place"),
    [([], "signedBy"), (["nobody"], "signedBy[0]"), (["sbom"], "signedBy[0]"), ("signature", "signedBy")],
    ids=str,
)
def test_who_vouches_for_a_report_is_a_verifier_of_signatures(signers: object, place: str) -> None:
    sbom = {"name": "sbom", "type": "sbom", "signedBy": signers}
    assert list(told(own(SIGNATURE, sbom), fatal=True)) == [f"nodeseal.verifiers[1].{place}"]


def test_who_vouches_for_a_report_is_among_the_verifiers_of_its_rule() -> None:
    sbom = {"name": "sbom", "type": "sbom", "signedBy": ["signature"]}
    value = own(SIGNATURE, sbom, of=["sbom"], verifiers=["sbom"])
    assert told(value, fatal=True) == {
        "nodeseal.verifiers[1].signedBy": '"signature", which is not among the verifiers of rule all'
    }


def test_validator_of_our_own_says_which_artifacts_it_is_for() -> None:
    validator = {
        "name": "v", "type": "schemavalidator", "signedBy": ["signature"], "schemas": {"c/d": "file:///review.json"}
    }  # fmt: skip
    assert list(told(own(SIGNATURE, validator), fatal=True)) == ["nodeseal.verifiers[1].artifactTypes"]
    assert read(own(SIGNATURE, validator | {"artifactTypes": "a/b"}))[0][1].artifact_types == ("a/b",)


def test_ratify_has_no_such_key() -> None:
    value = ratifys(SBOM | {"signedBy": ["signature"]})
    assert told(value, fatal=False) == {"verifier.plugins[1].signedBy": "an unknown key"}
    assert "signedBy" not in read(value)[0][1].settings


def test_report_of_ratifys_section_in_a_rule_is_warned_of_where_nobody_need_sign_it() -> None:
    value = ratifys({key: each for key, each in SBOM.items() if key != "nestedReferences"})
    value |= own({"name": "own", **{key: each for key, each in SIGNATURE.items() if key != "name"}}, of=["sbom"])
    value["nodeseal"]["rules"][0]["verifiers"] = ["own", "sbom", "signature"]
    assert "it in rule all, without nestedReferences" in told(value, fatal=False)["verifier.plugins[1].name"]
