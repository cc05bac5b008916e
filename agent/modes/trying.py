"""Tries a program of the host as containerd would run it, before anything leads to it.

What it is asked needs no registry: a canary, and the image of pods' sandboxes, which is built in.
"""

import json
import secrets

from agent.adapters.host import Done
from agent.errors import Exit, HostError
from agent.model.request import STDIN_MEDIA_TYPE
from agent.modes.world import World
from agent.rules.lists import BUILT_IN
from agent.wiring import proof

_PAUSE = "registry.k8s.io/pause:3.10.2"
_PAUSE_DIGEST = BUILT_IN[0].digests[-1]
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_SIZE = 512


def tried(world: World, program: str, *, whole: bool) -> str:
    """Have a program refuse the canary and let a sandbox image pass; what to tell of that.  Raises `HostError`.

    The latter only if it is a `whole` root: without the kernel's files a program does not know where it is itself.
    """
    nonce = secrets.token_hex(16)
    canary = proof.Canary(5000, nonce)
    done = _called(world, program, canary.image, canary.digest)
    line = done.stdout.decode("utf-8", "replace").strip()
    if done.code != Exit.DENY or not line.startswith("deny NS-1001 ") or nonce not in line:
        raise HostError(
            f"{program}: got exit code {done.code} for the canary: {line[:200] or done.said}; expected it to refuse it"
        )
    if not whole:
        return (
            "the program refuses the canary; the rest was not tried, because nothing is mounted at /proc of this root"
        )
    done = _called(world, program, _PAUSE, _PAUSE_DIGEST)
    if done.code != 0:
        line = done.stdout.decode("utf-8", "replace").strip()
        raise HostError(
            f"{program}: got exit code {done.code} for {_PAUSE}, which every pod needs: {line[:200] or done.said}; "
            "expected it to let it pass",
            hint="exempt it in the configuration, or let the floor allow that",
        )
    return "the program refuses the canary, and lets a sandbox image pass"


def _called(world: World, program: str, name: str, digest: str) -> Done:
    descriptor = json.dumps({"mediaType": _MANIFEST_TYPE, "digest": digest, "size": _SIZE}).encode() + b"\n"
    words = ("-name", name, "-digest", digest, "-stdin-media-type", STDIN_MEDIA_TYPE)
    return world.call(program, words, descriptor)
