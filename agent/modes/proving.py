"""Proves by behaviour that this node's containerd asks us: one pull through the CRI that must be refused.

And that we do not refuse everything: the program, called as containerd calls it, lets the image pass that every pod
needs.
"""

import os
import socket
from functools import partial
from typing import NamedTuple

import anyio

from agent.adapters import child
from agent.adapters.cri import SOCKETS, Cri
from agent.adapters.unary import RpcError
from agent.adapters.witness import Witness, witness
from agent.rules.lists import BUILT_IN
from agent.wiring import proof
from agent.wiring.proof import NOTHING_KNOWN, Known, Proof


class Sandbox(NamedTuple):
    """An image that must be let in, because every pod needs it: its name and what that resolves to."""

    name: str
    digest: str


PAUSE = Sandbox("registry.k8s.io/pause:3.10.2", BUILT_IN[0].digests[-1])
"""Exempt by what is built in."""


def cri_socket(root: str) -> str:
    """The socket of the runtime under `root`: the first of the known places where there is one, else the last."""
    places = [os.path.join(root, place) for place in SOCKETS]
    return next((place for place in places if os.path.exists(place)), places[-1])


async def prove(
    cri_socket: str,
    known: Known = NOTHING_KNOWN,
    *,
    program: str = "",
    sandbox: Sandbox = PAUSE,
    port: int = 0,
    listening: socket.socket | None = None,
) -> Proof:
    """Pull a canary; then have `program` judge `sandbox`, unless there is none.

    `known` is what was read of the configuration; `port` is the witness's, 0 for any free one; `listening` is a socket
    for it, of another network.  Takes a twentieth of a second, and half a minute at most.  Leaves nothing behind but
    the program's line in the spool.
    """
    found = await _canary(Cri(cri_socket), known, port, listening)
    if not found.is_enforcing or not program:
        return found
    try:
        said = await child.asked(program, sandbox.name, sandbox.digest)
    except OSError as error:
        return proof.refused_sandbox(sandbox.name, f"{program}: {error.strerror or type(error).__name__}")
    return found if said.code == 0 else proof.refused_sandbox(sandbox.name, f"exit code {said.code}: {said.line}")


def prove_now(
    cri_socket: str, known: Known = NOTHING_KNOWN, *, program: str = "", sandbox: Sandbox = PAUSE, port: int = 0
) -> Proof:
    """`prove`, for whoever has no event loop."""
    return anyio.run(partial(prove, cri_socket, known, program=program, sandbox=sandbox, port=port))


async def _canary(cri: Cri, known: Known, port: int, listening: socket.socket | None) -> Proof:
    try:
        runtime = await cri.version()
    except RpcError as error:
        return proof.silent(error.message)
    refused = proof.unsupported(runtime.name, runtime.version)
    if refused:
        return refused
    try:
        async with witness(listening, port=port) as seen:
            return await _pulled(cri, seen, known)
    except OSError as error:
        return proof.silent(f"no registry of our own on 127.0.0.1: {error.strerror or type(error).__name__}")


async def _pulled(cri: Cri, seen: Witness, known: Known) -> Proof:
    """Nothing that the runtime does is raised: it would come out in a group."""
    try:
        pulled = await cri.pull(seen.canary.image)
    except RpcError as error:
        return proof.silent(error.message)
    return proof.judged(seen.canary, pulled, seen.witnessed(), known)
