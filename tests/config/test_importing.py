"""Ratify's Kubernetes resources: what each becomes, whose counts, what is told and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import importing
from agent.errors import Problem

GROUP = importing.GROUP
SIGNATURES = "application/vnd.cncf.notary.signature"
STATEMENT = {"version": "1.0", "trustPolicies": []}


def resource(kind: str, name: str, spec: dict[str, Any], namespace: str = "", version: str = "v1beta1") -> Any:
    """One resource."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": f"{GROUP}/{version}", "kind": kind, "metadata": metadata, "spec": spec}


def store(namespace: str = "", **changes: Any) -> Any:
    """A Store."""
    spec = {"name": "oras", "parameters": {"cosignEnabled": True}} | changes
    return resource("NamespacedStore" if namespace else "Store", "store-oras", spec, namespace)


def verifier(namespace: str = "", *, providers: object = None, **changes: Any) -> Any:
    """A Verifier of the older words."""
    parameters = {"trustPolicyDoc": STATEMENT}
    if providers is not None:
        parameters["verificationCertStores"] = providers  # type: ignore[assignment]
    spec = {"name": "notation", "artifactTypes": SIGNATURES, "parameters": parameters} | changes
    return resource("NamespacedVerifier" if namespace else "Verifier", "verifier-notation", spec, namespace)


def policy(namespace: str = "", **changes: Any) -> Any:
    """A Policy."""
    spec = {"type": "config-policy", "parameters": {"artifactVerificationPolicies": {SIGNATURES: "any"}}} | changes
    return resource("NamespacedPolicy" if namespace else "Policy", "ratify-policy", spec, namespace)


def provider(name: str = "certs", namespace: str = "", **changes: Any) -> Any:
    """A KeyManagementProvider."""
    spec = {"type": "inline", "parameters": {"contentType": "certificate", "value": "PEM"}} | changes
    kind = "NamespacedKeyManagementProvider" if namespace else "KeyManagementProvider"
    return resource(kind, name, spec, namespace)


def certificate_store(name: str = "certs", namespace: str = "", version: str = "v1beta1") -> Any:
    """A CertificateStore."""
    spec = {"provider": "inline", "parameters": {"value": "PEM of a store"}}
    return resource("CertificateStore", name, spec, namespace, version)


def imported(*documents: Any, namespace: str = "") -> importing.Imported:
    """What comes of documents that stand in one file."""
    return importing.convert([("all.yaml", each) for each in documents], namespace)


def config(*documents: Any, namespace: str = "") -> dict[str, Any]:
    """The same, where nothing is fatal."""
    found = imported(*documents, namespace=namespace)
    assert errors(found) == []
    return found.config


def errors(found: importing.Imported) -> list[Problem]:
    """What is fatal."""
    return [each for each in found.problems if each.fatal]


def provider_names(value: dict[str, Any]) -> list[str]:
    """The names of key providers in a configuration."""
    return [each["name"] for each in value.get("keyManagementProvider", {"plugins": []})["plugins"]]


def test_resources_of_a_cluster_become_one_configuration() -> None:
    found = imported(store(), verifier(providers={"certs": ["certs"]}), policy(), provider())
    assert found.problems == ()
    assert found.config == {
        "store": {"version": "1.0.0", "plugins": [{"name": "oras", "cosignEnabled": True}]},
        "policy": {
            "version": "1.0.0",
            "plugin": {"name": "config-policy", "artifactVerificationPolicies": {SIGNATURES: "any"}},
        },
        "verifier": {
            "version": "1.0.0",
            "plugins": [
                {
                    "name": "verifier-notation",
                    "type": "notation",
                    "artifactTypes": SIGNATURES,
                    "trustPolicyDoc": STATEMENT,
                    "verificationCertStores": {"certs": ["certs"]},
                }
            ],
        },
        "keyManagementProvider": {
            "version": "1.0.0",
            "plugins": [{"name": "certs", "type": "inline", "contentType": "certificate", "value": "PEM"}],
        },
    }


def test_key_provider_of_a_cosign_verifier_is_called_as_it_is_referred_to() -> None:
    statement = {"name": "p", "scopes": ["*"], "keys": [{"provider": "shop/keys"}], "tLogVerify": False}
    cosign = verifier(name="cosign", parameters={"trustPolicies": [statement]})
    keys = provider("keys", "shop", parameters={"contentType": "key", "value": "PEM"})
    value = config(store("shop"), cosign, policy(), keys, namespace="shop")
    assert provider_names(value) == ["shop/keys"]
    assert value["keyManagementProvider"]["plugins"][0]["contentType"] == "key"


def test_type_of_a_verifier_goes_before_its_old_name() -> None:
    (found,) = config(store(), verifier(type="notation", name="old"), policy())["verifier"]["plugins"]
    assert (found["name"], found["type"]) == ("verifier-notation", "notation")


