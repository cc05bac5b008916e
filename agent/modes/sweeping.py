"""Judges the images that were on the node before anything was verified: told in the log, none is removed."""

from collections.abc import Mapping

import anyio

from agent.adapters.cri import Cri
from agent.adapters.unary import RpcError
from agent.modes.ahead import Ahead, Why
from agent.modes.proofs import Proofs
from agent.modes.warm import WarmDoor
from agent.modes.warmstate import Declined
from agent.ports import Log

_LOOK = 0.2
_AGAIN = 5.0


async def sweep(proofs: Proofs, door: WarmDoor, ahead: Ahead, log: Log) -> Mapping[str, int]:
    """What becomes of the images that are present, once there is a configuration to judge them by.

    Images without a digest of a repository came by an import, and can't be judged: they are `unnamed`.
    """
    while not await _has_configuration(door):
        await anyio.sleep(_LOOK)
    while True:
        try:
            images = await Cri(proofs.socket).images()
            break
        except RpcError as error:
            log.warning("images can't be listed", reason=error.message)
            await anyio.sleep(_AGAIN)
    names = list(dict.fromkeys(name for image in images for name in image.digests))
    before = ahead.present.total()
    queued = ahead.queue(Why.PRESENT, names)
    while ahead.present.total() - before < queued:
        await anyio.sleep(_LOOK)
    found = dict(ahead.present)
    unnamed = sum(not image.digests for image in images)
    return {**found, **({"unnamed": unnamed} if unnamed else {})}


async def _has_configuration(door: WarmDoor) -> bool:
    try:
        return bool((await door.state()).generation)
    except Declined:
        return False
