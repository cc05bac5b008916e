"""Calls the program as containerd calls its verifiers.

containerd's contract: docs/contract.md.
"""

import json
import os
import signal
from contextlib import suppress
from typing import NamedTuple

import anyio
import anyio.abc

from agent.model.request import STDIN_MEDIA_TYPE

SECONDS = 10.0
"""What containerd gives a verifier."""

MOST_OUTPUT = 32 * 1024
"""What containerd reads of one, in bytes."""

_MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
_SIZE = 512
_CHUNK = 4096


class Said(NamedTuple):
    """How it ended; `line` is what it printed.  `code` is negative for one that was killed, by us for its time too."""

    code: int
    line: str


async def asked(program: str, name: str, digest: str) -> Said:
    """Have `program` judge an image.  Raises `OSError` if it can't be started."""
    command = [program, "-name", name, "-digest", digest, "-stdin-media-type", STDIN_MEDIA_TYPE]
    descriptor = json.dumps({"mediaType": _MEDIA_TYPE, "digest": digest, "size": _SIZE}).encode() + b"\n"
    with open(os.devnull, "wb") as nowhere:
        process = await anyio.open_process(command, stderr=nowhere, env={}, start_new_session=True)
    said = b""
    try:
        with anyio.move_on_after(SECONDS):
            said = await _talked(process, descriptor)
            await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        with anyio.CancelScope(shield=True):
            await process.aclose()
    code = process.returncode if process.returncode is not None else -signal.SIGKILL
    return Said(code, said.decode("utf-8", "replace").strip())


async def _talked(process: anyio.abc.Process, descriptor: bytes) -> bytes:
    """Tell it, and hear it out; what it says beyond `MOST_OUTPUT` is not read."""
    said = b""
    if process.stdin is not None:
        with suppress(anyio.BrokenResourceError):  # it need not read what it is told
            await process.stdin.send(descriptor)
        await process.stdin.aclose()
    if process.stdout is not None:
        with suppress(anyio.EndOfStream):
            while len(said) < MOST_OUTPUT:
                said += await process.stdout.receive(_CHUNK)
        await process.stdout.aclose()
    return said
