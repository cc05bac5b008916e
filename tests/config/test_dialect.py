"""Our own section: rules, verifiers, policies; what is refused, where, with which words."""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import __version__
from agent.config import canonical, ratify
from agent.errors import ConfigurationError, Problem
from agent.model.documents import Document
from agent.rego.compiler import compile_policy
from agent.rules.rule import PolicySettings, Rule
from agent.rules.ruleset import WhenMissing
from tests.config.support import FORMATS, GOOD, NoDocuments, put

REGO = "package ratify.policy\ndefault valid := false\nvalid { count(input.verifierReports) > 0 }\n"

OWN: dict[str, Any] = {
    "nodeseal": {
        "apiVersion": "nodeseal.dev/v1alpha1",
        "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
        "verifiers": [{"name": "shop-key", "type": "notation"}, {"name": "company", "type": "notation"}],
        "rules": [
            {
                "name": "payments",
                "match": ["registry.example.com/payments/**"],
                "verifiers": ["shop-key"],
                "policy": {"any": ["shop-key"]},
            },
            {"name": "rest", "match": ["**"], "verifiers": ["shop-key", "company"], "policy": {"all": ["company"]}},
        ],
    }
}
OPTIONS = {"verificationCerts": ["/etc/certs"], "trustPolicyDoc": GOOD["verifier"]["plugins"][0]["trustPolicyDoc"]}  # type: ignore[index]
for _each in OWN["nodeseal"]["verifiers"]:
    _each |= copy.deepcopy(OPTIONS)
RULE = "nodeseal.rules[0]"


class WithPolicy(NoDocuments):
    """A set with one policy."""

    def __init__(self, text: str = REGO) -> None:
        """Keep it."""
        self._document = Document("policy.rego", text.encode(), "policy.rego")

    def file(self, path: str) -> Document | None:
        """It, by its last component."""
        return self._document if path.rpartition("/")[2] == "policy.rego" else None


def read(value: object, name: str = "nodeseal.yaml", documents: Any = None) -> ratify.Checked:
    """Read a document of our own."""
    content = value if isinstance(value, str) else json.dumps(value)
    return ratify.read(Document(name, content.encode(), "test"), documents or WithPolicy(), formats=FORMATS)


def told(value: object, **options: Any) -> list[Problem]:
    """Everything that is told."""
    try:
        return list(read(value, **options).warnings)
    except ConfigurationError as error:
        return list(error.problems)


def errors(value: object, **options: Any) -> dict[str, str]:
    """Place -> got and expected, of what is fatal."""
    return {each.path: f"got {each.got}; expected {each.expected}" for each in told(value, **options) if each.fatal}


def changed(path: str, value: object) -> dict[str, Any]:
    """`OWN` with another value at `path`."""
    return put(path, value, OWN)


def rule(**fields: object) -> dict[str, Any]:
    """`OWN` with other fields of its first rule."""
    return changed(RULE, OWN["nodeseal"]["rules"][0] | fields)


def test_section_alone_is_a_configuration() -> None:
    config, warnings = read(OWN)
    assert warnings == ()
    assert all(each.ground for each in config.rules)
    assert tuple(each._replace(ground="") for each in config.rules) == (
        Rule(
            "payments", ("registry.example.com/payments/**",), ("shop-key",),
            PolicySettings("nodeseal", {"threshold": 1, "of": ["shop-key"]}),
        ),
        Rule("rest", ("**",), ("shop-key", "company"), PolicySettings("nodeseal", {"threshold": 1, "of": ["company"]})),
    )  # fmt: skip
    assert [each.name for each in config.stores] == ["oras"]


def test_types_of_a_verifier_are_its_formats_unless_they_are_named() -> None:
    config = read(changed("nodeseal.verifiers[1].artifactTypes", "a/b, c/d")).config
    assert [each.artifact_types for each in config.verifiers] == [("application/vnd.example.fake",), ("a/b", "c/d")]


def test_section_in_ratifys_configuration_decides_alone_and_says_so() -> None:
    both: dict[str, Any] = GOOD | copy.deepcopy(OWN)
    both["nodeseal"]["rules"][1]["verifiers"] = ["notation", "company"]
    checked = ratify.read(Document("config.json", json.dumps(both).encode(), "t"), WithPolicy(), formats=FORMATS)
    assert [each.name for each in checked.config.rules] == ["payments", "rest"]
    assert checked.config.rules[1].verifiers == ("notation", "company")
    assert [(each.path, each.got) for each in checked.warnings] == [
        ("config.json: policy.plugin", "a policy beside rules")
    ]