def test_older_version_of_a_policy_is_called_like_its_type() -> None:
    old = resource("Policy", "regopolicy", {"parameters": {"policy": "package ratify.policy"}}, version="v1alpha1")
    assert config(store(), verifier(), old)["policy"]["plugin"] == {
        "name": "regopolicy",
        "policy": "package ratify.policy",
    }


def test_fields_of_a_resource_go_before_its_parameters() -> None:
    value = config(
        store(parameters={"name": "x"}),
        verifier(parameters={"name": "x", "type": "x", "artifactTypes": "x"}),
        policy(parameters={"name": "x"}),
        provider(parameters={"name": "x", "type": "x"}),
    )
    assert value["store"]["plugins"] == [{"name": "oras"}]
    assert value["verifier"]["plugins"] == [
        {"name": "verifier-notation", "type": "notation", "artifactTypes": SIGNATURES}
    ]
    assert value["policy"]["plugin"] == {"name": "config-policy"}
    assert value["keyManagementProvider"]["plugins"] == [{"name": "certs", "type": "inline"}]


def test_where_an_external_plugin_comes_from_is_kept_for_the_check_to_refuse() -> None:
    source = {"artifact": "registry.example.com/plugin:v1"}
    value = config(store(source=source, address=""), verifier(address="/plugins", version="1.0.0"), policy())
    assert value["store"]["plugins"] == [{"name": "oras", "cosignEnabled": True, "source": source}]
    assert value["verifier"]["plugins"][0]["address"] == "/plugins"


def test_list_is_what_is_in_it() -> None:
    inner = {"apiVersion": f"{GROUP}/v1beta1", "kind": "StoreList", "items": [store()]}
    items = {"apiVersion": "v1", "kind": "List", "items": [inner, verifier(), policy()]}
    assert config(items) == config(store(), verifier(), policy())


def test_lists_in_lists_end() -> None:
    nested: Any = store()
    for _ in range(50):
        nested = {"apiVersion": "v1", "kind": "List", "items": [nested]}
    assert errors(imported(verifier(), policy(), nested))[0].got == "no Store"


def test_resources_of_a_namespace_stand_in_for_the_clusters_of_their_kind() -> None:
    everything = (
        store(), verifier(), policy(), provider("certs"),
        policy("shop", type="rego-policy"), provider("own", "shop"), provider("foreign", "bank"),
    )  # fmt: skip
    value = config(*everything, namespace="shop")
    assert value["policy"]["plugin"]["name"] == "rego-policy"
    assert value["store"]["plugins"] == [{"name": "oras", "cosignEnabled": True}]
    assert provider_names(value) == ["certs", "shop/own"]
    found = imported(*everything)
    assert found.config["policy"]["plugin"]["name"] == "config-policy"  # type: ignore[index]
    told = [each.path for each in found.problems]
    assert told == [
        "all.yaml: NamespacedPolicy ratify-policy",
        "all.yaml: NamespacedKeyManagementProvider own",
        "all.yaml: NamespacedKeyManagementProvider foreign",
    ]


def test_namespaced_resource_that_names_no_namespace_is_in_default() -> None:
    found = resource("NamespacedPolicy", "ratify-policy", {"type": "rego-policy", "parameters": {}})
    value = config(store(), verifier(), policy(), found, namespace="default")
    assert value["policy"]["plugin"]["name"] == "rego-policy"


@pytest.mark.parametrize(
    ("references", "names"),
    [
        (["shop/own"], ["shop/own"]),
        (["own"], ["own"]),
        (["own", "shop/own"], ["shop/own", "own"]),
        ([], ["shop/own"]),
    ],
    ids=str,
)
def test_provider_of_a_namespace_has_the_name_by_which_it_is_referred_to(
    references: list[str], names: list[str]
) -> None:
    value = config(
        store(), verifier(providers={"ca": {"s": references}}), policy(), provider("own", "shop"), namespace="shop"
    )
    assert provider_names(value) == names


def test_plain_name_is_the_clusters_provider_before_a_namespaces() -> None:
    value = config(
        store(), verifier(providers={"s": ["certs"]}), policy(), provider(), provider("certs", "shop"), namespace="shop"
    )
    assert provider_names(value) == ["certs", "shop/certs"]


@pytest.mark.parametrize("version", importing.VERSIONS)
def test_certificate_store_becomes_a_provider_for_whoever_names_it(version: str) -> None:
    value = config(
        store(), verifier(providers={"s": ["certs"]}), policy(), certificate_store("certs", "gatekeeper", version)
    )
    assert value["keyManagementProvider"]["plugins"] == [
        {"name": "certs", "type": "inline", "contentType": "certificate", "value": "PEM of a store"}
    ]


