"""Through containerd, under rules that say what a denial means: audit, lists, break-glass, failure policies.

And what a person sees of it: `kubectl describe pod` shows the kubelet's event, which holds containerd's error.
"""

import json
import pathlib
from typing import Any

import pytest

from agent.adapters.nodestate import BOOTSTRAP
from tests.real.conftest import Sealed
from tests.real.test_pulls_policies import in_force
from tests.signing import write_config
from tests.testbed.node import REGISTRY

pytestmark = pytest.mark.real

EVENT_LIMIT = 1024
"""Most characters of a Kubernetes event's message; what is longer is cut."""

KUBELET = 'Failed to pull image "{image}": rpc error: code = Unknown desc = '
"""What the kubelet puts in front of the runtime's error."""


def rule(name: str, repository: str, **terms: object) -> dict[str, object]:
    """A rule for everything below `rules/REPOSITORY`."""
    verified = {"verifiers": ["notation"], "policy": {"any": ["notation"]}}
    return {"name": name, "match": [f"{REGISTRY}/rules/{repository}"], **verified, **terms}


def configuration(sealed: Sealed, folder: pathlib.Path, **section: Any) -> pathlib.Path:
    """A configuration with rules of our own, and what else the section says."""
    write_config(folder, sealed.trusted.certificate)
    value = json.loads((folder / "config.json").read_text())
    del value["policy"]
    value["nodeseal"] = {
        "apiVersion": "nodeseal.dev/v1alpha1",
        "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
        **section,
    }
    (folder / "config.json").write_text(json.dumps(value))
    return folder


