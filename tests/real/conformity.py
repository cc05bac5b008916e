"""The same image, trust policy and trust stores before the real `notation` and before Nodeseal.

Signatures are made by the real `notation`, save those that it cannot make.  What an authority says comes from a
responder in the node's own network.  Nothing here decides who is right: `agree` compares both with what a test expects.
"""

import itertools
import json
import pathlib
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Mapping, NamedTuple, Sequence, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from agent.model.descriptor import Descriptor
from agent.model.manifest import IMAGE_INDEX
from tests import signing
from tests.frozen.program import Program
from tests.simulators.authority import Authority, chain_pem, key_pem
from tests.simulators.publisher import Publisher
from tests.simulators.responder import LIST_TYPE, Responder
from tests.testbed.inside import Inside
from tests.testbed.node import REGISTRY, Node
from tests.trust.answers import List

KNOWN_DIFFERENCES = {
    "any purpose": "`anyExtendedKeyUsage` is refused",
    "unknown critical extension": "a critical extension that is not understood, and name constraints, are refused",
    "uncritical basic constraints": "an issuer's basic constraints must be critical",
    "name constraints": "a critical extension that is not understood, and name constraints, are refused",
    "above the trusted one": "a certificate above the highest one in the trust store is not asked about",
    "responder without the purpose": "an OCSP answer by a delegate without OCSPSigning",
    "answer of the future": "an OCSP answer, or a revocation list, of the future says nothing",
    "policy for images": "`trustpolicy.oci.json` goes before `trustpolicy.json`",
    "list of another scope": "a revocation list whose scope (issuing distribution point) is not this certificate's",
}
"""Where the two are known to differ: by name, the words of docs/notation.md under "Deviations on purpose"."""

CANNOT_TELL = 11
CONFIGURATION_INVALID = 3

Json = dict[str, Any]
Stores = Mapping[str, Sequence[x509.Certificate]]
"""Certificates by store: `ca:acme`."""


_T = TypeVar("_T")


class Image(NamedTuple):
    """An image on the node's registry."""

    repository: str
    descriptor: Descriptor

    @property
    def name(self) -> str:
        """By its digest."""
        return f"{REGISTRY}/{self.repository}@{self.descriptor.digest}"


class Verdicts(NamedTuple):
    """What `notation` did, and what it wrote; our exit code, our code, and our line."""

    notation: bool
    said: str
    exit: int
    code: str
    line: str


