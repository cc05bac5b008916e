"""Ratify's configuration: what is taken, what is refused, what is told."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import checking, ratify
from agent.config.config import StoreSettings
from agent.errors import ConfigurationError
from agent.model.documents import Document
from tests.config.support import (
    CERTIFICATE,
    FORMATS,
    GOOD,
    NAME,
    STATEMENT,
    FakeFormat,
    NoDocuments,
    errors,
    problems,
    put,
    read,
    warnings,
)

PLUGIN = "verifier.plugins[0]"
STORE = "store.plugins[0]"


def test_a_good_configuration_is_read_without_a_word() -> None:
    config, told = read(GOOD)
    assert told == ()
    assert config.stores == (StoreSettings("oras", use_http=False),)
    (rule,) = config.rules
    assert (rule.name, rule.match, rule.verifiers) == ("default", ("**",), ("notation",))
    assert rule.policy.name == "configpolicy"
    assert rule.policy.settings == {
        "artifactVerificationPolicies": {"default": "any", "application/vnd.cncf.notary.signature": "all"}
    }
    assert config.verifiers[0].artifact_types == ("application/vnd.cncf.notary.signature",)
    assert config.certificates == {NAME: CERTIFICATE}


def test_the_format_gets_its_own_options_alone() -> None:
    FakeFormat.calls.clear()
    read(put(f"{PLUGIN}.unheardOf", 1))
    assert [list(options) for options in FakeFormat.calls] == [["verificationCerts", "trustPolicyDoc"]]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{PLUGIN}.verificationCerts", "certs"),
        (f"{PLUGIN}.trustPolicyDoc", ...),
        (f"{PLUGIN}.trustPolicyDoc", []),
        (f"{STATEMENT}.signatureVerification.level", 7),
        (f"{STATEMENT}.name", ...),
    ],
)
def test_the_format_never_gets_options_of_another_form(path: str, value: object) -> None:
    FakeFormat.calls.clear()
    assert errors(put(path, value))
    assert FakeFormat.calls == []


def test_the_format_gets_nothing_when_not_everything_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeFormat.calls.clear()
    monkeypatch.setattr(checking, "MAX_FINDINGS", 1)
    assert errors(put("executor", {"unheardOf": 1}, put("store.unheardOf", 1)))
    assert FakeFormat.calls == []


def test_a_certificate_under_a_wrong_name_is_our_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.config.support.NAME", "0" * 64)
    with pytest.raises(ValueError, match="SHA-256"):
        read(GOOD)


@pytest.mark.parametrize("name", ["configPolicy", "config-policy", "CONFIG-POLICY", "configpolicy"])
def test_a_policy_is_named_as_ratify_compares_names(name: str) -> None:
    assert read(put("policy.plugin.name", name)).config.rules[0].policy.name == "configpolicy"


def test_a_verifier_is_of_the_type_that_it_is_named_after() -> None:
    named = read(put(f"{PLUGIN}.name", "other")).config.verifiers[0]
    typed = read(put(f"{PLUGIN}.type", "other")).config.verifiers[0]
    assert (named.name, named.type) == ("other", "other")
    assert (typed.name, typed.type) == ("notation", "other")


def test_artifact_types_are_separated_by_commas() -> None:
    verifier = read(put(f"{PLUGIN}.artifactTypes", "a/b, *,a/b,sbom.v0")).config.verifiers[0]
    assert verifier.artifact_types == ("a/b", "*", "sbom.v0")


UNUSABLE: list[tuple[str, object, str]] = [
    # what this version does not support is named, never passed over
    (f"{STORE}.cosignEnabled", "true", "true or false"),
    (f"{STORE}.authProvider", {"name": "azureWorkloadIdentity"}, "no credentials of clouds"),
    (f"{STORE}.authProvider", {"name": "k8Secrets", "secrets": []}, "a list of 1 to 8 Secrets"),
    (f"{STORE}.authProvider", {"name": "k8Secrets", "secrets": [{"secretName": "p"}] * 9}, "a list of 1 to 8 Secrets"),
    (f"{STORE}.authProvider", {"name": "k8Secrets", "secrets": ["pull"]}, "an object"),
    (f"{STORE}.authProvider", {"name": "k8Secrets", "secrets": [{"secretName": "../up"}]}, "the name of a Secret"),
    (f"{STORE}.authProvider", {"name": "k8Secrets", "secrets": [{"secretName": ".."}]}, "the name of a Secret"),
    (f"{STORE}.authProvider", {"name": "k8Secrets", "secrets": [{"secretName": "x" * 254}]}, "the name of a Secret"),
    (f"{STORE}.authProvider", {"name": "k8Secrets"}, "The Secrets, one by one"),
    (f"{STORE}.authProvider", {"name": "dockerConfig", "secrets": []}, "Secrets beside dockerConfig"),
    (f"{STORE}.authProvider", {}, "dockerConfig"),
    (f"{STORE}.authProvider", "dockerConfig", "an object"),
    (f"{STORE}.authProvider", {"name": "dockerConfig", "configPath": 7}, "a text"),
    (f"{STORE}.auth-provider", {"name": "awsEcrBasic"}, "no credentials of clouds"),
    (f"{STORE}.name", "other", '"oras"'),
    (f"{STORE}.source", {"artifact": "x"}, "plugins that are downloaded"),
    ("store.plugins", [{"name": "oras"}] * 9, "a list of 1 to 8 stores"),
    ("store.plugins", [], "a list of 1 to 8 stores"),
    ("store.pluginBinDirs", ["/bin"], "no external plugins"),
    ("verifier.pluginBinDirs", ["/bin"], "no external plugins"),
    ("policy.plugin.name", "nodeseal", "one of configPolicy, regoPolicy"),
    ("policy.plugin.policy", 7, "a text"),
    ("policy.plugin.policyPath", None, "a text"),
    ("policy.plugin.passthroughEnabled", "yes", "true or false"),
    (f"{PLUGIN}.verificationCertStores", ["ca"], "stores by type and name"),
    (f"{PLUGIN}.verificationCertStores", {"ca:prod": ["p"]}, "a name of letters"),
    (f"{PLUGIN}.notationDirectory", "", "not empty"),
    (f"{PLUGIN}.type", "cosign", "one of notation, other"),
    (f"{PLUGIN}.nestedReferences", ["application/x"], "a text"),
    (f"{PLUGIN}.nestedArtifactTypes", ["application/x"], "refers to signatures"),
    (f"{PLUGIN}.source", {"artifact": "x"}, "plugins that are downloaded"),
    (f"{PLUGIN}.address", "/run/x.sock", "external plugins"),
    (f"{PLUGIN}.verificationCertStores", {"ca": []}, "a list that is not empty"),
    (f"{PLUGIN}.verificationCertStores", {"ca": {"prod": [7]}}, "names of key providers"),
    (f"{STORE}.caCertificates", "ca.crt", "a list"),
    (f"{STORE}.caCertificates", [], "at least 1"),
    (f"{STORE}.caCertificates", ["ca.crt"], "certificate file or directory"),
    ("keyManagementProvider", {"plugins": []}, "1 to 64 key providers"),
    ("keyManagementProvider", {}, "each with a name"),
    ("keyManagementProvider", {"plugins": [{"type": "inline", "value": "x"}]}, "Name of the key provider"),
    ("keyManagementProvider", {"plugins": [{"name": "k", "type": "azurekeyvault"}]}, "from nowhere else"),
    ("keyManagementProvider", {"plugins": [{"name": "k", "contentType": "secret"}]}, 'one of "certificate", "key"'),
    ("keyManagementProvider", {"plugins": [{"name": "k", "value": ""}]}, "not empty"),
    ("keyManagementProvider", {"plugins": [{"name": "k", "value": "x"}] * 2}, "no other key provider"),
    ("keyManagementProvider", {"pluginBinDirs": ["/bin"]}, "no external plugins"),
    # what is simply wrong
    ("store", ..., "Where signatures are looked for"),
    ("policy", ..., "Which policy decides"),
    ("verifier", ..., "Who looks at the signatures"),
    ("verifier", None, "an object"),
    ("verifier.plugins", [], "a list of 1 to 64"),
    ("verifier.plugins", {}, "a list of 1 to 64"),
    (f"{PLUGIN}", "notation", "an object"),
    (f"{PLUGIN}.name", "a/b", "without '/'"),
    (f"{PLUGIN}.name", "a\n", "without '/'"),
    (f"{PLUGIN}.name", "", "1 to 128"),
    (f"{PLUGIN}.name", ..., "the verifier's name".capitalize()),
    (f"{PLUGIN}.artifactTypes", ..., "artifact types"),
    (f"{PLUGIN}.artifactTypes", "", "not empty"),
    (f"{PLUGIN}.artifactTypes", "a/b,,c/d", "separated by single commas"),
    (f"{PLUGIN}.artifactTypes", "a/b c/d", "separated by single commas"),
    (f"{PLUGIN}.artifactTypes", ["a/b"], "a text"),
    (f"{PLUGIN}.trustPolicyDoc", ..., "trust policy"),
    (f"{PLUGIN}.verificationCerts", "certs", "a list"),
    (f"{PLUGIN}.verificationCerts", [7], "a text"),
    (f"{STORE}.useHttp", "true", "true or false"),
    (f"{STORE}.usehttp", True, "useHttp"),
    ("policy.plugin.artifactVerificationPolicies.default", "some", '"any", "all"'),
    ("policy.plugin.artifactVerificationPolicies", "any", "an object"),
    ("policy.plugin.artifactVerificationPolicies", {"application/x": ""}, '"any", "all"'),
    ("policy.plugin.artifactVerificationPolicies", {"application/x": "ANY"}, '"any", "all"'),
    ("policy.plugin.artifactVerificationPolicies", {"": "any"}, "an artifact type or default"),
    ("policy.plugin.name", ..., "Which policy decides"),
    ("executor", {"verificationRequestTimeout": "5s"}, "a whole number"),
    ("logger", {"formatter": "xml"}, "text"),
    # a trust policy: a misspelt word must never be passed over
    (f"{PLUGIN}.trustPolicyDoc.version", "1.1", '"1.0"'),
    (f"{PLUGIN}.trustPolicyDoc.trustPolicies", [], "at least 1"),
    (f"{PLUGIN}.trustPolicyDoc.trustpolicies", [], "trustPolicies"),
    (f"{STATEMENT}.name", ..., "Name of the statement"),
    (f"{STATEMENT}.registryScopes", ..., "repositories"),
    (f"{STATEMENT}.registryScopes", [], "at least 1"),
    (f"{STATEMENT}.registryScope", ["*"], "registryScopes"),
    (f"{STATEMENT}.trustedIdentitys", ["*"], "trustedIdentities"),
    (f"{STATEMENT}.signatureVerification.level", "Strict", "permissive"),
    (f"{STATEMENT}.signatureVerification.level", "stric", "permissive"),
    (f"{STATEMENT}.signatureVerification.level", ..., "strict"),
    (f"{STATEMENT}.signatureVerification.levels", "strict", "level"),
    (f"{STATEMENT}.signatureVerification.override.integrity", "log", "one of authenticity"),
    (f"{STATEMENT}.signatureVerification.override.expiry", "skip", '"log"'),
    (f"{STATEMENT}.signatureVerification.override.revocations", "skip", "revocation"),
    (f"{STATEMENT}.signatureVerification.verifyTimestamp", "never", "afterCertExpiry"),
]


@pytest.mark.parametrize(("path", "value", "told"), UNUSABLE)
def test_what_can_not_be_used_is_named_with_its_place(path: str, value: object, told: str) -> None:
    found = [str(problem) for problem in problems(put(path, value)) if problem.fatal]
    at = [text for text in found if text.startswith(tuple(f"config.json: {path}{end}" for end in ":[."))]
    assert any(told in text for text in at), found


def test_every_problem_is_told_at_once() -> None:
    value = GOOD
    for path, spoilt in [
        ("nodeseal", {}),
        (f"{STORE}.cosignEnabled", 1),
        ("policy.plugin.name", "x"),
        (f"{STATEMENT}.signatureVerification.level", "lax"),
        (f"{STATEMENT}.name", ""),
    ]:
        value = put(path, spoilt, value)
    value = put("verifier.plugins", [*value["verifier"]["plugins"], {"name": "cosign"}], value)  # type: ignore[index]
    assert set(errors(value)) == {
        "nodeseal.apiVersion",
        f"{STORE}.cosignEnabled",
        "policy.plugin.name",
        f"{STATEMENT}.signatureVerification.level",
        f"{STATEMENT}.name",
        "verifier.plugins[1].name",
        "verifier.plugins[1].artifactTypes",
    }


def test_two_verifiers_of_one_name_are_refused() -> None:
    plugins = GOOD["verifier"]["plugins"]  # type: ignore[index]
    found = errors(put("verifier.plugins", [*plugins, *plugins]))
    assert "which verifier.plugins[0] has too" in found["verifier.plugins[1].name"]


NO_EFFECT: list[tuple[str, object]] = [
    (f"{STORE}.localCachePath", "/cache"),
    (f"{STORE}.cacheEnabled", True),
    (f"{STORE}.ttl", 5),
    ("executor", {"verificationRequestTimeout": 5}),
    ("executor", {"mutationRequestTimeout": 5}),
    ("crl", {"cache": {"enabled": True}}),
    ("logger", {"formatter": "json"}),
    ("logger", {"requestHeaders": {}}),
]


@pytest.mark.parametrize(("path", "value"), NO_EFFECT)
def test_what_tunes_ratify_alone_is_taken_with_a_warning(path: str, value: object) -> None:
    found = warnings(put(path, value))
    assert not errors(put(path, value))
    assert [place for place in found if place.startswith(path)] == list(found)
    assert "no effect" in next(iter(found.values()))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("logger", {"formatter": "xml"}),
        (f"{STORE}.ttl", "10"),
        ("executor", {"mutationRequestTimeout": -1}),
        (f"{STORE}.authProvider", {"name": "dockerConfig", "configPath": 7}),
    ],
)
def test_value_that_is_wrong_is_told_once_though_its_key_has_no_effect(path: str, value: object) -> None:
    (problem,) = problems(put(path, value))
    assert problem.fatal
    assert "no such key" not in problem.expected


@pytest.mark.parametrize("key", ["authProvider", "auth-provider"])
def test_the_docker_configuration_is_what_credentials_come_from(key: str) -> None:
    assert not problems(put(f"{STORE}.{key}", {"name": "dockerConfig"}))
    found = warnings(put(f"{STORE}.{key}", {"name": "dockerConfig", "configPath": "/root/.docker/config.json"}))
    assert list(found) == [f"{STORE}.{key}.configPath"]
    assert "read are /etc/nodeseal/docker-config.json" in next(iter(found.values()))


@pytest.mark.parametrize("key", ["authProvider", "auth-provider"])
def test_secrets_are_named_one_by_one_each_once(key: str) -> None:
    named = [{"secretName": name} for name in ("b", "a.example", "b")]
    (store,) = read(put(f"{STORE}.{key}", {"name": "k8Secrets", "secrets": named})).config.stores
    assert store.secrets == ("b", "a.example")
    found = warnings(put(f"{STORE}.{key}", {"name": "k8Secrets", "secrets": named, "secretTimeout": 10}))
    assert list(found) == [f"{STORE}.{key}.secretTimeout"]


def test_other_namespaces_and_service_accounts_are_refused_by_name() -> None:
    given = {"name": "k8Secrets", "secrets": [{"secretName": "a", "namespace": "kube-system"}]}
    found = errors(put(f"{STORE}.authProvider", {**given, "serviceAccountName": "builder"}))
    assert "in the namespace of the ConfigMaps alone" in found[f"{STORE}.authProvider.secrets[0].namespace"]
    assert "Secrets are named one by one" in found[f"{STORE}.authProvider.serviceAccountName"]


def test_another_secret_changes_nothing_that_verdicts_rest_on() -> None:
    one, other = (
        read(put(f"{STORE}.authProvider", {"name": "k8Secrets", "secrets": [{"secretName": name}]})).config
        for name in ("a", "b")
    )
    assert one.generation != other.generation
    assert (
        [rule.ground for rule in one.rules]
        == [rule.ground for rule in other.rules]
        == [read(GOOD).config.rules[0].ground]
    )


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("executors", "executor"),
        (f"{STORE}.useHttps", "useHttp"),
        ("policy.plugins", "plugin"),
        (f"{PLUGIN}.verificationCert", "verificationCerts"),
        ("colour", ""),
    ],
)
def test_unknown_keys_are_told_with_the_nearest_known_one(path: str, nearest: str) -> None:
    found = warnings(put(path, {}))
    instead = f"{nearest}, or " if nearest else ""
    assert found == {path: f"got an unknown key; expected {instead}no such key: it is ignored"}


def test_type_that_is_demanded_and_that_no_verifier_looks_at_is_told() -> None:
    value = put("policy.plugin.artifactVerificationPolicies", {"application/spdx+json": "any", "default": "any"})
    told = [str(problem) for problem in problems(value)]
    assert told == [
        'config.json: policy.plugin.artifactVerificationPolicies["application/spdx+json"]: got a type that no verifier '
        "looks at; expected a type among artifactTypes of a verifier: every image will be denied"
    ]


def test_verifier_of_everything_looks_at_every_type() -> None:
    value = put("policy.plugin.artifactVerificationPolicies", {"application/spdx+json": "any"})
    assert problems(put("verifier.plugins[0].artifactTypes", "*", value)) == []


def test_plain_http_is_told() -> None:
    config, told = read(put(f"{STORE}.useHttp", True))
    assert config.stores[0].use_http
    assert "plain HTTP" in told[0].expected


def test_settings_that_mean_nothing_here_are_taken_in_silence() -> None:
    value = put(f"{STORE}.cosignEnabled", False)
    for path, empty in [("store.pluginBinDirs", []), (f"{PLUGIN}.nestedReferences", ""), ("executor", {}), ("crl", {})]:
        value = put(path, empty, value)
    assert problems(value) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"7",
        b"{",
        b'{"store": 1, "store": 2}',
        b"\xff",
        b'{"store": NaN}',
        b"[" * 100_000,
        b" " * 1024 * 1024 + b"{}",
    ],
)
def test_bytes_that_are_no_configuration_are_refused(content: bytes) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(content)
    assert all(problem.path.startswith("config.json") for problem in caught.value.problems)
    assert any(problem.fatal for problem in caught.value.problems)


def test_private_keys_and_long_values_are_never_shown() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0c2VjcmV0\n-----END PRIVATE KEY-----"
    value = put(f"{STATEMENT}.signatureVerification.level", key, put(f"{STORE}.name", "s3cret" * 100))
    text = " ".join(str(problem) for problem in problems(value))
    assert "c2VjcmV0" not in text
    assert "s3cret" not in text
    assert "a private key" in text
    assert "a text of 600 characters" in text


def test_places_with_odd_keys_stay_readable() -> None:
    assert checking.place("config.json", ("a", "b/c\n", 1)) == 'config.json: a["b/c\\n"][1]'


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    "value",
    [
        put(f"{STATEMENT}.registryScopes", [7] * 300_000),
        put("policy.plugin.artifactVerificationPolicies", {str(n): n for n in range(60_000)}),
        put("verifier.plugins", [{}] * 300_000),
        put("verifier.plugins", [{"name": "other"}] * 50_000),
        {str(n): 1 for n in range(90_000)},
    ],
    ids=["scopes", "map", "empty verifiers", "verifiers", "unknown keys"],
)
def test_a_hostile_document_is_refused_quickly(value: object) -> None:
    assert len(json.dumps(value, separators=(",", ":"))) < 1_050_000
    before = time.process_time()
    found = problems(json.dumps(value, separators=(",", ":")).encode())
    assert time.process_time() - before < 5
    assert len(found) < checking.MAX_FINDINGS + 200
    assert any(problem.fatal for problem in found)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "*", "notation", "configPolicy"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "plugins", "x"]), inner),
    max_leaves=6,
)


@pytest.mark.unmeasured
@settings(max_examples=300)
@given(st.sampled_from(sorted({path for path, *_ in UNUSABLE})), _JSON)
def test_whatever_stands_anywhere_gives_a_configuration_or_problems(path: str, value: object) -> None:
    assert isinstance(problems(put(path, value)), list)


def test_warnings_of_formats_are_passed_on() -> None:
    class One(NoDocuments):
        def find(self, path: str) -> tuple[Document, ...]:
            return (Document("ca.crt", b"", path),)

    checked = ratify.read(Document("c.json", json.dumps(GOOD).encode(), ""), One(), formats=FORMATS)
    assert [str(each) for each in checked.warnings] == [
        "c.json: verifier.plugins[0].verificationCerts: got ca.crt; expected a better one"
    ]
