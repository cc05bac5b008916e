"""`nodeseal cache`: what is remembered of images on this node, and how to have it forgotten.

What is forgotten is asked for again at the next pull.  Break-glass, lists and the configuration are no memory: nothing
here touches them.
"""

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple, TextIO

from agent.adapters import answers, files, revocation_cache, verdicts
from agent.adapters.nodestate import moment
from agent.adapters.verdicts import Entry, VerdictCatalogue
from agent.errors import Exit, HostError
from agent.model.answer import printable
from agent.model.reference import Reference

SCHEMA_VERSION = "1"
"""Version of what `--format json` prints."""

_EXITS = "exit codes: 0 ok, 2 usage, 5 host operation failed, 70 bug"
_FOLDERS = {
    "answers": answers.FOLDER,
    "verdicts": verdicts.FOLDER,
    "doubts": verdicts.DOUBTS,  # not before what is in doubt
    "revocation": revocation_cache.CACHE,
}


class Size(NamedTuple):
    """How many files of one kind there are, and their bytes."""

    files: int
    bytes: int


def add_parsers(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `cache` and its commands; each sets `handler(options, environment, stdout, stderr) -> Exit`."""
    parser = subparsers.add_parser(
        "cache",
        help="show what is remembered of images, or have it forgotten",
        description="Show what is remembered of images on this node, or have it forgotten: then it is asked for again.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    one = commands.add_parser(
        "stats",
        help="count what is remembered",
        description="Count what is remembered, by kind and by what was said of images.",
        epilog=_EXITS,
    )
    _add_format(one)
    one.set_defaults(handler=stats)
    one = commands.add_parser(
        "list",
        help="list the images that are remembered",
        description="List the images that are remembered: what was said of each, when, and until when it is said "
        "again without asking.",
        epilog=_EXITS,
    )
    _add_format(one)
    one.set_defaults(handler=show)
    one = commands.add_parser(
        "forget",
        help="forget what was said of an image",
        description="Forget what was said of an image, so that the next pull asks again: after it was signed, for "
        "instance. That it was verified before is forgotten too.",
        epilog=_EXITS,
    )
    one.add_argument("image", metavar="IMAGE", help="by digest; without one, all images of the repository")
    _add_root(one)
    one.set_defaults(handler=forget)
    one = commands.add_parser(
        "clear",
        help="forget everything",
        description="Forget everything that is remembered of images and of revocation.",
        epilog=_EXITS,
    )
    _add_root(one)
    one.set_defaults(handler=clear)


def stats(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Count.  Raises `HostError`."""
    sizes = figures(options.root)
    now = moment().wall
    said = Counter(_state(entry, now) for entry in _entries(options.root))
    if options.format == "json":
        value = {
            "schemaVersion": SCHEMA_VERSION,
            "sizes": {kind: size._asdict() for kind, size in sizes.items()},
            "images": dict(sorted(said.items())),
        }
        stdout.write(json.dumps(value, indent=2) + "\n")
        return Exit.ALLOW
    for kind, size in sizes.items():
        stdout.write(f"{kind:11} {size.files} file(s), {size.bytes} bytes\n")
    for state, number in sorted(said.items()):
        stdout.write(f"images      {number} {state}\n")
    return Exit.ALLOW


def figures(root: str) -> dict[str, Size]:
    """How much is remembered, by kind.  Raises `HostError`."""
    return {kind: _size(os.path.join(root, folder)) for kind, folder in _FOLDERS.items()}


def show(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """List the images.  Raises `HostError`."""
    now, entries = moment().wall, sorted(_entries(options.root))
    if options.format == "json":
        value = {"schemaVersion": SCHEMA_VERSION, "images": [_as_json(entry, now) for entry in entries]}
        stdout.write(json.dumps(value, indent=2) + "\n")
        return Exit.ALLOW
    if not entries:
        stdout.write("nothing is remembered\n")
    for entry in entries:
        stdout.write(f"{printable(entry.image)}\n    {printable(_said(entry, now))}\n")
    return Exit.ALLOW


def forget(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Forget one image.  Raises `UsageError`, `HostError`."""
    reference = Reference.parse_short(options.image)
    image = str(reference.repository) + (f"@{reference.digest}" if reference.digest else "")
    try:
        forgotten = VerdictCatalogue(options.root).forget(image)
        answers.clear(options.root)  # which of them is this image's is not worth knowing: they are made again
    except OSError as error:
        raise _refused(options.root, error) from error
    if not forgotten:
        stdout.write(f"nothing was remembered of {printable(image)}\n")
        if reference.digest is None:
            stdout.write("next step: nodeseal cache list shows what is\n")
        return Exit.ALLOW
    stdout.write(f"forgotten: {printable(image)}, {forgotten} verdict(s); the next pull asks again\n")
    return Exit.ALLOW


def clear(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Forget everything.  Raises `HostError`."""
    number = 0
    for folder in _FOLDERS.values():
        path = os.path.join(options.root, folder)
        number += _size(path).files
        _remove(path)
    _remove(os.path.join(options.root, verdicts.DOUBTS))  # there is nothing left to doubt
    stdout.write(f"forgotten: {number} file(s)\n")
    return Exit.ALLOW


def _remove(folder: str) -> None:
    try:
        files.remove_tree(folder)
    except OSError as error:
        raise _refused(folder, error) from error


def _entries(root: str) -> Iterable[Entry]:
    try:
        yield from VerdictCatalogue(root).entries()
    except OSError as error:
        raise _refused(root, error) from error


def _size(folder: str) -> Size:
    """Raises `HostError`."""
    number = total = 0
    try:
        with os.scandir(folder) as found:
            for entry in found:
                number += 1
                total += entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return Size(number, total)
    except OSError as error:
        raise _refused(folder, error) from error
    return Size(number, total)


def _state(entry: Entry, now: datetime) -> str:
    """What is said of an image at the next pull."""
    last = entry.memory.last
    if last is not None and last.is_fresh(now):
        return str(last.verdict.decision.value)
    return "verified before" if entry.memory.verified and entry.memory.verified.counts(now) else "asked again"


def _said(entry: Entry, now: datetime) -> str:
    last, verified = entry.memory.last, entry.memory.verified
    parts = []
    if last is not None:
        until = f"until {last.fresh_until:%Y-%m-%dT%H:%M:%SZ}" if last.is_fresh(now) else "asked again at the next pull"
        parts.append(f"{last.verdict.decision.value} {last.verdict.code.value}, {until}: {last.verdict.message}")
    if verified is not None:
        parts.append(f"verified {verified.verified_at:%Y-%m-%dT%H:%M:%SZ}")
    return "; ".join(parts)


def _as_json(entry: Entry, now: datetime) -> dict[str, object]:
    last, verified = entry.memory.last, entry.memory.verified
    return {
        "image": entry.image,
        "ground": entry.ground,
        "next": _state(entry, now),
        "decision": last.verdict.decision.value if last else None,
        "code": last.verdict.code.value if last else None,
        "message": last.verdict.message if last else None,
        "at": last.at.isoformat() if last else None,
        "freshUntil": last.fresh_until.isoformat() if last else None,
        "repeats": last.repeats if last else None,
        "verifiedAt": verified.verified_at.isoformat() if verified else None,
        "usableUntil": verified.usable_until.isoformat() if verified and verified.usable_until else None,
    }


def _refused(where: str, error: OSError) -> HostError:
    return HostError(
        f"{where}: got {error.strerror or error}; expected to read and change what is remembered there",
        hint="run as the user that owns the folder, usually root, or name another --root",
    )


def _add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    _add_root(parser)


def _add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root", metavar="DIR", default="/", help="root that the node's cache is under (default: %(default)s)"
    )
