"""Configurations as Ratify documents them: what exists here is taken as it is, what does not is named."""

from typing import Any

import pytest

from agent.config import importing
from agent.policies.configpolicy import ConfigPolicy
from tests.config.support import GOOD, errors, put, read, warnings
from tests.config.test_programs import GOOD_POLICY
from tests.config.test_programs import read as policy_of
from tests.policies.test_configpolicy import P, report

PLUGIN, STORE = "verifier.plugins[0]", "store.plugins[0]"
PROVIDERS = {"version": "1.0.0", "plugins": []}


@pytest.mark.parametrize(
    "name", ["cosign", "sbom", "vulnerabilityreport", "licensechecker", "schemavalidator", "slsa", "sample"]
)
@pytest.mark.parametrize("how", ["by its name", "by its type"])
def test_verifier_of_another_kind_is_named(name: str, how: str) -> None:
    plugin = {"name": name, "artifactTypes": "application/spdx+json"}
    if how == "by its type":
        plugin |= {"name": f"verifier-{name}", "type": name}
    told = errors(put(PLUGIN, plugin))[f"{PLUGIN}.{'name' if how == 'by its name' else 'type'}"]
    assert told.startswith(f'got "{name}"; expected one of notation, other: no other type of verifier')


@pytest.mark.parametrize(
    "name",
    ["azureWorkloadIdentity", "azureManagedIdentity", "awsEcrBasic", "alibabacloudAcrBasic"],
)
def test_credentials_of_clouds_are_named(name: str) -> None:
    found = errors(put(f"{STORE}.authProvider", {"name": name, "clientID": "x"}))
    assert f'got "{name}"' in found[f"{STORE}.authProvider.name"]
    assert "no credentials of clouds or from helpers" in found[f"{STORE}.authProvider.name"]


def test_store_that_is_a_plugin_is_named() -> None:
    found = errors(put(STORE, {"name": "dynamic", "source": {"artifact": "registry.example.com/plugin:v1"}}))
    assert "this version does not support plugins that are downloaded" in found[f"{STORE}.source"]
    assert '"oras", the only store' in found[f"{STORE}.name"]


@pytest.mark.parametrize(
    ("provider", "place", "told"),
    [
        ({"name": "a", "type": "azurekeyvault", "vaultURI": "https://v"}, "type", "from nowhere else"),
        ({"name": "a", "type": "url", "contentType": "key", "url": "https://v"}, "contentType", "stand here"),
    ],
    ids=["a key service", "bare keys from an address"],
)  # fmt: skip
def test_key_provider_of_another_kind_is_named(provider: dict[str, Any], place: str, told: str) -> None:
    found = errors(GOOD | {"keyManagementProvider": PROVIDERS | {"plugins": [provider]}})
    assert told in found[f"keyManagementProvider.plugins[0].{place}"]


def test_several_stores_are_taken() -> None:
    value = put("store.plugins", [{"name": "oras", "cosignEnabled": True}, {"name": "oras", "useHttp": True}])
    stores = read(value).config.stores
    assert [(each.cosign_tags, each.use_http) for each in stores] == [(True, False), (False, True)]


def test_every_option_of_the_store_is_known() -> None:
    options = {
        "name": "oras", "version": "1.0.0", "useHttp": False, "cosignEnabled": True, "localCachePath": "./cache",
        "cacheEnabled": True, "ttl": 10, "authProvider": {"name": "dockerConfig"},
    }  # fmt: skip
    assert errors(put(STORE, options)) == {}
    assert set(warnings(put(STORE, options))) == {f"{STORE}.{key}" for key in ("localCachePath", "cacheEnabled", "ttl")}


@pytest.mark.parametrize("name", ["configPolicy", "config-policy", "CONFIGPOLICY", "Config-Policy"])
def test_names_of_policies_are_compared_as_ratify_compares_them(name: str) -> None:
    assert read(put("policy.plugin.name", name)).config.rules[0].policy.name == "configpolicy"


