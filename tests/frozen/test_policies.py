"""The frozen program under Rego policies and under rules of our own."""

import pathlib
import shutil
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from agent.model.descriptor import Descriptor
from tests.commands import Done
from tests.frozen.program import Program
from tests.modes.test_node import write_bootstrap
from tests.signing import attach_signature, envelope, usual_signer, write_config
from tests.simulators.registry import RegistrySimulator
from tests.starvation import Pressure

pytestmark = pytest.mark.frozen

INSTALLED = """package ratify.policy
default valid := false
valid { not failed_verify(input) }
failed_verify(reports) { [path, value] := walk(reports); value == false; path[count(path) - 1] == "isSuccess" }
failed_verify(reports) {
    [path, value] := walk(reports)
    path[count(path) - 1] == "verifierReports"
    count(value) == 0
}
"""
"""What Ratify's chart installs, in our words."""

EVERY_FAMILY = """package ratify.policy
import rego.v1
valid if {
    some report in input.verifierReports
    regex.match(`^application/vnd[.]cncf`, report.artifactType)
    some inner in report.verifierReports
    inner.isSuccess
    concat(",", sort(object.keys(inner))) != ""
    json.unmarshal(base64.decode(base64.encode("true")))
    time.now_ns() > time.parse_rfc3339_ns("2020-01-01T00:00:00Z")
}
"""

NEVER_ENDING = """package ratify.policy
valid { xs := numbers.range(1, 100000); ys := [(x * y) | x := xs[_]; y := xs[_]]; count(ys) > 0 }
"""


class Images(NamedTuple):
    """A registry with a signed and an unsigned image, and the folder of a configuration that trusts the signer."""

    registry: RegistrySimulator
    signed: Descriptor
    unsigned: Descriptor
    root_pem: bytes

    def pull(self, program: Program, name: str) -> Done:
        """Ask for one of the two."""
        image: Descriptor = getattr(self, name)
        return program.pull(f"{self.registry.host}/team/{name}:1", str(image.digest), image.size)


@pytest.fixture(scope="module")
def images() -> Iterator[Images]:
    """In this process."""
    trusted = usual_signer()
    with RegistrySimulator() as registry:
        signed = registry.push_image("team/signed", "1", salt="signed")
        unsigned = registry.push_image("team/unsigned", "1", salt="unsigned")
        attach_signature(registry, "team/signed", signed, envelope(trusted, signed))
        yield Images(registry, signed, unsigned, trusted.root_pem)


def under(tmp_path: pathlib.Path, images: Images, rego: str) -> Program:
    """The program under a Rego policy whose path is a host's elsewhere, as the proof of concept has it."""
    policy = {"name": "regoPolicy", "policyPath": "/root/.ratify/policy.rego"}
    folder = write_config(tmp_path / "config", images.root_pem, policy=policy)
    (folder / "policy.rego").write_text(rego)
    program = Program(tmp_path / "host")
    program.apply(folder)
    shutil.rmtree(folder)
    return program


@pytest.mark.parametrize("rego", [INSTALLED, EVERY_FAMILY], ids=["as Ratify installs it", "every family of built-ins"])
def test_signed_image_passes_and_an_unsigned_one_does_not(tmp_path: pathlib.Path, images: Images, rego: str) -> None:
    program = under(tmp_path, images, rego)
    allowed = images.pull(program, "signed")
    assert (allowed.code, allowed.out[:44]) == (0, "allow NS-0001 rule=default ground=verified: "), allowed
    denied = images.pull(program, "unsigned")
    assert (denied.code, denied.out[:30]) == (10, "deny NS-2001 rule=default: no "), denied


def test_policy_that_is_always_true_lets_no_unsigned_image_pass(tmp_path: pathlib.Path, images: Images) -> None:
    program = under(tmp_path, images, "package ratify.policy\nvalid := true\n")
    assert images.pull(program, "unsigned").code == 10
    assert images.pull(program, "signed").code == 0


def test_policy_that_does_not_end_is_killed_and_denies(tmp_path: pathlib.Path, images: Images) -> None:
    program, pressure = under(tmp_path, images, NEVER_ENDING), Pressure()
    answer = images.pull(program, "signed")
    assert answer.code == 10, answer
    assert "deny NS-2008 rule=default: no answer of the policy" in answer.out
    assert answer.seconds < 9.5 + pressure.slack()


def test_policy_that_does_not_end_denies_within_a_short_deadline_too(tmp_path: pathlib.Path, images: Images) -> None:
    program = under(tmp_path, images, NEVER_ENDING)
    write_bootstrap(program.root, found={"version": 1, "deadline": "6s"})  # of which the policy has 2.25
    pressure = Pressure()
    answer = images.pull(program, "signed")
    if "NS-3005" in answer.out and pressure.is_full():  # no time was left of a deadline as short as that
        program.forget()
        answer = images.pull(program, "signed")
    assert (answer.code, answer.out[:12]) == (10, "deny NS-2008"), "a deadline would be cannot tell"


OWN = """nodeseal:
  apiVersion: nodeseal.dev/v1alpha1
  default: {{enforcement: Enforce, failurePolicy: Fail}}
  rules:
  - name: signed-team
    match: ["{host}/team/**"]
    verifiers: [notation]
    policy: {{any: [notation]}}
  - name: without
    match: ["{host}/team/unsigned"]
    verifiers: [notation]
    policy: {{any: [notation]}}
    allowWithoutEvidence: true
"""


def test_rules_of_our_own_beside_ratifys_configuration(tmp_path: pathlib.Path, images: Images) -> None:
    folder = write_config(tmp_path / "config", images.root_pem)
    (folder / "nodeseal.yaml").write_text(OWN.format(host=images.registry.host))
    program = Program(tmp_path / "host")
    program.apply(folder)
    assert images.pull(program, "signed").out.startswith("allow NS-0001 rule=signed-team ground=verified: ")
    assert images.pull(program, "unsigned").out.startswith("allow NS-0002 rule=without ground=")
    elsewhere = program.pull("registry.example.com/x/y:1", str(images.signed.digest), images.signed.size)
    assert elsewhere.code == 10
    assert elsewhere.out.startswith("deny NS-2007 rule=-: no rule is for registry.example.com/x/y")
