"""The demonstration on a real containerd, with images signed there and then by the real `notation` and `cosign`."""

import pathlib

from tests.demo.cases import CASES, COSIGN_STRANGER, COSIGNED, SIGNED, STRANGER, TAMPERED, TRANSPLANTED, Case
from tests.demo.configuration import write
from tests.demo.summary import Line, heading
from tests.frozen.program import Program
from tests.testbed.cosign import Cosign
from tests.testbed.node import REGISTRY, Node
from tests.testbed.signatures import Signer, tamper, transplant
from tests.testbed.tools import Tools


def demonstrate(tools: Tools, lines: list[Line]) -> None:
    """Add a line for each image and each door: CRI (the kubelet's), `ctr`, and `nodeseal verify`."""
    heading("Tools")
    for version in tools.versions:
        print(f"  {version}")
    with Node(tools) as node:
        heading("Seven images, signers whom the node trusts, and some whom nobody trusts")
        trusted, key = prepare(node)
        program = Program(node.root)
        write(node.work / "config", trusted.certificate, key.public.read_bytes())
        program.apply(node.work / "config")
        node.install_verifier(program.path)
        for case in CASES:
            print(f"  {case.repository:20} {case.story}")
        heading("Pulled through the CRI, as the kubelet does; then with ctr: what the client is told")
        for case in CASES:
            pulled = node.cri_pull(image_of(case))
            _add(lines, Line("CRI PullImage", case, pulled.ok, pulled.error))
            if pulled.ok:
                node.images.remove(image_of(case))
        for case in CASES:
            pulled = node.ctr_pull(image_of(case))
            _add(lines, Line("ctr images pull", case, pulled.ok, pulled.error))
        heading("nodeseal verify --explain, as a person sees it")
        for case in CASES:
            explain(node, program.path, case, lines)


def prepare(node: Node) -> tuple[Signer, Cosign]:
    """Push and sign the images; returns the signers that are to be trusted."""
    trusted, stranger = Signer(node, "build.example.com"), Signer(node, "stranger.example.net")
    digests = {case: node.push_image(case.repository) for case in CASES}
    for case in (SIGNED, TAMPERED):
        trusted.sign(case.repository, digests[case])
    tamper(node, TAMPERED.repository, digests[TAMPERED])
    stranger.sign(STRANGER.repository, digests[STRANGER])
    transplant(node, (SIGNED.repository, digests[SIGNED]), (TRANSPLANTED.repository, digests[TRANSPLANTED]))
    key = Cosign.on(node, "cosign")
    for case, signer in ((COSIGNED, key), (COSIGN_STRANGER, Cosign.on(node, "other"))):
        signer.sign(f"{REGISTRY}/{case.repository}@{digests[case]}")
    return trusted, key


def image_of(case: Case) -> str:
    """The image's name on the node's registry."""
    return f"{REGISTRY}/{case.repository}:1"


def explain(node: Node, program: pathlib.Path, case: Case, lines: list[Line]) -> None:
    """Show a person's view, and take its last words as the reason."""
    done = node.run([str(program), "verify", "--explain", "--root", str(node.root), image_of(case)])
    print(f"\n$ nodeseal verify --explain {image_of(case)}")
    print("\n".join(f"    {line}" for line in (done.out + done.err).splitlines()))
    said = [line for line in done.out.splitlines() if line.startswith(("allow ", "deny ", "cannot tell "))]
    _add(lines, Line("nodeseal verify", case, done.code == 0, said[-1] if said and done.code else ""))


def _add(lines: list[Line], line: Line) -> None:
    line.show()
    lines.append(line)
