"""The frozen program fetches a trusted root: the client and the first root of the public instance are within."""

import json
import pathlib

import pytest

from agent.adapters import publicgood
from tests.frozen.program import BUILT, Program
from tests.signing_sigstore import instance
from tests.simulators.tufrepository import TufMirror, TufRepository

pytestmark = pytest.mark.frozen


def test_first_root_of_the_public_instance_is_inside() -> None:
    assert (BUILT / "_internal/agent/adapters/publicgood.root.json").read_bytes() == publicgood.first_root()


def test_trusted_root_is_fetched_by_hand_and_by_who_publishes(program: Program, tmp_path: pathlib.Path) -> None:
    content = json.dumps(instance(0).trusted_root()).encode()
    with TufMirror(TufRepository(content)) as mirror:
        config = tmp_path / "config"
        config.mkdir()
        first = config / "root.json"
        first.write_bytes(mirror.repository.first_root)
        out = tmp_path / "trusted_root.json"
        words = ("trust-root", "update", "--mirror", mirror.url, "--root", str(first), "--state", str(tmp_path / "st"))
        done = program.person(*words, "--out", str(out), "--format", "json")
        assert done.code == 0, done
        assert json.loads(done.out)["result"] == "updated"
        assert out.read_bytes() == content

        identity = {"issuer": "https://issuer.example", "subject": "https://subject.example"}
        section = {
            "apiVersion": "nodeseal.dev/v1alpha1",
            "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
            "trustRoots": [{"mirror": mirror.url, "root": "root.json"}],
            "verifiers": [{"name": "release", "type": "cosign", "identities": [identity]}],
            "rules": [{"name": "all", "match": ["**"], "verifiers": ["release"], "policy": {"any": ["release"]}}],
        }
        (config / "nodeseal.yaml").write_text(json.dumps({"nodeseal": section}))
        bootstrap = tmp_path / "root/etc/nodeseal/bootstrap.json"
        bootstrap.parent.mkdir(parents=True)
        bootstrap.write_text(json.dumps({"apiVersion": "nodeseal.dev/v1alpha1", "floor": {"localKeys": True}}))
        done = program.person("config", "apply", str(config), "--root", str(tmp_path / "root"))
        assert done.code == 0, done
        mirror.repository.files.clear()
        done = program.person(*words, "--out", str(out))
        assert done.code == 10
        assert "nothing was changed" in done.err
        assert out.read_bytes() == content
