"""cosign's evidence before the real `cosign` and before Nodeseal, as containerd calls it.

The registry is the tests' own and has the referrers API.  Nothing here decides who is right: tests say what they expect
of both.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from agent.model.descriptor import Descriptor
from tests.frozen.program import Program
from tests.signing_cosign import Layer, bundle_manifest, manifest
from tests.signing_sigstore import SUBJECT, Instance
from tests.simulators.registry import RegistrySimulator
from tests.simulators.responder import Responder
from tests.simulators.sigstore import TIMESTAMPS, identity_token, services
from tests.testbed.cosign import Cosign

SIGNATURES, ATTESTATIONS = "sig", "att"
"""What cosign's tags end with."""

Json = dict[str, Any]


class Court(NamedTuple):
    """A registry, the program under a configuration for it, and the real `cosign` with a key."""

    registry: RegistrySimulator
    program: Program
    cosign: Cosign
    folder: pathlib.Path

    def image(self, repository: str) -> Descriptor:
        """A new image."""
        return self.registry.push_image(repository, "1", salt=repository)

    def put(self, repository: str, image: Descriptor, made: list[Layer] | Layer, *, under: str = SIGNATURES) -> None:
        """Store layers, or one bundle, as cosign does; `under` is what the tag of layers ends with."""
        layers = made if isinstance(made, list) else [made]
        for each in layers:
            self.registry.push_blob(repository, each.content)
        if isinstance(made, list):
            self.registry.push_manifest(repository, manifest(made), tag=f"sha256-{image.digest.encoded}.{under}")
        else:
            self.registry.push_manifest(repository, bundle_manifest(made, image))

    def ours(self, repository: str, image: Descriptor) -> str:
        """Our code; empty if the image is let in."""
        done = self.program.pull(f"{self.registry.host}/{repository}:1", str(image.digest), image.size)
        assert done.code in (0, 10), done.out
        return done.out.partition("deny ")[2][:7]

    def named(self, repository: str, image: Descriptor) -> str:
        """By its digest."""
        return f"{self.registry.host}/{repository}@{image.digest}"


class Served:
    """A `cosign` that services of the tests' own serve: it signs by identity, and what it signs is logged.

    `services.json` and `trusted_root.json` in `folder` are for it.
    """

    def __init__(self, cosign: Cosign, responder: Responder, instance: Instance, folder: pathlib.Path) -> None:
        """`responder` is where `cosign` reaches it."""
        self._cosign, self._responder, self._instance = cosign, responder, instance
        self._services, self.root = folder / "services.json", folder / "trusted_root.json"
        self.root.write_text(json.dumps(instance.trusted_root()))
        base, since = responder.base, "start-time=2024-01-01T00:00:00Z,operator=example.test"
        cosign.run(
            "signing-config", "create", "--out", str(self._services),
            "--fulcio", f"url={base},api-version=1,{since}", "--oidc-provider", f"url={base},api-version=1,{since}",
            "--rekor", f"url={base},api-version=2,{since}", "--rekor-config", "ANY",
            "--tsa", f"url={base}{TIMESTAMPS},api-version=1,{since}", "--tsa-config", "ANY",
        )  # fmt: skip

    def sign(self, image: str, *words: str, key: bool = False, subject: str = SUBJECT, verb: str = "sign") -> None:
        """Sign `HOST/REPOSITORY@DIGEST`, or `attest` something of it, as `subject` or with its key."""
        services(self._responder, self._instance, subject)
        signer = ["--key", str(self._cosign.key)] if key else ["--identity-token", identity_token()]
        self._cosign.run(
            verb, "--yes", *signer, "--signing-config", str(self._services), "--trusted-root", str(self.root),
            "--allow-http-registry", *words, image,
        )  # fmt: skip


def repository_of(prefix: str, name: str) -> str:
    """Where a case's image lies: its name in letters that repositories have."""
    return f"{prefix}/{name.lower().replace(' ', '-').replace('.', '-')}"


def rule(host: str, name: str, policy: object, *verifiers: str) -> Json:
    """A rule for the repositories below its name, in lower case."""
    return {"name": name, "match": [f"{host}/{name.lower()}/**"], "verifiers": verifiers, "policy": policy}


def write_rules(folder: pathlib.Path, verifiers: Sequence[Json], rules: Sequence[Json]) -> None:
    """A configuration of our own dialect for a registry without TLS, into a folder that is there."""
    section = {
        "apiVersion": "nodeseal.dev/v1alpha1",
        "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
        "verifiers": verifiers,
        "rules": rules,
    }
    store = {"plugins": [{"name": "oras", "useHttp": True}]}
    (folder / "nodeseal.json").write_text(json.dumps({"store": store, "nodeseal": section}))
