"""The demonstration without a real containerd: the program is called exactly as containerd would call it.

The registry is the tests' own, in this process, and so is the signer.
"""

import base64
import json
import pathlib
import tempfile

from agent.model.descriptor import Descriptor
from tests.demo.cases import CASES, COSIGN_STRANGER, COSIGNED, SIGNED, STRANGER, TAMPERED, TRANSPLANTED, Case
from tests.demo.configuration import write
from tests.demo.summary import Line, heading
from tests.frozen.program import Program
from tests.signing import Signer, attach_signature, b64url, envelope, usual_signer
from tests.signing_cosign import bundle, bundle_manifest, public_pem, statement
from tests.simulators.registry import RegistrySimulator


def demonstrate(lines: list[Line]) -> None:
    """Add two lines for each image: containerd's call, and a person's."""
    trusted, stranger = usual_signer(), usual_signer("stranger.example.net", number=1)
    with RegistrySimulator() as registry, tempfile.TemporaryDirectory() as folder:
        subjects = prepare(registry, trusted, stranger)
        program = Program(pathlib.Path(folder) / "host")
        program.apply(write(pathlib.Path(folder) / "config", trusted.root_pem, public_pem()))
        heading("Called as containerd calls it: what it would tell its client")
        for case, subject in subjects.items():
            name = f"{registry.host}/{case.repository}:1"
            done = program.pull(name, str(subject.digest), subject.size)
            _add(lines, Line("as containerd", case, done.code == 0, done.out.strip() if done.code else ""))
        heading("nodeseal verify --explain, as a person sees it")
        for case in subjects:
            name = f"{registry.host}/{case.repository}:1"
            done = program.person("verify", "--explain", "--root", str(program.root), name)
            print(f"\n$ nodeseal verify --explain {name}")
            print("\n".join(f"    {line}" for line in (done.out + done.err).splitlines()))
            said = [line for line in done.out.splitlines() if line.startswith("deny ")]
            _add(lines, Line("nodeseal verify", case, done.code == 0, said[-1] if said else ""))


def prepare(registry: RegistrySimulator, trusted: Signer, stranger: Signer) -> dict[Case, Descriptor]:
    """Push and sign the images."""
    subjects = {case: registry.push_image(case.repository, "1", salt=case.repository) for case in CASES}
    good = envelope(trusted, subjects[SIGNED])
    attach_signature(registry, SIGNED.repository, subjects[SIGNED], good)
    attach_signature(registry, TRANSPLANTED.repository, subjects[TRANSPLANTED], good)
    altered = tampered(envelope(trusted, subjects[TAMPERED]))
    attach_signature(registry, TAMPERED.repository, subjects[TAMPERED], altered)
    attach_signature(registry, STRANGER.repository, subjects[STRANGER], envelope(stranger, subjects[STRANGER]))
    for number, case in enumerate((COSIGNED, COSIGN_STRANGER)):
        signed = bundle(statement(subjects[case]), number=number)
        registry.push_blob(case.repository, signed.content)
        registry.push_manifest(case.repository, bundle_manifest(signed, subjects[case]))
    return subjects


def tampered(good: bytes) -> bytes:
    """An envelope with one bit of its signature turned over."""
    value = json.loads(good)
    raw = bytearray(base64.urlsafe_b64decode(value["signature"] + "=="))
    raw[len(raw) // 2] ^= 1
    return json.dumps(value | {"signature": b64url(bytes(raw))}).encode()


def _add(lines: list[Line], line: Line) -> None:
    line.show()
    lines.append(line)