def test_section_may_be_a_document_beside_ratifys() -> None:
    own = Document("nodeseal.yaml", json.dumps(OWN).encode(), "t")
    main = Document("config.json", json.dumps(GOOD).encode(), "t")
    assert ratify.read(main, WithPolicy(), beside=own, formats=FORMATS).config.rules[0].name == "payments"
    spoilt = Document("nodeseal.yaml", json.dumps(rule(match=["*"])).encode(), "t")
    with pytest.raises(ConfigurationError) as caught:
        ratify.read(main, WithPolicy(), beside=spoilt, formats=FORMATS)
    assert [each.path for each in caught.value.problems if each.fatal] == ["nodeseal.yaml: nodeseal.rules[0].match[0]"]


@pytest.mark.parametrize(
    ("own", "main", "told_"),
    [
        ({"store": {}}, {}, 'the key "store"; expected nodeseal alone'),
        ([], {}, "something else than an object"),
        (OWN, {"nodeseal": {}}, "the section nodeseal, which config.json has too"),
    ],
    ids=["another section", "a list", "in both"],
)
def test_document_beside_ratifys_holds_the_section_alone(own: object, main: dict[str, Any], told_: str) -> None:
    beside = Document("nodeseal.yaml", json.dumps(own).encode(), "t")
    with pytest.raises(ConfigurationError) as caught:
        ratify.read(Document("config.json", json.dumps(GOOD | main).encode(), "t"), NoDocuments(), beside=beside)
    (problem,) = caught.value.problems
    assert problem.path == "nodeseal.yaml"
    assert told_ in f"{problem.got}; expected {problem.expected}"


def test_policy_can_be_a_rego_document_beside_it() -> None:
    (first, _) = read(rule(policy="policy.rego")).config.rules
    assert first.policy.name == "regopolicy"
    assert first.policy.settings["name"] == "policy.rego"


@pytest.mark.parametrize(
    ("policy", "settings"),
    [
        ({"any": ["shop-key", "company"]}, {"threshold": 1, "of": ["shop-key", "company"]}),
        ({"all": ["shop-key", "company"]}, {"threshold": 2, "of": ["shop-key", "company"]}),
        ({"threshold": 2, "of": ["company", "shop-key"]}, {"threshold": 2, "of": ["company", "shop-key"]}),
    ],
    ids=str,
)
def test_policies_are_thresholds(policy: object, settings: Mapping[str, object]) -> None:
    (first, _) = read(rule(policy=policy, verifiers=["shop-key", "company"])).config.rules
    assert first.policy == PolicySettings("nodeseal", settings)


def test_verifiers_of_a_rule_keep_the_configurations_order() -> None:
    (first, _) = read(rule(verifiers=["company", "shop-key"])).config.rules
    assert first.verifiers == ("shop-key", "company")


def test_what_a_rule_may_say_besides() -> None:
    value = rule(
        allowWithoutEvidence=True, evidenceRepository="Registry.example.com:5000/sig", enforcement="Enforce",
        failurePolicy={"default": "Fail"},
    )  # fmt: skip
    (first, _) = read(value).config.rules
    assert first.allow_without_evidence
    assert first.evidence_repository == "registry.example.com:5000/sig"


@pytest.mark.parametrize(
    ("value", "place", "expected"),
    [
        (rule(verifers=["shop-key"]), f"{RULE}.verifers", "verifiers"),
        (rule(macth=["**"]), f"{RULE}.macth", "match"),
        (changed("nodeseal.ruels", []), "nodeseal.ruels", "rules"),
        (changed("nodeseal.verifiers[0].trustPolicyDocs", {}), "nodeseal.verifiers[0].trustPolicyDocs", "trustPolicy"),
        (rule(policy={"any": ["shop-key"], "al": []}), f"{RULE}.policy", "{any: [NAMES]}"),
    ],
    ids=str,
)
def test_unknown_key_is_an_error_with_the_nearest_known_name(value: object, place: str, expected: str) -> None:
    found = errors(value)
    assert list(found) == [f"nodeseal.yaml: {place}"]
    assert expected in found[f"nodeseal.yaml: {place}"]


def test_what_holds_without_a_cluster_is_the_last_one_for_a_week_unless_something_is_written() -> None:
    usual = read(OWN).config.ruleset
    assert (usual.when_missing, usual.greatest_age) == (WhenMissing.KEEP_LAST, 7 * 86400.0)
    written = read(put("nodeseal.whenMissing", "FailurePolicy", changed("nodeseal.maxSnapshotAge", "36h")))
    assert written.config.ruleset.when_missing is WhenMissing.FAILURE_POLICY
    assert written.config.ruleset.greatest_age == 36 * 3600.0
    assert written.config.generation != read(OWN).config.generation


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("whenMissing", "keeplast", "KeepLast"),
        ("maxSnapshotAge", "7", 'a length of time like "24h"'),
        ("maxSnapshotAge", "0s", "at least 1h"),
        ("maxSnapshotAge", "59m", "at least 1h"),
    ],
)
def test_what_holds_without_a_cluster_has_a_form(key: str, value: str, expected: str) -> None:
    found = errors(changed(f"nodeseal.{key}", value))
    assert expected in found[f"nodeseal.yaml: nodeseal.{key}"]


