"""The real `cosign`, with a key pair of its own, no service, and no way to one."""

import pathlib
from collections.abc import Callable

from tests.commands import Done, run
from tests.testbed.node import Node
from tests.testbed.tools import Tools

BUNDLE, TAG, REFERRER = "bundle", "tag", "referrer"
"""How a signature is stored: as cosign 3 does, as it did before, and as that in its experimental mode."""

LAYOUTS = (BUNDLE, TAG, REFERRER)

_OLD = ("--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false")
_EXPERIMENTAL = {"COSIGN_EXPERIMENTAL": "1"}

Runner = Callable[[list[str], dict[str, str]], Done]


class Cosign:
    """One key pair and what is done with it; `name` tells it from others in `folder`."""

    def __init__(self, tools: Tools, folder: pathlib.Path, name: str, runner: Runner) -> None:
        """Make the key pair."""
        self._program = tools.program("cosign")
        self._folder = folder
        self._runner = runner
        self.key = folder / f"{name}.key"
        self._services = folder / f"{name}-no-services.json"
        self._must("generate-key-pair", "--output-key-prefix", str(folder / name))
        self._must("signing-config", "create", "--out", str(self._services))

    @classmethod
    def on(cls, node: Node, name: str) -> "Cosign":
        """On a node."""
        return cls(node.tools, node.work, name, lambda command, more: node.run(command, environment=more))

    @classmethod
    def here(cls, tools: Tools, folder: pathlib.Path, name: str) -> "Cosign":
        """On this machine, for a registry in this process."""
        usual = {"PATH": tools.path, "HOME": str(folder)}
        return cls(tools, folder, name, lambda command, more: run(command, environment={**usual, **more}))

    @property
    def public(self) -> pathlib.Path:
        """The public key's file."""
        return self.key.with_suffix(".pub")

    def sign(self, image: str, *options: str, layout: str = BUNDLE) -> None:
        """Sign `HOST/REPOSITORY@DIGEST`."""
        words = ["sign", "--yes", "--key", str(self.key), "--allow-http-registry", *options]
        if layout == BUNDLE:
            self._must(*words, "--signing-config", str(self._services), image)
        elif layout == TAG:
            self._must(*words, *_OLD, image)
        else:
            self._must(*words, *_OLD, "--registry-referrers-mode", "oci-1-1", image, more=_EXPERIMENTAL)

    def attest(
        self, image: str, predicate: pathlib.Path, *, kind: str = "slsaprovenance1", layout: str = BUNDLE
    ) -> None:
        """Attest something of an image, usually how it was built; `kind` is what cosign calls the predicate's type.

        In a bundle, or under the tag: for attestations there is no third layout.
        """
        words = ["attest", "--yes", "--key", str(self.key), "--allow-http-registry"]
        said = ["--type", kind, "--predicate", str(predicate), image]
        if layout == BUNDLE:
            self._must(*words, "--signing-config", str(self._services), *said)
        else:
            self._must(*words, *_OLD, *said)

    def accepts_attestation(self, image: str, kind: str, *, key: pathlib.Path | None = None) -> bool:
        """What `cosign verify-attestation` says of an image, by this key if no other is given."""
        words = ["--key", str(key or self.public), "--insecure-ignore-tlog", "--allow-http-registry", "--type", kind]
        return self._run("verify-attestation", *words, image).code == 0

    def accepts(self, image: str, *options: str, key: pathlib.Path | None = None, layout: str = BUNDLE) -> bool:
        """What `cosign verify` says of an image, by this key if no other is given.

        It looks for the layout of its experimental mode only if it is told to, and for both others always.
        """
        return self._verified(image, *options, key=key, layout=layout).code == 0

    def refusal(self, image: str, *options: str, key: pathlib.Path | None = None, layout: str = BUNDLE) -> str:
        """What `cosign verify` says is wrong with an image; empty if it accepts it."""
        done = self._verified(image, *options, key=key, layout=layout)
        return done.err or "refused" if done.code != 0 else ""

    def run(self, *words: str) -> None:
        """Any other command, which must succeed."""
        self._must(*words)

    def _verified(self, image: str, *options: str, key: pathlib.Path | None, layout: str) -> Done:
        words = ["--key", str(key or self.public), "--insecure-ignore-tlog", "--allow-http-registry", *options, image]
        if layout != REFERRER:
            return self._run("verify", *words)
        return self._run("verify", "--experimental-oci11", *words, more=_EXPERIMENTAL)

    def _must(self, *words: str, more: dict[str, str] | None = None) -> None:
        done = self._run(*words, more=more)
        if done.code != 0:
            raise AssertionError(f"cosign {words[0]}: {done.code}: {done.err[-400:]}")

    def _run(self, *words: str, more: dict[str, str] | None = None) -> Done:
        # Whatever would ask the world fails at once.
        environment = {"COSIGN_PASSWORD": "", "HTTPS_PROXY": "http://127.0.0.1:1", **(more or {})}
        return self._runner([self._program, *words], environment)
