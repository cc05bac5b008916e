"""`nodeseal doctor` on the real containerd: it finds what sends pulls past the verifier, and nothing else."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from tests.commands import Done
from tests.frozen.program import Program
from tests.signing import usual_signer, write_config
from tests.testbed.node import REGISTRY, Node
from tests.testbed.tools import Tools
from tests.wiring.test_planning import IN_V3, V3

pytestmark = pytest.mark.real


class Patient(NamedTuple):
    """A node with the program in place, and a configuration in force that lets nothing pass."""

    node: Node
    program: Program

    def doctor(self, *words: str) -> Done:
        """Run the command on the node."""
        socket = f"{self.node.work}/containerd.sock"
        return self.node.run(
            [str(self.program.path), "doctor", "--root", str(self.node.root), "--socket", socket, *words]
        )

    def errors(self, *words: str) -> list[tuple[str, str]]:
        """What it says stands in the way: ids and places."""
        return errors(self.doctor("--format", "json", *words))


def errors(done: Done) -> list[tuple[str, str]]:
    """The ids and places of its errors."""
    return [(each["id"], each["where"]) for each in json.loads(done.out)["findings"] if each["severity"] == "error"]


@contextmanager
def patient(tools: Tools, configuration: str = "") -> Iterator[Patient]:
    with Node(tools, configuration) as node:
        program = Program(node.root)
        write_config(node.work / "config", usual_signer("nobody.example.com").root_pem)
        program.apply(node.work / "config")
        node.install_verifier(program.path)
        yield Patient(node, program)


def test_node_that_verifies_has_nothing_in_the_way(tools: Tools) -> None:
    with patient(tools) as well:
        done = well.doctor()
        assert (done.code, done.err) == (0, "")
        assert "nothing stands in the way of verification" in done.out
        told = json.loads(well.doctor("--format", "json").out)
        assert told["enforcing"] is True
        assert told["containerd"]["version"].startswith("2.1.")
        assert told["containerd"]["source"] == "config dump"
        proved = json.loads(well.doctor("--format", "json", "--prove").out)
        assert (proved["enforcing"], proved["proof"]["state"]) == (True, "enforcing")
        assert told["settings"]["bin_dir"] == {
            "value": f"{well.node.work}/verifiers",
            "where": f"{well.node.work}/containerd.toml: plugins.'io.containerd.image-verifier.v1.bindir'.bin_dir",
        }
        well.node.push_image("doctor/unsigned")
        assert not well.node.cri_pull(f"{REGISTRY}/doctor/unsigned:1").ok

        stray = well.node.work / "verifiers" / "notes.txt"
        stray.write_text("x")
        assert well.errors() == [("verifier.stray", str(stray))]
        stray.unlink()
        well.node.remove_verifiers()
        assert well.errors() == [("verifier.missing", f"{well.node.work}/verifiers")]
        assert "proof.off" in dict(well.errors("--prove"))
        assert well.doctor().code == 12


@pytest.mark.parametrize("trigger", IN_V3)
def test_each_setting_that_sends_pulls_past_the_verifier_is_found(tools: Tools, trigger: str) -> None:
    text = f"version = 3\n{IN_V3[trigger]}"
    if trigger.startswith("registry."):  # the CRI plugin refuses to start with both
        text += f"{V3}.registry]\nconfig_path = ''\n"
    with patient(tools, text) as ill:
        ill.node.push_image("doctor/unsigned")
        assert ill.node.cri_pull(f"{REGISTRY}/doctor/unsigned:1").ok, "it went past the verifier"
        done = ill.doctor("--format", "json")
        assert done.code == 12
        ((found, where),) = errors(done)
        assert found == f"pull-path.{trigger}"
        proof = json.loads(ill.doctor("--format", "json", "--prove").out)["proof"]
        assert (proof["state"], proof["reason"]) == ("bypassed", "LocalPullFallback")
        assert trigger in proof["message"]
        assert where.startswith(f"{ill.node.work}/conf.d/more.toml: plugins.'io.containerd.cri.v1.images'.{trigger}")