@pytest.mark.parametrize(
    ("fields", "place", "told_"),
    [
        ({"verifiers": ["shop-kye"], "policy": "policy.rego"}, "verifiers[0]", "is called; expected shop-key"),
        ({"verifiers": []}, "verifiers", "1 to 64 different names"),
        ({"verifiers": ["shop-key", "shop-key"]}, "verifiers", "1 to 64 different names"),
        ({"policy": {"any": ["company"]}}, "policy.any[0]", "not among the rule's verifiers"),
        ({"policy": {"threshold": 2, "of": ["shop-key"]}}, "policy.threshold", "expected at most 1"),
        ({"policy": {"threshold": 0, "of": ["shop-key"]}}, "policy", "{threshold: N"),
        ({"policy": {"threshold": 1}}, "policy", "{threshold: N"),
        ({"policy": {"any": []}}, "policy", "{any: [NAMES]}"),
        ({"policy": {"any": ["shop-key"], "all": ["shop-key"]}}, "policy", "{any: [NAMES]}"),
        ({"policy": "policy.py"}, "policy", "name of a *.rego document"),
        ({"policy": "other.rego"}, "policy", "which is no document here"),
        ({"match": []}, "match", "a list of 1 to 100 patterns"),
        ({"match": ["**.example.com/x"]}, "match[0]", "an exact host"),
        ({"match": ["r.example/a:1"]}, "match[0]", "without tag and digest"),
        ({"evidenceRepository": "r.example/a:1"}, "evidenceRepository", "HOST/REPOSITORY"),
        ({"evidenceRepository": "r.example/*"}, "evidenceRepository", "HOST/REPOSITORY"),
        ({"evidenceRepository": "sigs"}, "evidenceRepository", "HOST/REPOSITORY"),
        ({"evidenceRepository": "r.example/a@sha256:" + "0" * 64}, "evidenceRepository", "HOST/REPOSITORY"),
        ({"name": ""}, "name", "1 to 128 characters"),
        ({"name": "a/b"}, "name", "1 to 128 characters"),
        ({"name": "rest"}, None, "which rules[0] has too"),
        ({"allowWithoutEvidence": "yes"}, "allowWithoutEvidence", "true or false"),
    ],
    ids=str,
)  # fmt: skip
def test_rule_that_can_not_be_meant_is_refused_at_its_place(
    fields: dict[str, object], place: str | None, told_: str
) -> None:
    found = errors(rule(**fields))
    where = f"nodeseal.yaml: {RULE}.{place}" if place else "nodeseal.yaml: nodeseal.rules[1].name"
    assert where in found, found
    assert told_ in found[where]


@pytest.mark.parametrize(
    ("matches", "told_"),
    [
        ((["r.example/a"], ["r.example/a"]), "the same as"),
        ((["R.example/a"], ["r.example/a"]), "the same as"),
        ((["r.example/a", "r.example/a"], ["**"]), "the same as"),
        ((["r.example/*/b"], ["r.example/a/*"]), "no more specific, and no less, than"),
    ],
    ids=str,
)
def test_patterns_of_which_neither_is_more_specific_are_refused(matches: Sequence[list[str]], told_: str) -> None:
    value = copy.deepcopy(OWN)
    for each, match in zip(value["nodeseal"]["rules"], matches, strict=True):
        each["match"] = match
    (found,) = errors(value).values()
    assert told_ in found
    assert "nodeseal.rules[0].match[0]" in found


def test_patterns_have_a_limit_and_each_is_told_once() -> None:
    same = copy.deepcopy(OWN)
    same["nodeseal"]["rules"][0]["match"] = ["r.example/a"] * 100
    assert len(errors(same)) == 99
    rules = [
        OWN["nodeseal"]["rules"][1] | {"name": f"r{i}", "match": [f"r{i}.example/*/{j}" for j in range(100)]}
        for i in range(11)
    ]
    (found,) = errors(changed("nodeseal.rules", rules)).values()
    assert found == "got 1100 patterns; expected at most 1000 in all rules together"


def test_policy_of_several_rules_is_compiled_and_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def counted(text: str) -> object:
        calls.append(text)
        return compile_policy(text)

    monkeypatch.setattr("agent.config.programs.compile_policy", counted)
    rules = [
        OWN["nodeseal"]["rules"][1] | {"name": f"r{i}", "match": [f"r{i}.example/**"], "policy": "policy.rego"}
        for i in range(50)
    ]
    config = read(changed("nodeseal.rules", rules)).config
    assert calls == [REGO]
    assert len({id(each.policy) for each in config.rules}) == 1
    assert canonical.encode(config).count(b'"readsTime"') == 1