@pytest.mark.parametrize("key", ["authProvider", "auth-provider"])
def test_empty_path_of_credentials_is_no_path(key: str) -> None:
    value = put(f"{STORE}.{key}", {"name": "dockerConfig", "configPath": ""})
    assert (errors(value), warnings(value)) == ({}, {})


@pytest.mark.parametrize("beside", ["policyPath", "policy"])
def test_empty_policy_beside_another_is_no_policy(beside: str) -> None:
    plugin = {"name": "regoPolicy", "policy": GOOD_POLICY, "policyPath": "policy.rego"} | {beside: ""}
    rule, told = policy_of(plugin, policy_rego=GOOD_POLICY.encode())
    assert told == []
    assert rule is not None
    assert rule.policy.settings["compiled"]


@pytest.mark.parametrize("plugin", [{"policy": ""}, {"policyPath": ""}, {"policy": "", "policyPath": ""}])
def test_empty_policies_alone_are_none(plugin: dict[str, Any]) -> None:
    rule, (problem,) = policy_of(plugin)
    assert rule is None
    assert problem.got == "no policy"


@pytest.mark.parametrize(
    ("given", "same_as"), [(None, {}), ({"default": ""}, {}), ({"default": "", "a/b": "any"}, {"a/b": "any"})]
)
def test_empty_requirements_are_none(given: object, same_as: object) -> None:
    path = "policy.plugin.artifactVerificationPolicies"
    value = put(f"{PLUGIN}.artifactTypes", "*")
    found, wanted = (read(put(path, each, value)) for each in (given, same_as))
    assert found.warnings == ()
    assert found.config == wanted.config
    policy = ConfigPolicy.load(found.config.rules[0].policy.settings)
    assert policy.allow_stands(report({"c/d": [P]}), ["c/d"]) is False


def test_sections_of_ratifys_server_change_nothing_and_say_so() -> None:
    value = GOOD | {
        "executor": {"verificationRequestTimeout": 5000, "mutationRequestTimeout": 2000},
        "crl": {"cache": {"enabled": True}},
        "logger": {"formatter": "json", "requestHeaders": {"traceIDHeaderName": ["x"]}},
    }
    assert errors(value) == {}
    assert read(value).config == read(GOOD).config
    assert len(warnings(value)) == 5


def test_empty_executor_is_no_news() -> None:
    assert warnings(GOOD | {"executor": {}}) == {}


def test_nested_references_and_several_types_of_one_verifier_are_taken() -> None:
    plugin: dict[str, Any] = GOOD["verifier"]["plugins"][0] | {  # type: ignore[index]
        "name": "mine", "type": "notation", "artifactTypes": "a/b,c/d", "nestedReferences": "e/f",
    }  # fmt: skip
    (verifier,) = read(put(PLUGIN, plugin)).config.verifiers
    assert (verifier.name, verifier.type, verifier.artifact_types) == ("mine", "notation", ("a/b", "c/d"))
    assert verifier.nested


def test_old_form_of_resources_becomes_a_configuration_that_is_taken() -> None:
    def resource(kind: str, name: str, spec: dict[str, Any]) -> Any:
        return {"apiVersion": f"{importing.GROUP}/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}

    plugin: dict[str, Any] = GOOD["verifier"]["plugins"][0]  # type: ignore[index]
    parameters = {key: value for key, value in plugin.items() if key not in ("name", "artifactTypes")}
    found = importing.convert(
        ("ratify.yaml", each)
        for each in (
            resource("Store", "store-oras", {"name": "oras"}),
            resource("Policy", "regopolicy", {"parameters": {"passthroughEnabled": False, "policy": GOOD_POLICY}}),
            resource(
                "Verifier",
                "verifier-notation",
                {"name": "notation", "artifactTypes": plugin["artifactTypes"], "parameters": parameters},
            ),
        )
    )
    assert found.problems == ()
    config = read(found.config).config
    assert (config.rules[0].policy.name, config.verifiers[0].name) == ("regopolicy", "verifier-notation")
