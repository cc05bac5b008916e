"""Through containerd: images that the real `cosign` signed by identity, attestations, and what several must sign.

Sigstore's services are the tests' own, inside of the node's network; its registry has no referrers API.
"""

import json
import pathlib
from typing import Any

import pytest

from tests import signing_sigstore as sigstore
from tests.real.conformity import Bench
from tests.real.conftest import Sealed
from tests.real.cosigned import Served
from tests.real.test_pulls import push
from tests.real.test_pulls_policies import in_force
from tests.signing import write_config
from tests.testbed.cosign import TAG, Cosign
from tests.testbed.node import REGISTRY

pytestmark = pytest.mark.real

INSTANCE = sigstore.Instance(8, host="127.0.0.1")
ANOTHER = "https://github.com/acme/app/.github/workflows/approve.yml@refs/heads/main"
WORKFLOWS = {"issuer": sigstore.ISSUER, "subjectRegExp": "https://github.com/acme/app/.*"}
VERIFIERS: list[dict[str, Any]] = [
    {"name": "release", "type": "cosign", "identities": [{"issuer": sigstore.ISSUER, "subject": sigstore.SUBJECT}]},
    {
        "name": "elsewhere",
        "type": "cosign",
        "identities": [WORKFLOWS | {"subjectRegExp": "https://github.com/other/.*"}],
    },
    {"name": "workflows", "type": "cosign", "identities": [WORKFLOWS], "threshold": 2},
    {"name": "people", "type": "cosign", "keys": ["one.pub", "two.pub"], "threshold": 2},
    {"name": "built", "type": "attestation", "predicateType": "slsaprovenance1", "identities": [WORKFLOWS]},
]
POLICIES: dict[str, dict[str, Any]] = {
    "release": {"any": ["release"]},
    "elsewhere": {"any": ["elsewhere"]},
    "workflows": {"any": ["workflows"]},
    "people": {"any": ["people"]},
    "built": {"all": ["release", "built"]},
    "any": {"any": ["release", "notation"]},
    "all": {"all": ["release", "notation"]},
    "two": {"threshold": 2, "of": ["release", "built", "notation"]},
}
"""Rules by the first part of the repository."""


def configured(folder: pathlib.Path, sealed: Sealed, keys: dict[str, Cosign]) -> pathlib.Path:
    """The rules, the trusted root, the keys, and Notary Project's verifier."""
    write_config(folder, sealed.trusted.certificate)
    value = json.loads((folder / "config.json").read_text())
    del value["policy"]
    value["nodeseal"] = {
        "apiVersion": "nodeseal.dev/v1alpha1",
        "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
        "verifiers": VERIFIERS,
        "rules": [
            {
                "name": name,
                "match": [f"{REGISTRY}/{name}/**"],
                "verifiers": policy.get("any") or policy.get("all") or policy["of"],
                "policy": policy,
            }
            for name, policy in POLICIES.items()
        ],
    }
    (folder / "config.json").write_text(json.dumps(value))
    (folder / "trusted_root.json").write_text(json.dumps(INSTANCE.trusted_root()))
    for name, cosign in keys.items():
        (folder / f"{name}.pub").write_bytes(cosign.public.read_bytes())
    return folder


def test_who_signed_decides_what_is_pulled(sealed: Sealed, bench: Bench, tmp_path: pathlib.Path) -> None:
    node = sealed.node
    keys = {name: Cosign.on(node, name) for name in ("one", "two")}
    served = Served(keys["one"], bench.responder, INSTANCE, node.work)
    images = {name: push(sealed, f"{name}/app") for name in POLICIES}
    named = {name: f"{REGISTRY}/{image.repository}@{image.digest}" for name, image in images.items()}
    predicate = node.work / "built.json"
    predicate.write_text('{"buildDefinition": {"buildType": "x"}, "runDetails": {"builder": {"id": "y"}}}')

    def pulled(*names: str) -> dict[str, str]:
        """Our code for each at a pull; empty if it is there now.  What was said before is forgotten."""
        sealed.program.forget()
        found = {}
        for name in names:
            done = node.cri_pull(images[name].name)
            assert done.ok is node.images.is_present(images[name].name)
            found[name] = done.error.partition("exit code 10): deny ")[2][:7] or done.error
            if done.ok:
                node.images.remove(images[name].name)
        return found

    with in_force(sealed, configured(tmp_path / "config", sealed, keys)):
        assert pulled("release") == {"release": "NS-2001"}
        for name in ("release", "elsewhere", "workflows", "built", "any", "all", "two"):
            served.sign(named[name])
        keys["one"].sign(named["people"], layout=TAG)
        assert pulled(*POLICIES) == {
            "release": "",
            "elsewhere": "NS-2104",
            "workflows": "NS-2006",
            "people": "NS-2006",
            "built": "NS-2115",
            "any": "",
            "all": "NS-2006",
            "two": "NS-2115",
        }
        # The same signer once more is no second one.
        served.sign(named["workflows"])
        keys["one"].sign(named["people"])
        assert pulled("workflows", "people") == {"workflows": "NS-2006", "people": "NS-2006"}
        served.sign(named["workflows"], subject=ANOTHER)
        keys["two"].sign(named["people"])
        served.sign(named["built"], "--type", "slsaprovenance1", "--predicate", str(predicate), verb="attest")
        for name in ("all", "two"):
            sealed.trusted.sign(images[name].repository, images[name].digest)
        assert pulled("workflows", "people", "built", "all", "two") == dict.fromkeys(
            ("workflows", "people", "built", "all", "two"), ""
        )
        # A person is told who signed.
        for name in ("release", "elsewhere"):
            assert node.ctr_pull(images[name].name).ok is (name == "release")
        root = str(sealed.program.root)
        shown = node.run([str(sealed.program.path), "verify", "--root", root, "--format", "json", named["release"]])
        assert shown.code == 0
        assert sigstore.SUBJECT in shown.out