@pytest.mark.parametrize("missing", ["apiVersion", "default", "name", "match", "verifiers", "policy"])
def test_key_that_must_be_there_is_named(missing: str) -> None:
    value = changed(f"nodeseal.{missing}" if missing in ("apiVersion", "default") else f"{RULE}.{missing}", ...)
    assert any(each.endswith(f".{missing}") for each in errors(value)), errors(value)


@pytest.mark.parametrize("key", ["enforcement", "failurePolicy"])
def test_default_must_be_written_out(key: str) -> None:
    assert list(errors(changed(f"nodeseal.default.{key}", ...))) == [f"nodeseal.yaml: nodeseal.default.{key}"]


def test_version_of_the_form_is_the_one_that_is_known() -> None:
    (found,) = errors(changed("nodeseal.apiVersion", "nodeseal.dev/v9")).values()
    assert "nodeseal.dev/v1alpha1" in found


@pytest.mark.parametrize(
    ("requires", "good"), [(">=0.1", True), (">=0", True), (f">={__version__}", True), (">=99.1", False)]
)
def test_newer_version_that_is_required_is_refused(requires: str, good: bool) -> None:
    found = errors(changed("nodeseal.requires", requires))
    assert bool(found) is not good
    assert set(found) <= {"nodeseal.yaml: nodeseal.requires"}


@pytest.mark.parametrize("requires", ["0.1", ">0.1", ">=a", ">=1.2.3.4", 1, ">=" + "9" * 10_000])
def test_requirement_of_another_form_is_refused(requires: object) -> None:
    assert list(errors(changed("nodeseal.requires", requires))) == ["nodeseal.yaml: nodeseal.requires"]


def test_verifier_that_no_rule_names_is_a_warning() -> None:
    value = changed("nodeseal.rules[1]", OWN["nodeseal"]["rules"][1] | {"verifiers": ["company"]})
    value["nodeseal"]["rules"] = value["nodeseal"]["rules"][:1]
    (found,) = told(value)
    assert (found.path, found.fatal) == ("nodeseal.yaml: nodeseal.verifiers[1].name", False)


def test_verifiers_share_no_name_with_ratifys() -> None:
    both = GOOD | changed("nodeseal.verifiers[0].name", "notation")
    checked = errors(json.dumps(both), name="config.json")
    assert "verifier.plugins[0] has too" in checked["config.json: nodeseal.verifiers[0].name"]


def test_broken_yaml_is_told_with_its_line() -> None:
    (found,) = told("nodeseal:\n  apiVersion: yes\n")
    assert found.path == "nodeseal.yaml"
    assert found.got.startswith("line 2: 'yes'")


def test_first_useful_policy_is_few_lines() -> None:
    text = """nodeseal:
  apiVersion: nodeseal.dev/v1alpha1
  default: {enforcement: Enforce, failurePolicy: Fail}
  verifiers:
  - {name: company, type: notation, notationDirectory: notation}
  rules:
  - name: everything
    match: ["**"]
    verifiers: [company]
    policy: {any: [company]}
"""
    assert len(text.splitlines()) <= 12
    assert read(text).config.rules[0].name == "everything"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "x", "**", "r.example/a", "shop-key", "p.rego"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["any", "of", "name"]), inner, max_size=3)
    ),
    max_leaves=6,
)
_PLACES = [
    "nodeseal", "nodeseal.apiVersion", "nodeseal.default", "nodeseal.requires", "nodeseal.verifiers",
    "nodeseal.verifiers[0]", "nodeseal.verifiers[0].name", "nodeseal.verifiers[0].type",
    "nodeseal.verifiers[0].artifactTypes", "nodeseal.verifiers[0].trustPolicyDoc", "nodeseal.rules", RULE,
    *(f"{RULE}.{key}" for key in OWN["nodeseal"]["rules"][0]), f"{RULE}.match[0]", f"{RULE}.verifiers[0]",
    f"{RULE}.policy.any", f"{RULE}.enforcement", f"{RULE}.failurePolicy", f"{RULE}.evidenceRepository",
]  # fmt: skip


@pytest.mark.unmeasured
@settings(max_examples=300)
@given(st.sampled_from(_PLACES), _JSON)
def test_whatever_stands_anywhere_gives_a_configuration_or_problems(place: str, value: object) -> None:
    assert isinstance(told(changed(place, value)), list)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"apiVersion": "v1", "rules": []}, "got apiVersion, rules at the top; expected these below the key nodeseal"),
        ({"apiVersion": "v1", "kind": "ConfigMap"}, 'got a Kubernetes resource, "ConfigMap"; expected a configuration'),
    ],
)
def test_document_that_is_none_of_ours_is_told_as_what_it_is_and_no_more(value: object, told: str) -> None:
    [(_, said)] = errors(value).items()
    assert said.startswith(told)
