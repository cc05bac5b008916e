"""The node's bootstrap document: read without a schema on a pull, and with one for people; both see the same."""

import json
import pathlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import bootstrap, checking
from agent.config.bootstrapschema import BOOTSTRAP_SCHEMA
from agent.errors import Cause, Malformed
from agent.rules.floor import Bootstrap, Floor, HostFacts
from agent.rules.lists import USUAL_SANDBOX
from agent.rules.rule import Enforcement, FailureAction, FailurePolicy

VERSION = {"apiVersion": "nodeseal.dev/v1alpha1"}


def decoded(**keys: Any) -> Bootstrap:
    """Read a document with these keys."""
    return bootstrap.decode(json.dumps(VERSION | keys).encode())


def test_nothing_written_is_the_usual_floor() -> None:
    assert decoded() == Bootstrap("", Enforcement.ENFORCE, Floor(), (USUAL_SANDBOX,))
    never = {Cause.REVOCATION_UNKNOWN: FailureAction.FAIL, Cause.CONFIGURATION_INVALID: FailureAction.FAIL}
    assert Floor() == Floor(
        Enforcement.DISABLED, FailurePolicy(FailureAction.IGNORE, never), 4 * 3600.0, False, ("**",), None, (), ()
    )


def test_every_word_is_read() -> None:
    found = decoded(
        node={"name": "worker-3", "needs": ["quay.io/cni/agent:1", "no reference"]},
        untilFirstSnapshot="Audit",
        floor={
            "enforcement": "Audit",
            "failurePolicy": {"default": "IgnoreIfVerifiedBefore", "revocationUnknown": "Ignore"},
            "breakGlass": {"longest": "30m", "allImages": True},
            "exemptWithoutDigest": ["registry.k8s.io/**", "docker.io/busybox"],
            "configMaps": ["nodeseal", {"name": "platform", "priority": 100}, {"name": "shop"}, "platform"],
            "programs": ["/opt/programs"],
            "signedBy": ["key"],
        },
    )
    causes = {
        Cause.REVOCATION_UNKNOWN: FailureAction.IGNORE,
        Cause.CONFIGURATION_INVALID: FailureAction.FAIL,
    }
    assert found == Bootstrap(
        "worker-3",
        Enforcement.AUDIT,
        Floor(
            Enforcement.AUDIT,
            FailurePolicy(FailureAction.IGNORE_IF_VERIFIED_BEFORE, causes),
            1800.0,
            True,
            ("registry.k8s.io/**", "docker.io/library/busybox"),
            (("nodeseal", 0), ("platform", 0), ("shop", 0)),
            ("/opt/programs",),
            ("key",),
        ),
        ("quay.io/cni/agent:1", "no reference"),
    )


FOUND = {
    "version": 1,
    "caBundle": "/etc/nodeseal/ca-bundle.pem",
    "caBundleFrom": "/etc/ssl/certs/ca-certificates.crt",
    "proxy": {"HTTPS_PROXY": "http://user:s3cret@proxy.example:3128", "NO_PROXY": "10.0.0.0/8"},
    "deadline": "8s",
    "verifierTimeout": "10s",
    "certsFolders": ["/etc/containerd/certs.d"],
    "registries": {"docker.io": [{"url": "https://mirror.example/v2", "skipVerify": True}, {}]},
}


def test_what_an_installation_found_is_read() -> None:
    host = decoded(found=FOUND).host
    assert host == HostFacts("/etc/nodeseal/ca-bundle.pem", FOUND["proxy"], 8.0, FOUND["registries"])  # type: ignore[arg-type]
    assert "s3cret" not in repr(decoded(found=FOUND))
    assert decoded().host == HostFacts()


def test_what_the_owner_wrote_goes_before_what_was_found_key_by_key() -> None:
    host = decoded(found=FOUND, host={"proxy": {}, "deadline": "6s"}).host
    assert host.proxy == {}
    assert host.deadline == 6.0
    assert host.ca_bundle == "/etc/nodeseal/ca-bundle.pem"
    assert not checking.check(VERSION | {"found": FOUND, "host": {"proxy": {}, "deadline": "6s"}}, BOOTSTRAP_SCHEMA)


def test_what_an_installation_of_another_version_found_is_not_there_and_the_rest_counts() -> None:
    found = decoded(found={"version": 2, "anything": []}, host={"deadline": "6s"}, floor={"enforcement": "Audit"})
    assert found.host == HostFacts(deadline=6.0)
    assert found.floor.enforcement is Enforcement.AUDIT


def test_no_message_holds_a_proxys_password() -> None:
    for value in ("http://user:s3cret@p\n", "http://user:s3cret@" + "p" * 20_000):
        with pytest.raises(Malformed) as raised:
            decoded(host={"proxy": {"HTTP_PROXY": value}})
        assert "s3cret" not in f"{raised.value}{raised.value.message}"


def test_one_word_for_every_cause_leaves_those_that_are_never_ignored() -> None:
    policy = decoded(floor={"failurePolicy": "Ignore"}).floor.failure_policy
    assert policy.written(Cause.REVOCATION_UNKNOWN) is FailureAction.FAIL
    assert policy.written(Cause.REGISTRY_UNAVAILABLE) is FailureAction.IGNORE


