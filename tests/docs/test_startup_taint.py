"""The snippets of docs/startup-taint.md: each can be read, each says the same taint, and we take that one away."""

import json
import re
from typing import Any, Callable

import pytest
import yaml

from agent.cluster import nodes
from agent.wiring.declared import TAINT, TAINTS, taint_form
from tests import permissions

KEY = "startup-taint.cluster-autoscaler.kubernetes.io/nodeseal"
TEXT = (permissions.DOCS / "startup-taint.md").read_text()
READERS: dict[str, Callable[[str], Any]] = {"yaml": yaml.safe_load, "json": json.loads}
SNIPPETS = re.findall(r"^## (.+?)\n(?:(?!^## ).*\n)*?```(yaml|json)\n((?:.*\n)*?)```", TEXT, re.MULTILINE)


def taints(value: Any) -> list[tuple[str, str]]:
    """Key and effect of every taint in a value, as an object or as the kubelet's KEY=VALUE:EFFECT."""
    if isinstance(value, dict):
        if "effect" in value:
            return [(value["key"], value["effect"])]
        return [each for inner in value.values() for each in taints(inner)]
    if isinstance(value, list):
        return [each for inner in value for each in taints(inner)]
    found = re.fullmatch(r"(?P<key>[^=:]+)=[^:]*:(?P<effect>[A-Za-z]+)", value) if isinstance(value, str) else None
    return [(found["key"], found["effect"])] if found else []


def test_every_block_is_looked_at() -> None:
    assert len(SNIPPETS) == TEXT.count("```") // 2 == 5


@pytest.mark.parametrize(("title", "kind", "text"), SNIPPETS, ids=[each[0] for each in SNIPPETS])
def test_a_snippet_says_the_one_taint(title: str, kind: str, text: str) -> None:
    assert taints(READERS[kind](text)) == [(KEY, "NoSchedule")], title


NAMES = {
    "kubeadm": "kubeadm",
    "Amazon EKS, nodeadm": "nodeadm",
    "Azure AKS": "aks",
    "k3s": "k3s",
    "Karpenter": "karpenter",
}


@pytest.mark.parametrize(("title", "kind", "text"), SNIPPETS, ids=[each[0] for each in SNIPPETS])
def test_a_snippet_is_what_install_prints(title: str, kind: str, text: str) -> None:
    assert READERS[kind](text) == READERS[kind](taint_form(NAMES[title]))
    assert set(NAMES.values()) == set(TAINTS)
    assert TAINT == KEY


def test_no_other_key_is_named_anywhere() -> None:
    texts = [TEXT, *(path.read_text() for path in permissions.MANIFESTS.iterdir())]
    assert set(re.findall(r"[a-z.-]+\.kubernetes\.io/nodeseal\b", "".join(texts))) == {KEY}


def test_the_agent_takes_that_taint_away_and_no_other() -> None:
    node = nodes.Node(({"key": "other", "effect": "NoSchedule"}, {"key": KEY, "effect": "NoSchedule"}), "", "")
    assert [each["path"] for each in nodes.without_taint(node, KEY)] == ["/spec/taints/1"] * 2
