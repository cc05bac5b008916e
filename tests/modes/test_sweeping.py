"""A node that joins: its daemon proves, looks at the images that are there, and takes the startup taint away."""

import json
import pathlib
from typing import Any

import pytest

from agent import cli
from agent.adapters import ipc
from agent.cluster.nodes import CONDITION
from agent.rules.lists import BUILT_IN
from tests.modes.clustered import daemon, until
from tests.modes.glass import Node
from tests.simulators.cri import CriSimulator
from tests.simulators.kube import KubeSimulator

KEY = "nodeseal.dev/agent-not-ready"
OURS, OTHER = {"key": KEY, "effect": "NoSchedule"}, {"key": "other", "effect": "NoSchedule"}


def told(node: Node) -> dict[str, Any]:
    """What its daemon says of the node."""
    found: dict[str, Any] = json.loads(ipc.Client(str(node.root)).ask(ipc.STATUS, seconds=30) or b"")["node"]
    return found


def test_node_that_joins_is_proved_swept_and_released(node: Node, tmp_path: pathlib.Path) -> None:
    words = ("--prove", "--cri-socket", str(tmp_path / "cri.sock"), "--startup-taint", KEY)
    images = [(f"team/{name}:1", str(node.images[f"team/{name}"].digest)) for name in ("signed", "unsigned")]
    with KubeSimulator() as server, CriSimulator(tmp_path / "cri.sock") as runtime:
        value = {"metadata": {"name": "n1"}, "spec": {"taints": [OURS, OTHER]}, "status": {}}
        server.objects["nodes", "", "n1"] = value
        runtime.verifies = False
        runtime.images = [
            ([f"{node.registry.host}/{tag}"], [f"{node.registry.host}/{tag[:-2]}@{digest}"]) for tag, digest in images
        ]
        runtime.images += [(["imported:1"], []), ([], [f"registry.k8s.io/pause@{BUILT_IN[0].digests[0]}"])]
        with daemon(node.root, server, *words) as log:
            until(lambda: CONDITION in json.dumps(value["status"]), log)
            assert value["spec"] == {"taints": [OURS, OTHER]}
            runtime.verifies = True
            until(lambda: value["spec"] == {"taints": [OTHER]}, log)
            until(lambda: '"True"' in json.dumps(value["status"]), log)
            until(lambda: told(node)["startupTaint"] == "removed", log)  # it has heard of it as well
            said = told(node)
        assert not [image for image in runtime.pulls if "nodeseal-canary" not in image]
    assert said["condition"]["status"] == "True"
    assert said["startupTaint"] == "removed"
    assert said["swept"] == {"allowed": 2, "denied": 1, "unnamed": 1}
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    refused = [line["image"] for line in lines if line["event"] == "verified ahead" and line["exit"] == 10]
    assert f"{node.registry.host}/team/unsigned@{images[1][1]}" in refused


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--startup-taint", "k"], "expected --configmaps and --prove beside it"),
        (["--startup-taint", "k", "--prove"], "expected --configmaps and --prove beside it"),
        (["--startup-taint", "k", "--configmaps"], "expected --configmaps and --prove beside it"),
        (
            ["--startup-taint", "k", "--configmaps", "--prove", "--startup-taint-limit", "x"],
            "a length like 10m, or never",
        ),
    ],
)
def test_words_that_make_no_sense_are_refused(
    tmp_path: pathlib.Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "watch", "--root", str(tmp_path), *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