def spool(sealed: Sealed) -> list[dict[str, Any]]:
    """Every line of the node's spool."""
    lines = (sealed.node.root / "var/log/nodeseal/spool.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_terms_and_lists_decide_what_a_pull_becomes(sealed: Sealed, tmp_path: pathlib.Path) -> None:
    node = sealed.node
    names = ("audited", "disabled", "enforced", "bad", "allowed", "exempt", "nobody")
    digests = {name: node.push_image(f"rules/{name}") for name in names}
    signed = node.push_image("rules/audited-signed")
    sealed.trusted.sign("rules/audited-signed", signed)
    rules = [
        rule("audited", "audited", enforcement="Audit"),
        rule("audited too", "audited-signed", enforcement="Audit"),
        rule("disabled", "disabled", enforcement="Disabled"),
        *(rule(name, name) for name in ("enforced", "bad", "allowed", "exempt")),
    ]
    allowed = f"{REGISTRY}/rules/allowed@{digests['allowed']}"
    folder = configuration(
        sealed,
        tmp_path / "rules",
        rules=rules,
        deny=[f"{REGISTRY}/rules/bad"],
        allow=[{"image": allowed, "until": "2999-01-01T00:00:00Z", "reason": "INC-1"}],
        exempt=[{"match": f"{REGISTRY}/rules/exempt", "insecure": True}],
    )
    with in_force(sealed, folder):
        pulled = {name: node.cri_pull(f"{REGISTRY}/rules/{name}:1") for name in (*names, "audited-signed")}
    assert {name: each.ok for name, each in pulled.items()} == {
        "audited": True,
        "audited-signed": True,
        "disabled": True,
        "allowed": True,
        "exempt": True,
        "enforced": False,
        "bad": False,
        "nobody": False,
    }
    assert "exit code 10): deny NS-2001 rule=enforced: " in pulled["enforced"].error
    assert "exit code 10): deny NS-2009 rule=-: on the deny list" in pulled["bad"].error
    assert "exit code 10): deny NS-2007 rule=-: " in pulled["nobody"].error
    told = {line["image"].partition("@")[0].rpartition("/")[2]: line for line in spool(sealed)}
    assert {name: (told[name]["code"], told[name]["ground"], told[name]["precedence"]) for name in pulled} == {
        "audited": ("NS-2001", "audit", 7),
        "audited-signed": ("NS-0001", "verified", 7),
        "disabled": ("NS-0002", "disabled", 6),
        "allowed": ("NS-0004", "allowedByDigest", 4),
        "exempt": ("NS-0003", "exempt", 5),
        "enforced": ("NS-2001", "", 7),
        "bad": ("NS-2009", "", 2),
        "nobody": ("NS-2007", "", 7),
    }
    assert told["audited"]["would"] == 10
    assert told["audited"]["message"].startswith("would deny: no signature found")


def test_break_glass_lets_pass_until_it_is_ended_and_never_what_is_denied(
    sealed: Sealed, tmp_path: pathlib.Path
) -> None:
    node = sealed.node
    names = ("glass", "glass-signed", "glass-denied")
    digests = {name: node.push_image(f"rules/{name}") for name in names}
    sealed.trusted.sign("rules/glass-signed", digests["glass-signed"])
    folder = configuration(
        sealed,
        tmp_path / "glass",
        rules=[rule(name, name) for name in names],
        deny=[f"{REGISTRY}/rules/glass-denied"],
    )
    words = [str(sealed.program.path), "break-glass"]
    under = ["--root", str(node.root)]
    with in_force(sealed, folder):
        assert "deny NS-2001 rule=glass: " in node.cri_pull(f"{REGISTRY}/rules/glass:1").error
        pattern = ["--image", f"{REGISTRY}/rules/*"]
        said = node.must([*words, "on", "--for", "1h", *pattern, "--reason", "INC-1", *under])
        entry = said.split()[1]
        try:
            pulled = {name: node.cri_pull(f"{REGISTRY}/rules/{name}:1") for name in names}
            let_in = {line["image"]: line for line in spool(sealed) if line["entry"] == entry}
        finally:
            told = node.must([*words, "off", *under])
        refused = node.cri_pull(f"{REGISTRY}/rules/glass:1")
    assert {name: each.ok for name, each in pulled.items()} == {
        "glass": True,
        "glass-signed": True,
        "glass-denied": False,
    }
    assert "exit code 10): deny NS-2009 rule=-: on the deny list" in pulled["glass-denied"].error
    images = {name: f"{REGISTRY}/rules/{name}@{digests[name]}" for name in names}
    assert sorted(let_in) == sorted([images["glass"], images["glass-signed"]])
    assert {(line["ground"], line["code"]) for line in let_in.values()} == {("breakGlass", "NS-0005")}
    assert f"    would have been REFUSED: {images['glass']}\n" in told
    assert f"    verified: {images['glass-signed']}\n" in told
    assert "2 images, 1 would have been refused, 0 can't be told\n" in told
    assert "exit code 10): deny NS-2001 rule=glass: " in refused.error


def test_what_is_listed_costs_the_registry_no_request_of_ours(sealed: Sealed, tmp_path: pathlib.Path) -> None:
    node = sealed.node
    digest = node.push_image("rules/quiet")
    folder = configuration(
        sealed,
        tmp_path / "quiet",
        rules=[rule("quiet", "quiet")],
        exempt=[{"match": f"{REGISTRY}/rules/quiet", "digests": [digest], "insecure": True}],
    )
    with in_force(sealed, folder):
        before = len(node.registry_requests())
        assert node.cri_pull(f"{REGISTRY}/rules/quiet:1").ok
        asked = node.registry_requests()[before:]
    assert asked
    assert not [each for each in asked if "referrers" in each or "/sha256-" in each]


def test_a_node_without_a_snapshot_goes_on_under_the_last_rules(sealed: Sealed, tmp_path: pathlib.Path) -> None:
    node = sealed.node
    for name in ("lenient", "strict"):
        node.push_image(f"rules/{name}")
    folder = configuration(
        sealed,
        tmp_path / "lost",
        rules=[
            rule("lenient", "lenient", failurePolicy={"configurationMissing": "Ignore"}),
            rule("strict", "strict"),
        ],
    )
    with in_force(sealed, folder):
        (node.root / "var/lib/nodeseal/current").unlink()
        assert node.cri_pull(f"{REGISTRY}/rules/lenient:1").ok
        assert spool(sealed)[-1]["ground"] == "failurePolicy"
        refused = node.cri_pull(f"{REGISTRY}/rules/strict:1")
        assert "exit code 11): cannot tell NS-3006 rule=strict: configurationMissing: " in refused.error


def test_a_node_that_never_had_a_configuration_does_as_its_bootstrap_says(sealed: Sealed) -> None:
    node = sealed.node
    node.push_image("rules/first")
    state, bootstrap = node.root / "var/lib/nodeseal", node.root / BOOTSTRAP
    state.rename(node.root / "aside")
    bootstrap.parent.mkdir(parents=True, exist_ok=True)
    bootstrap.write_text('{"apiVersion": "nodeseal.dev/v1alpha1", "untilFirstSnapshot": "Audit"}')
    try:
        assert node.cri_pull(f"{REGISTRY}/rules/first:1").ok
        assert (spool(sealed)[-1]["code"], spool(sealed)[-1]["ground"]) == ("NS-3006", "audit")
        bootstrap.unlink()
        assert "exit code 11): cannot tell NS-3006 rule=-: " in node.cri_pull(f"{REGISTRY}/rules/first:1").error
    finally:
        bootstrap.unlink(missing_ok=True)
        (node.root / "aside").rename(state)


@pytest.mark.parametrize("length", [20, 120])
def test_what_describe_pod_shows_is_not_cut(sealed: Sealed, tmp_path: pathlib.Path, length: int) -> None:
    node = sealed.node
    name = "a" * length
    node.push_image(f"rules/{name}")
    folder = configuration(sealed, tmp_path / "long", rules=[rule("r" * 64, "*")])
    with in_force(sealed, folder):
        image = f"{REGISTRY}/rules/{name}:1"
        refused = node.cri_pull(image)
    assert f"deny NS-2001 rule={'r' * 64}: no signature found" in refused.error
    assert len(KUBELET.format(image=image) + refused.error) <= EVENT_LIMIT