def test_two_certificate_stores_of_one_name_are_told_apart_by_their_namespaces_alone() -> None:
    value = config(
        store(), verifier(providers={"s": ["a/certs", "certs"]}), policy(),
        certificate_store("certs", "a"), certificate_store("certs", "b"),
    )  # fmt: skip
    assert provider_names(value) == ["a/certs", "b/certs"]


def test_what_is_no_resource_of_ratifys_is_left_out_with_a_warning() -> None:
    found = imported(store(), verifier(), policy(), {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})
    (warning,) = found.problems
    assert (warning.path, warning.fatal) == ("all.yaml: Secret s", False)


@pytest.mark.parametrize(
    ("api", "kind"),
    [
        ("config.ratify.sh/v2alpha1", "Executor"),
        ("config.ratify.dev/v2alpha1", "NamespacedExecutor"),
        (f"{GROUP}/v2", "Store"),
        (f"{GROUP}/v1beta1", "Dream"),
    ],
)
def test_resource_of_another_ratify_is_named_and_refused(api: str, kind: str) -> None:
    found = imported(store(), verifier(), policy(), {"apiVersion": api, "kind": kind, "metadata": {"name": "e"}})
    (error,) = errors(found)
    assert error.path == f"all.yaml: {kind} e"
    assert "does not support" in error.got


@pytest.mark.parametrize("missing", ["Store", "Verifier", "Policy"])
def test_kind_that_is_missing_is_named(missing: str) -> None:
    (error,) = errors(imported(*(each for each in (store(), verifier(), policy()) if each["kind"] != missing)))
    assert error.got == f"no {missing}"


def test_policy_of_another_name_is_not_heeded() -> None:
    other = resource("Policy", "my-policy", {"type": "rego-policy", "parameters": {}})
    found = imported(store(), verifier(), policy(), other)
    assert found.config["policy"]["plugin"]["name"] == "config-policy"  # type: ignore[index]
    assert [each.got for each in found.problems] == ['the name "my-policy"']
    assert errors(imported(store(), verifier(), other))[0].got == "no Policy"


def test_two_policies_are_refused() -> None:
    old = resource("Policy", "configpolicy", {"parameters": {}}, version="v1alpha1")
    (error,) = errors(imported(store(), verifier(), policy(), old))
    assert error.got == "a second Policy"


def test_resource_that_stands_twice_is_refused() -> None:
    (error,) = errors(imported(store(), verifier(), policy(), store(name="other")))
    assert error.got == "a resource that stands in all.yaml: Store store-oras too"


@pytest.mark.parametrize(
    "document",
    [
        None, [], "text", 7, {}, {"kind": "Store"}, {"kind": 1, "apiVersion": "v1"},
        {"kind": "Store", "apiVersion": f"{GROUP}/v1beta1"},
        {"kind": "Store", "apiVersion": f"{GROUP}/v1beta1", "metadata": {"name": ""}, "spec": {}},
        {"kind": "Store", "apiVersion": f"{GROUP}/v1beta1", "metadata": {"name": "s"}, "spec": []},
        {"kind": "Store", "apiVersion": f"{GROUP}/v1beta1", "metadata": "s", "spec": {}},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_resource_is_refused_at_its_place(document: object) -> None:
    (error,) = errors(imported(store(), verifier(), policy(), document))
    assert error.path.startswith("all.yaml")


def test_unknown_fields_and_intervals_are_told() -> None:
    found = imported(store(colour="red"), verifier(), policy(), provider(refreshInterval="1h"))
    assert [(each.path, each.got, each.fatal) for each in found.problems] == [
        ("all.yaml: Store store-oras: spec.colour", "an unknown field", False),
        ("all.yaml: KeyManagementProvider certs", 'refreshInterval "1h"', False),
    ]


def test_what_is_brought_by_mistake_is_told_what_to_do_with() -> None:
    (ours, *_) = imported({"store": {}, "policy": {}}).problems
    assert ours.expected.endswith("this is a configuration, which needs no import: nodeseal config check")
    other = {"apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy", "metadata": {"name": "x"}}
    (left_out,) = [each for each in imported(other).problems if not each.fatal]
    assert left_out.expected.endswith("(docs/policy-controller.md says what its words are here)")


_JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3) | st.sampled_from(["inline", "oras", "certs"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "type", "parameters", "verificationCertStores"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.unmeasured
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "apiVersion": st.sampled_from([f"{GROUP}/v1beta1", f"{GROUP}/v1alpha1"]),
                "kind": st.sampled_from(
                    ["Store", "NamespacedVerifier", "Verifier", "Policy", "CertificateStore", "List"]
                ),
                "metadata": _JSON | st.just({"name": "ratify-policy"}),
                "spec": _JSON,
            },
            optional={"items": _JSON},
        ),
        max_size=4,
    )
)
def test_whatever_resources_hold_gives_a_configuration_or_problems(documents: list[Any]) -> None:
    found = imported(*documents)
    assert isinstance(found.config, dict)
    assert all(isinstance(each, Problem) for each in found.problems)
