"""`nodeseal cache prepare`: have images verified before anybody pulls them.

The daemon does it, behind all pulls; this hands it the list.
"""

import argparse
import json
from collections.abc import Mapping
from typing import TextIO

from agent.adapters import ipc
from agent.errors import Exit, HostError, UsageError
from agent.model.reference import Reference
from agent.modes import imagelist, place

_SECONDS = 10.0


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `prepare` to the commands of `cache`."""
    parser = commands.add_parser(
        "prepare",
        help="have images verified before they are pulled",
        description="Hand the daemon (nodeseal watch) images to be verified behind all pulls, two at a time: their "
        "pulls then find what was said. What came of each stands in the daemon's log.",
        epilog="exit codes: 0 ok, 2 usage, 5 host operation failed (no daemon, for instance), 70 bug",
    )
    parser.add_argument("images", metavar="IMAGE", nargs="*", help="image, by digest or by tag")
    parser.add_argument(
        "--file",
        metavar="FILE",
        help="images, one per line; empty lines and lines with # don't count; - is standard input",
    )
    parser.add_argument(
        "--root",
        metavar="DIR",
        default=place.USUAL,
        help="root that the daemon's socket is under (default: %(default)s)",
    )
    parser.set_defaults(handler=handle)


def handle(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Hand them over.  Raises `UsageError` for what names no image, `HostError` without a daemon."""
    images = [*options.images, *(name for _, name in (imagelist.named(options.file) if options.file else ()))]
    if not images:
        raise UsageError("got no image; expected some, or --file", hint="nodeseal cache prepare --help")
    for image in images:
        Reference.parse_short(image)
    body = "\n".join(images).encode()
    if len(body) > ipc.MAX_BODY:
        raise UsageError(f"got {len(body)} bytes of names; expected at most {ipc.MAX_BODY}", hint="hand over fewer")
    said = ipc.Client(options.root).ask(ipc.AHEAD, body, seconds=_SECONDS)
    if said is None:
        raise HostError("got no daemon on this node; expected one that verifies them", hint="start it: nodeseal watch")
    told = json.loads(said)
    stdout.write(f"{len(images)} image(s) handed over: {told['queued']} queued, {told['waiting']} waiting in all\n")
    return Exit.ALLOW