SPOILT: list[Any] = [
    [],
    {},
    {"apiVersion": "nodeseal.dev/v2"},
    VERSION | {"flooring": {}},
    VERSION | {"node": "worker-3"},
    VERSION | {"node": {"name": 3}},
    VERSION | {"node": {"names": "x"}},
    VERSION | {"node": {"needs": "x"}},
    VERSION | {"node": {"needs": [1]}},
    VERSION | {"node": {"needs": [""]}},
    VERSION | {"node": {"needs": ["x" * 1025]}},
    VERSION | {"node": {"needs": ["x"] * 65}},
    VERSION | {"untilFirstSnapshot": "audit"},
    VERSION | {"untilFirstSnapshot": None},
    VERSION | {"floor": []},
    VERSION | {"floor": {"enforcement": "Enforced"}},
    VERSION | {"floor": {"failurePolicy": "ignore"}},
    VERSION | {"floor": {"failurePolicy": {"internal": "Ignore"}}},
    VERSION | {"floor": {"failurePolicy": []}},
    VERSION | {"floor": {"breakGlass": {"longest": "4 h"}}},
    VERSION | {"floor": {"breakGlass": {"longest": 4}}},
    VERSION | {"floor": {"breakGlass": {"allImages": "no"}}},
    VERSION | {"floor": {"breakGlass": {"allImages": 1}}},
    VERSION | {"floor": {"exemptWithoutDigest": "**"}},
    VERSION | {"floor": {"exemptWithoutDigest": [1]}},
    VERSION | {"floor": {"configMaps": {}}},
    VERSION | {"floor": {"configMaps": [{"priority": 1}]}},
    VERSION | {"floor": {"configMaps": [{"name": "a", "priority": 1001}]}},
    VERSION | {"floor": {"configMaps": [{"name": "a", "priority": True}]}},
    VERSION | {"floor": {"configMaps": [{"name": "a", "prio": 1}]}},
    VERSION | {"floor": {"signedBy": "key"}},
    VERSION | {"host": []},
    VERSION | {"host": {"proxies": {}}},
    VERSION | {"host": {"caBundle": "etc/ca.pem"}},
    VERSION | {"host": {"proxy": {"http_proxy": "http://p"}}},
    VERSION | {"host": {"proxy": {"HTTP_PROXY": "http://p\nx"}}},
    VERSION | {"host": {"proxy": {"HTTP_PROXY": "x" * 16385}}},
    VERSION | {"host": {"deadline": "0s"}},
    VERSION | {"host": {"deadline": "26s"}},
    VERSION | {"host": {"deadline": "1m"}},
    VERSION | {"host": {"registries": []}},
    VERSION | {"host": {"registries": {"docker.io": []}}},
    VERSION | {"host": {"registries": {"docker.io": [{}] * 17}}},
    VERSION | {"host": {"registries": {"docker.io": [{"uri": "https://m.example/v2"}]}}},
    VERSION | {"host": {"registries": {"docker.io": [{"skipVerify": "yes"}]}}},
    VERSION | {"host": {"registries": {str(i): [{}] for i in range(257)}}},
    VERSION | {"found": {"caBundle": "/etc/ca.pem"}},
    VERSION | {"found": {"version": "1"}},
    VERSION | {"found": {"version": 1, "unheardOf": True}},
]


@pytest.mark.parametrize("value", SPOILT, ids=str)
def test_what_is_not_exactly_of_the_form_is_refused_by_both(value: object) -> None:
    with pytest.raises(Malformed, match="bootstrap document"):
        bootstrap.decode(json.dumps(value).encode())
    assert checking.check(value, BOOTSTRAP_SCHEMA)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b'{"apiVersion":1,"apiVersion":2}', b"[" * 100_000, b" " * 300_000]
)
def test_bytes_that_are_no_document_are_refused(content: bytes) -> None:
    with pytest.raises(Malformed):
        bootstrap.decode(content)


_WORDS = st.sampled_from([each.value for each in Enforcement]) | st.sampled_from(["x", 1, None])
_ACTIONS = st.sampled_from([each.value for each in FailureAction]) | st.sampled_from(["x", None])
_CAUSES = st.sampled_from([each.value for each in Cause] + ["default", "x"])
_DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "apiVersion": st.sampled_from(["nodeseal.dev/v1alpha1", "x"]),
        "node": st.dictionaries(st.just("name"), st.sampled_from(["n", 1])),
        "untilFirstSnapshot": _WORDS,
        "floor": st.fixed_dictionaries(
            {},
            optional={
                "enforcement": _WORDS,
                "failurePolicy": _ACTIONS | st.dictionaries(_CAUSES, _ACTIONS),
                "breakGlass": st.fixed_dictionaries(
                    {}, optional={"longest": st.sampled_from(["1h", "1", 1]), "allImages": st.sampled_from([True, 1])}
                ),
                "programs": st.lists(st.sampled_from(["a", 1])),
            },
        ),
    },
)


@given(_DOCUMENTS)
def test_schema_and_reader_agree(value: object) -> None:
    right = not checking.check(value, BOOTSTRAP_SCHEMA)
    try:
        bootstrap.decode(json.dumps(value).encode())
        assert right
    except Malformed:
        assert not right


def test_the_documented_example_can_be_used() -> None:
    text = (pathlib.Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
    (example,) = [part.split("```")[0] for part in text.split("```json\n")[1:] if "untilFirstSnapshot" in part]
    assert not checking.check(json.loads(example), BOOTSTRAP_SCHEMA)
    assert bootstrap.decode(example.encode()).node_name == "worker-3"
