"""`nodeseal cache`: what is remembered of images and registries on this node, and how to have it forgotten.

What is forgotten is asked for again at the next pull.  Break-glass, lists and the configuration are no memory: nothing
here touches them.
"""

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple, TextIO

from agent.adapters import (
    answers,
    content_store,
    files,
    listing_store,
    misses,
    revocation_cache,
    throttling,
    token_store,
    verdicts,
)
from agent.adapters.content_store import ContentStore
from agent.adapters.listing_store import ListingStore
from agent.adapters.nodestate import moment
from agent.adapters.throttling import ThrottledOrigins
from agent.adapters.verdicts import Entry, VerdictCatalogue
from agent.errors import Exit, HostError, Malformed
from agent.model.answer import printable
from agent.model.reference import Reference, Repository
from agent.modes import place, preparing
from agent.registry.urls import Origin

SCHEMA_VERSION = "1"
"""Version of what `--format json` prints."""

_EXITS = "exit codes: 0 ok, 2 usage, 5 host operation failed, 70 bug"
_FOLDERS = {
    "answers": answers.FOLDER,
    "verdicts": verdicts.FOLDER,
    "doubts": verdicts.DOUBTS,  # not before what is in doubt
    "revocation": revocation_cache.CACHE,
    "content": content_store.KIND.folder,
    "listings": listing_store.KIND.folder,
    "tokens": token_store.KIND.folder,
    "throttled": throttling.KIND.folder,
}


class Size(NamedTuple):
    """How many files of one kind there are, their bytes, and when the oldest and the newest were written."""

    files: int = 0
    bytes: int = 0
    oldest: float | None = None
    newest: float | None = None

    def as_json(self, now: float) -> dict[str, int | None]:
        """For programs: ages in seconds, none where there is no file."""
        return {
            "files": self.files,
            "bytes": self.bytes,
            "oldestSeconds": None if self.oldest is None else round(now - self.oldest),
            "newestSeconds": None if self.newest is None else round(now - self.newest),
        }

    def as_text(self, now: float) -> str:
        """For people."""
        text = f"{self.files} file(s), {self.bytes} bytes"
        if self.oldest is None or self.newest is None:
            return text
        return f"{text}, oldest {_age(now - self.oldest)}, newest {_age(now - self.newest)}"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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
        description="Count what is remembered, by kind and by what was said of images, and what was there and not "
        "believed, by reason.",
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
        "instance. That it was verified before is forgotten too, and what is kept of its repository: lists, content, "
        "and that the registry asked to be left alone.",
        epilog=_EXITS,
    )
    one.add_argument("image", metavar="IMAGE", help="by digest; without one, all images of the repository")
    _add_root(one)
    one.set_defaults(handler=forget)
    preparing.add_parser(commands)
    one = commands.add_parser(
        "clear",
        help="forget everything",
        description="Forget everything that is remembered of images, of revocation and of registries.",
        epilog=_EXITS,
    )
    _add_root(one)
    one.set_defaults(handler=clear)


def stats(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Count.  Raises `HostError`."""
    sizes = figures(options.root)
    now = moment().wall
    said = Counter(_state(entry, now) for entry in _entries(options.root))
    missed = _missed(options.root)
    if options.format == "json":
        value = {
            "schemaVersion": SCHEMA_VERSION,
            "sizes": {kind: size.as_json(now.timestamp()) for kind, size in sizes.items()},
            "images": dict(sorted(said.items())),
            "misses": missed,
        }
        stdout.write(json.dumps(value, indent=2) + "\n")
        return Exit.ALLOW
    for kind, size in sizes.items():
        stdout.write(f"{kind:11} {size.as_text(now.timestamp())}\n")
    for state, number in sorted(said.items()):
        stdout.write(f"images      {number} {state}\n")
    for kind, reasons in missed.items():
        told = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
        stdout.write(f"not believed: {kind}: {told}\n")
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
        others = _forget_registry(options.root, reference.repository)
    except OSError as error:
        raise _refused(options.root, error) from error
    if not forgotten and not others:
        stdout.write(f"nothing was remembered of {printable(image)}\n")
        if reference.digest is None:
            stdout.write("next step: nodeseal cache list shows what is\n")
        return Exit.ALLOW
    stdout.write(f"forgotten: {printable(image)}, {forgotten} verdict(s); the next pull asks again\n")
    return Exit.ALLOW


def _forget_registry(root: str, repository: Repository) -> int:
    """Forget what a registry said of a repository; how many entries that were.  Raises `OSError`."""
    number = ContentStore(root).forget(repository) + ListingStore(root).forget(repository)
    with suppress(Malformed):  # a host that is none was never asked
        for use_http in (False, True):
            number += ThrottledOrigins(root).forget(Origin.of(repository, use_http=use_http), repository.path)
    return number


def clear(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Forget everything.  Raises `HostError`."""
    number = 0
    for folder in _FOLDERS.values():
        path = os.path.join(options.root, folder)
        number += _size(path).files
        _remove(path)
    _remove(os.path.join(options.root, verdicts.DOUBTS))  # there is nothing left to doubt
    try:
        misses.clear(options.root)
    except OSError as error:
        raise _refused(options.root, error) from error
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


def _missed(root: str) -> dict[str, dict[str, int]]:
    try:
        return misses.counted(root)
    except OSError as error:
        raise _refused(root, error) from error


def _size(folder: str) -> Size:
    """Raises `HostError`."""
    size = Size()
    try:
        with os.scandir(folder) as found:
            for entry in found:
                try:
                    seen = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # replaced meanwhile
                size = Size(
                    size.files + 1,
                    size.bytes + seen.st_size,
                    seen.st_mtime if size.oldest is None else min(size.oldest, seen.st_mtime),
                    seen.st_mtime if size.newest is None else max(size.newest, seen.st_mtime),
                )
    except FileNotFoundError:
        return size
    except OSError as error:
        raise _refused(folder, error) from error
    return size


def _age(seconds: float) -> str:
    """In the largest unit that there is one of."""
    for unit, name in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


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
    named = error.filename if isinstance(error.filename, str) and os.path.isabs(error.filename) else where
    return HostError(
        f"{named}: got {error.strerror or error}; expected to read and change what is remembered there",
        hint=files.next_step(error),
    )


def _add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    _add_root(parser)


def _add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root", metavar="DIR", default=place.USUAL, help="root that the node's cache is under (default: %(default)s)"
    )
