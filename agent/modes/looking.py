"""What the daemon reads of containerd's configuration: why a canary was not refused, what to watch, whom to call.

A pod sees of its host what is mounted in it.  What it can't see is not known, which is no error; a version that no
program tells is asked of the runtime.
"""

import os

import anyio

from agent.adapters import bypass, containerd
from agent.adapters.containerd import Asked
from agent.adapters.cri import Cri
from agent.adapters.unary import RpcError
from agent.errors import NodesealError
from agent.modes import proving
from agent.modes.proofs import Looked, unread
from agent.wiring import bindir, planning
from agent.wiring.known import known, watched
from agent.wiring.planning import Node


def look(root: str, cri_socket: str = "") -> Looked:
    """Look at the host under `root`; `cri_socket` is empty for the first of the known ones that is there.

    A socket elsewhere is of this very host.  Runs containerd's program, where it is, for its version and configuration.
    Where none of it is seen, what an installation has left stands for it.
    """
    socket = cri_socket or proving.cri_socket(root)
    below = os.path.relpath(os.path.abspath(socket), os.path.abspath(root))
    host, path = ("/", os.path.abspath(socket)) if below.startswith("..") else (root, f"/{below}")
    looked = _seen(root, socket, Asked(host, socket=path))
    left = bypass.read(root) if looked.known.triggers is None else ()
    return looked._replace(known=looked.known._replace(triggers=left)) if left else looked


def _seen(root: str, socket: str, asked: Asked) -> Looked:
    """What is seen of the host."""
    try:
        told = containerd.facts(asked)
        if told.facts.version is None:
            told = containerd.facts(asked._replace(version=anyio.run(_version, socket)))
        node = planning.node(told.facts)
    except (NodesealError, OSError):
        return unread(root)
    files = tuple(os.path.join(asked.host, each.lstrip("/")) for each in watched(node))
    return Looked(known(node, whole=False), files, asked.host, _entry(node))


def _entry(node: Node) -> str:
    """What containerd calls us by, wherever that leads; empty if it is not seen."""
    folder = node.facts.folder
    own = bindir.ours(bindir.judge(folder, -1)) if folder else None
    return f"{folder.path}/{own.entry.name}" if folder and own else ""


async def _version(socket: str) -> str:
    try:
        return (await Cri(socket).version()).version
    except RpcError:
        return ""
