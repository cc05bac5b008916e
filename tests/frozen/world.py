"""A node with the program, a registry and a responder, and the pulls that are asked there."""

import contextlib
import json
import pathlib
import socket
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from cryptography.x509 import ocsp

from agent.adapters.spool import FOLDER as SPOOL
from agent.model.descriptor import Descriptor
from tests.commands import Done, run
from tests.frozen import cosigned
from tests.frozen.program import Program, descriptor, plugin_words
from tests.signing import Signer, attach_signature, envelope, usual_signer, write_config
from tests.simulators.registry import RegistrySimulator
from tests.simulators.responder import Responder
from tests.trust.answers import Ocsp, asked_at, chain_with, ocsp_answer

PLUGIN, ANSWER, DAEMON = "plugin", "answer", "daemon"
"""The doors, as the spool calls them."""

SIGNED, UNSIGNED, STRANGER, TAMPERED, ENDED = "signed", "unsigned", "stranger", "tampered", "ended"
GOOD, REVOKED, UNKNOWN = "good", "revoked", "unknown"
"""What images have beside what `cosigned` has: signatures, and some whose certificate's responder says that."""

REGO = "package ratify.policy\ndefault valid := false\nvalid { count(input.verifierReports) > 0 }\n"
NEVER_ENDING = """package ratify.policy
valid { xs := numbers.range(1, 100000); ys := [(x * y) | x := xs[_]; y := xs[_]]; count(ys) > 0 }
"""
_RULES: Mapping[str, Mapping[str, object]] = {
    "case": {},
    "audit": {"enforcement": "Audit"},
    "disabled": {"enforcement": "Disabled"},
    "ignore": {"failurePolicy": {"default": "Ignore"}},
    "before": {"failurePolicy": "IgnoreIfVerifiedBefore"},
    "rego": {"policy": "policy.rego"},
    "endless": {"policy": "endless.rego"},
    "without": {"allowWithoutEvidence": True},
    **cosigned.RULES,
}


class World:
    """A node with the program, a registry, and a responder."""

    def __init__(self, folder: pathlib.Path, registry: RegistrySimulator, responder: Responder) -> None:
        """Nothing is in force yet."""
        self.folder = folder
        self.registry = registry
        self.responder = responder
        self.program = Program(folder / "host")
        self.root = self.program.root
        self.trusted = usual_signer()
        self.stranger = usual_signer("stranger.example.net", number=3)
        self.asking = {kind: chain_with(asked_at(f"{responder.base}/{kind}")) for kind in (GOOD, REVOKED, UNKNOWN)}
        for kind, status in ((GOOD, ocsp.OCSPCertStatus.GOOD), (REVOKED, ocsp.OCSPCertStatus.REVOKED)):
            leaf, issuer, *_ = self.asking[kind].chain
            responder.serve(f"/{kind}", ocsp_answer(leaf, issuer, 32, Ocsp(status)))
        self.allowed = registry.push_image("allow/image", "1", salt="allowed")

    def image(self, repository: str, kind: str) -> Descriptor:
        """An image of its own; `kind` is what it has."""
        image = self.registry.push_image(repository, "1", salt=repository)
        signers = {SIGNED: self.trusted, STRANGER: self.stranger, TAMPERED: self.trusted, ENDED: self.trusted}
        by: Signer | None = {**signers, **self.asking}.get(kind)
        if by is not None:
            over = self.allowed if kind == TAMPERED else image
            expiry = datetime.now(timezone.utc) - timedelta(minutes=1) if kind == ENDED else None
            attach_signature(self.registry, repository, image, envelope(by, over, expiry=expiry))
        cosigned.sign(self.registry, repository, image, kind)
        return image

    def configuration(self, name: str, **section: object) -> pathlib.Path:
        """A folder with the configuration of all scenarios; `section` are further keys of ours, or other ones."""
        host, until = (
            self.registry.host,
            (datetime.now(timezone.utc) + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        folder = write_config(self.folder / name, self.trusted.root_pem, paths=["trusted.crt", "asking.crt"],
                              trustStores=["ca:trusted", "ca:asking"])  # fmt: skip
        (folder / "asking.crt").write_bytes(b"".join(each.root_pem for each in self.asking.values()))
        for document, content in cosigned.documents().items():
            (folder / document).write_bytes(content)
        (folder / "policy.rego").write_text(REGO)
        (folder / "endless.rego").write_text(NEVER_ENDING)
        usual = {"verifiers": ["notation"], "policy": {"any": ["notation"]}}
        value = json.loads((folder / "config.json").read_text())
        value["nodeseal"] = {
            "apiVersion": "nodeseal.dev/v1alpha1",
            "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
            "cache": {
                "deny": {"first": "60s"},
                "cannotTell": "60s",
            },  # for longer than two pulls on a full machine take
            "deny": [f"{host}/deny/**"],
            "breakGlass": [{"match": f"{host}/glass/*", "until": until, "reason": "INC-1"}],
            "allow": [{"image": f"{host}/allow/image@{self.allowed.digest}", "until": until, "reason": "INC-2"}],
            "exempt": [{"match": f"{host}/exempt/*", "insecure": True}],
            "verifiers": cosigned.VERIFIERS,
            "rules": [{"name": name, "match": [f"{host}/{name}/**"], **usual, **each} for name, each in _RULES.items()],
            **section,
        }
        (folder / "config.json").write_text(json.dumps(value))
        return folder

    def spooled(self) -> list[dict[str, object]]:
        """What the spool was told since it was asked last."""
        file = self.root / SPOOL / "spool.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]


class Pull(NamedTuple):
    """How containerd calls the program."""

    words: list[str]
    stdin: bytes

    def run(self, world: World) -> Done:
        """Call it."""
        return run([str(world.program.path), *self.words], stdin=self.stdin)


def pull_of(world: World, repository: str, image: Descriptor) -> Pull:
    """A pull by tag."""
    words = plugin_words(f"{world.registry.host}/{repository}:1", str(image.digest))
    return Pull(words, descriptor(str(image.digest), image.size))


@contextlib.contextmanager
def world_in(folder: pathlib.Path) -> Iterator[World]:
    """A world with the usual configuration in force."""
    with RegistrySimulator() as registry, Responder(socket.create_server(("127.0.0.1", 0))) as responder:
        world = World(folder, registry, responder)
        world.program.apply(world.configuration("usual"))
        yield world