class Bench:
    """A node, a responder in its network, and folders for what is made."""

    def __init__(self, node: Node, program: Program, inside: Inside, responder: Responder) -> None:
        """All of them are running."""
        self.node = node
        self.responder = responder
        self._program = program
        self._inside = inside
        self._publisher = Publisher(REGISTRY)
        self._numbers = itertools.count(1)
        self._both = ThreadPoolExecutor(2)

    def image(self, repository: str) -> Image:
        """A new image, in one request after another."""
        salt = str(next(self._numbers))
        return Image(repository, self._inside.do(lambda: self._publisher.push_image(repository, "1", salt=salt)))

    def attach(self, image: Image, envelope: bytes, media_type: str = signing.ENVELOPE_TYPE) -> None:
        """Attach an envelope that `notation` did not make, as it would."""
        self._inside.do(lambda: _attach(self._publisher, image, envelope, media_type))

    def sign(self, image: Image, signer: signing.Signer, *options: str, envelope: str = "jws") -> None:
        """Sign with the real `notation`, and a key of the tests' own."""
        folder = self.node.work / "signers" / str(next(self._numbers))
        home = folder / "notation"
        home.mkdir(parents=True)
        (home / "key.pem").write_bytes(key_pem(signer))
        (home / "chain.pem").write_bytes(chain_pem(signer))
        entry = {"name": "tests", "keyPath": str(home / "key.pem"), "certPath": str(home / "chain.pem")}
        (home / "signingkeys.json").write_text(json.dumps({"default": "tests", "keys": [entry]}))
        command = ["notation", "sign", "--insecure-registry", "--signature-format", envelope, *options, image.name]
        done = self.node.run(command, environment={"XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder)})
        if done.code != 0:
            raise AssertionError(f"notation sign {image.name}: {done.err}")

    def judge(self, image: Image, policy: Json, stores: Stores, **others: Json) -> Verdicts:
        """Ask both, of one folder; `others` are further documents in it."""
        folder = self.node.work / "cases" / str(next(self._numbers))
        home = folder / "notation"
        write_stores(home, stores)
        for document, value in {"trustpolicy.json": policy, **others}.items():
            (home / document).write_text(json.dumps(value))
        theirs = self._both.submit(self._notation, image, folder)
        ours = self._both.submit(self._ours, image, folder)
        accepted, said = theirs.result()
        return Verdicts(accepted, said, *ours.result())

    def signed(self, label: str, signer: signing.Signer, *options: str, envelope: str = "jws") -> Image:
        """A new image that `signer` signed."""
        image = self.image(f"signed/{label}")
        self.sign(image, signer, *options, envelope=envelope)
        return image

    def announce(self, made: Authority, source: str, depth: int, *, revoked: bool = False) -> None:
        """Answer about the certificate at `depth`, as "ocsp" or as "crl"."""
        if source == "ocsp":
            self.responder.serve(made.responder(depth), made.revoked(depth) if revoked else made.answer(depth))
        else:
            entries = (made.entry(depth),) if revoked else ()
            self.responder.serve(made.list_path(depth), made.listing(depth, List(entries=entries)), LIST_TYPE)

    def _notation(self, image: Image, folder: pathlib.Path) -> tuple[bool, str]:
        environment = {"XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
        done = self.node.run(["notation", "verify", "-v", "--insecure-registry", image.name], environment=environment)
        return done.code == 0, done.out + done.err

    def _ours(self, image: Image, folder: pathlib.Path) -> tuple[int, str, str]:
        config = write_configuration(folder / "ours", folder / "notation")
        words = ["--format", "json", "--config", str(config), "--root", str(folder / "root"), image.name]
        done = self.node.run([str(self._program.path), "verify", *words])
        try:
            told = json.loads(done.out)["nodeseal"]
        except ValueError:
            return done.code, "", done.out + done.err
        return done.code, told["code"], told["reason"]


def agree(verdicts: Verdicts, *, accepted: bool, says: str = "", code: str = "NS-0001", known: str = "") -> None:
    """Both said what was expected: `notation` first, in these words; then we, with this code.

    With `known`, the name of a known difference, `accepted` and `says` are about `notation` alone: we say the opposite.
    """
    assert verdicts.notation is accepted, verdicts.said
    assert says in verdicts.said, verdicts.said
    assert verdicts.code == code, verdicts.line
    ours = verdicts.exit == 0
    assert known in KNOWN_DIFFERENCES if known else True
    assert (ours is not accepted) if known else (ours is accepted), verdicts.line


def statement(**changes: Any) -> Json:
    """A trust policy of one strict statement for everything, with the store `ca:acme`."""
    return signing.trust_policy(**({"trustStores": ["ca:acme"]} | changes))


def write_stores(home: pathlib.Path, stores: Stores) -> None:
    """Trust stores as `notation` keeps them; one without certificates is a folder without files."""
    for store, certificates in stores.items():
        kind, _, name = store.partition(":")
        folder = home / "truststore" / "x509" / kind / name
        folder.mkdir(parents=True)
        for number, each in enumerate(certificates):
            (folder / f"{number}.crt").write_bytes(each.public_bytes(serialization.Encoding.PEM))
    home.mkdir(parents=True, exist_ok=True)


def write_configuration(folder: pathlib.Path, notation_directory: pathlib.Path) -> pathlib.Path:
    """Our configuration for a folder of `notation`."""
    verifier = {
        "name": "notation",
        "artifactTypes": signing.ARTIFACT_TYPE,
        "notationDirectory": str(notation_directory),
    }
    policy = {"name": "configPolicy", "artifactVerificationPolicies": {signing.ARTIFACT_TYPE: "any"}}
    value = {
        "store": {"version": "1.0.0", "plugins": [{"name": "oras", "useHttp": True}]},
        "policy": {"version": "1.0.0", "plugin": policy},
        "verifier": {"version": "1.0.0", "plugins": [verifier]},
    }
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(value))
    return folder


def signed_before_it_ended(leaf: signing.Profile, issuer: signing.Profile, sign: Callable[[signing.Signer], _T]) -> _T:
    """What `sign` made with a signing certificate that no longer is valid: `notation` signs with no such one.

    A busy machine may need longer to sign than the certificate is valid for; then a longer one is taken.
    """
    for seconds in (3, 8, 20):
        signer = signing.signer(leaf._replace(ends=timedelta(seconds=seconds)), issuer)
        ends = signer.chain[0].not_valid_after_utc
        try:
            made = sign(signer)
        except AssertionError:
            if datetime.now(timezone.utc) < ends:
                raise
        else:
            time.sleep(max(0.0, (ends - datetime.now(timezone.utc)).total_seconds() + 0.1))
            return made
    raise AssertionError("this machine needs longer than 20 seconds to sign")


def _attach(publisher: Publisher, image: Image, envelope: bytes, media_type: str) -> None:
    publisher.push_blob(image.repository, b"{}")
    blob = publisher.push_blob(image.repository, envelope, media_type)
    manifest = json.loads(signing.signature_manifest(blob, image.descriptor))
    pushed = publisher.push_manifest(image.repository, manifest)
    listed = {**signing.descriptor_json(pushed), "artifactType": signing.ARTIFACT_TYPE}
    index = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": [listed]}
    publisher.push_manifest(image.repository, index, IMAGE_INDEX, tag=str(image.descriptor.digest).replace(":", "-"))
