"""A client of Sigstore's public conformance suite: its command line in front of Nodeseal's own verification.

sigstore-conformance, docs/cli_protocol.md, and the `--key` that the suite gives for managed keys.  Exit code 0 if the
bundle is right, 1 if it is not or if something is asked for that is not here.  Not here:

- `sign-bundle`: Nodeseal signs nothing
- `--staging`, and identities without `--trusted-root`: no trusted root is fetched
- a message's signature by the message's digest alone: what was signed is always read
"""

import pathlib
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from datetime import datetime, timezone
from hashlib import sha256, sha384, sha512
from typing import NamedTuple, NoReturn

from agent.codec import dsse, pem, sigstorebundle, statement
from agent.codec.sigstorebundle import Bundle, MessageSignature
from agent.errors import Malformed, NodesealError
from agent.formats.cosign_signature import Claim, Said, Signature, Vouchers
from agent.formats.cosign_signers import Keys
from agent.formats.cosign_sigstore import Sigstore
from agent.trust import publickeys, trustedroot_document
from agent.trust.keyless import Demands
from agent.trust.signeridentity import EXACT, Pattern, SignerIdentity
from agent.trust.sigstoredemands import SigstoreDemands
from agent.trust.trustedroot import TrustedRoot

_HASHES = {"SHA2_256": sha256, "SHA2_384": sha384, "SHA2_512": sha512}
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})\Z")


class NotHere(NodesealError):
    """Something that this client does not do."""


class Artifact(NamedTuple):
    """What is said to be signed: its SHA-256 (hexadecimal), and its bytes if they are known."""

    digest: str
    content: bytes | None


def main(words: Sequence[str]) -> int:
    """The exit code for a command line; who signed, or what is wrong, is printed."""
    try:
        print(verify(_parser().parse_args(words)))
    except (NodesealError, OSError) as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1
    return 0


def verify(asked: Namespace) -> str:
    """Who signed.  Raises `Malformed`, `NotHere`, OSError."""
    if asked.staging:
        raise NotHere("--staging: no trusted root is fetched; give one with --trusted-root")
    artifact = _artifact(asked.artifact)
    signature = read(sigstorebundle.parse(asked.bundle.read_bytes()), artifact)
    keys, demands, material = _demanded(asked)
    now = datetime.now(timezone.utc)
    signers = Sigstore(keys, demands.to_json(), material, now) if demands.roots else keys
    who = signers.signer(signature).who
    if not any(each.digests.get("sha256") == artifact.digest for each in signature.read().claims):
        raise Malformed(f"the signature is not about sha256:{artifact.digest}")
    return who


def read(bundle: Bundle, artifact: Artifact) -> Signature:
    """The signature in a bundle, of a statement or of the artifact itself.  Raises `Malformed`, `NotHere`."""
    content, material = bundle.content, bundle.material

    def of(signature: bytes, signed: bytes, payload: bytes | None) -> Signature:
        return Signature(
            signature, signed,
            read=lambda: Said(_claims(payload, signed)),
            vouchers=lambda: Vouchers(material.certificates, bundle.entries, bundle.timestamps),
            payload=payload, hint=material.hint or "", has_certificate=material.hint is None,
        )  # fmt: skip

    if isinstance(content, MessageSignature):
        if artifact.content is None:
            raise NotHere("a message's signature: got its digest; expected its file, as what was signed is read")
        made = _HASHES.get(content.algorithm)
        if made is None or made(artifact.content).digest() != content.digest:
            raise Malformed("messageDigest: got another digest than the artifact's")
        return of(content.signature, artifact.content, None)
    if content.payload_type != statement.PAYLOAD_TYPE:
        raise Malformed(f"payloadType: got {ascii(content.payload_type)[:80]}; expected {statement.PAYLOAD_TYPE}")
    return of(content.signatures[0], dsse.pae(content.payload_type, content.payload), content.payload)


def _claims(payload: bytes | None, signed: bytes) -> tuple[Claim, ...]:
    """What the signature is about: a statement's subjects, whatever is said of them; else what was signed."""
    if payload is None:
        return (Claim({"sha256": sha256(signed).hexdigest()}, {}),)
    return tuple(Claim(each.digests, each.annotations) for each in statement.parse(payload).subjects)


def _artifact(named: str) -> Artifact:
    """A file if there is one of that name, else what looks like a digest."""
    path, digest = pathlib.Path(named), _DIGEST.match(named)
    if digest and not path.exists():
        return Artifact(digest.group(1), None)
    content = path.read_bytes()
    return Artifact(sha256(content).hexdigest(), content)


def _demanded(asked: Namespace) -> tuple[Keys, SigstoreDemands, dict[str, bytes]]:
    """Whose signature counts and what must vouch for it.  Raises `NotHere`, `Malformed`, OSError."""
    by_identity = (asked.certificate_identity, asked.certificate_oidc_issuer)
    if (asked.key is None) == (by_identity == (None, None)) or (asked.key is None and None in by_identity):
        raise NotHere("expected either --key, or --certificate-identity and --certificate-oidc-issuer")
    material: dict[str, bytes] = {}
    roots: tuple[TrustedRoot, ...] = ()
    if asked.trusted_root is not None:
        found = trustedroot_document.read("trusted root", asked.trusted_root.read_bytes(), "trusted root")
        if found.root is None:
            raise Malformed("; ".join(str(each) for each in found.problems if each.fatal))
        roots, material = (found.root,), dict(found.material)
    if asked.key is not None:
        keys = Keys([publickeys.load(der) for der in pem.public_keys(asked.key.read_bytes())])
        return keys, SigstoreDemands(roots, (), Demands(logs=0, certificate_logs=0)), material
    if not roots:
        raise NotHere("expected --trusted-root: none is fetched")
    subject, issuer = (Pattern(EXACT, each) for each in by_identity)
    return Keys([]), SigstoreDemands(roots, (SignerIdentity(issuer, subject),), Demands()), material


class _Parser(ArgumentParser):
    """Ends with 1 as everything does here."""

    def error(self, message: str) -> NoReturn:
        """See `ArgumentParser.error`."""
        raise NotHere(message)


def _parser() -> ArgumentParser:
    parser = _Parser(prog="sigstore_client", description=__doc__, allow_abbrev=False)
    command = parser.add_subparsers(required=True, metavar="verify-bundle").add_parser("verify-bundle")
    command.add_argument("--staging", action="store_true")
    command.add_argument("--bundle", type=pathlib.Path, required=True)
    command.add_argument("--certificate-identity")
    command.add_argument("--certificate-oidc-issuer")
    command.add_argument("--key", type=pathlib.Path)
    command.add_argument("--trusted-root", type=pathlib.Path)
    command.add_argument("artifact", metavar="FILE_OR_DIGEST")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
