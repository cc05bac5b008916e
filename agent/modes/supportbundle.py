"""`nodeseal support-bundle`: what somebody who helps needs to know of a node, in one file, without secrets.

Each part is made by itself (`agent.modes.supportparts`): one that fails, or takes too long, has its error in its place.
All of it is redacted in one place, here.  Asks the daemon alone, changes nothing but the file that it writes.
"""

import argparse
import gzip
import io
import json
import os
import tarfile
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TextIO, cast

from agent.adapters import files
from agent.adapters.nodestate import moment
from agent.errors import Exit, HostError, NodesealError
from agent.model.answer import printable
from agent.modes import place, redaction
from agent.modes.supportparts import PARTS, Asked, Part

MOST_BYTES = 4 << 20
"""Of one part; the ten of them, compressed, stay far below what can be sent by mail."""

SECONDS = 10.0
"""For one part; whatever hangs (a socket, a file system) keeps nobody longer."""

_STDOUT = "-"


class Made(NamedTuple):
    """A part as it goes into the file; `error` is empty if it was made."""

    part: Part
    content: bytes
    error: str


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `support-bundle` to the command line."""
    parser = subparsers.add_parser(
        "support-bundle",
        help="collect what somebody who helps needs to know, without secrets",
        description="Write one file (tar.gz, mode 0600) with what somebody who helps needs to know of this node: "
        "versions and components, status, what the doctor says, the configuration in force and the bootstrap document "
        "by an "
        "allow list, the last 1,000 answers, cache statistics, the list of this program's files, the end of logs. "
        "Credentials, tokens, keys and the environment are not read. Names of images and of the node are in it: "
        "look through it before you hand it on. A part that can't be made has its error in its place.",
        epilog="exit codes: 0 ok, 2 usage, 5 host operation failed, 70 bug; example: "
        "nodeseal support-bundle --output /tmp/nodeseal.tar.gz",
    )
    parser.add_argument(
        "--root", metavar="DIR", default=place.USUAL, help="root that the node's state is under (default: %(default)s)"
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        default="",
        help="file to write, which must not be there yet; - is standard output (default: "
        "nodeseal-support-TIME.tar.gz in this folder)",
    )
    parser.set_defaults(handler=handle)


def handle(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Collect, write, and say what is in it.  Raises `HostError`."""
    now = moment().wall
    name = f"nodeseal-support-{now:%Y%m%dT%H%M%SZ}"
    made = [_made(part, Asked(options.root), SECONDS) for part in PARTS]
    content = _archive(name, made, now)
    if options.output == _STDOUT:
        _to_stdout(stdout, content)
        stderr.write(_told("standard output", made, len(content)))
        return Exit.ALLOW
    path = os.path.abspath(options.output or f"{name}.tar.gz")
    _write(path, content)
    stdout.write(_told(path, made, len(content)))
    return Exit.ALLOW


def _made(part: Part, asked: Asked, seconds: float) -> Made:
    """One part, within its time.  What goes on beyond that ends with the process."""
    found: list[object] = []
    raised: list[BaseException] = []

    def make() -> None:
        try:
            found.append(_content(part, part.make(asked)))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the other parts are wanted all the same
            raised.append(error)

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    begun = time.monotonic()
    thread.join(seconds)
    if found:
        return Made(part, cast("bytes", found[0]), "")
    if raised:
        known = isinstance(raised[0], NodesealError)
        error = str(raised[0]) if known else f"unexpected {type(raised[0]).__name__}"  # whose text may hold anything
    else:
        error = f"not done after {time.monotonic() - begun:.0f} s"
    error = redaction.text(error)
    return Made(part, _content(part, {"error": error} if part.name.endswith(".json") else [f"error: {error}"]), error)


def _content(part: Part, value: object) -> bytes:
    """A part as bytes, redacted and bounded.  Raises `HostError` if it is too long to be cut."""
    if part.name.endswith(".json"):
        content = json.dumps(redaction.value(value), indent=1).encode() + b"\n"
        if len(content) > MOST_BYTES:
            raise HostError(f"got {len(content)} bytes; expected at most {MOST_BYTES}")
        return content
    return _lines([redaction.text(str(line)) for line in cast("Sequence[object]", value)])


def _lines(lines: Sequence[str]) -> bytes:
    """The last of these lines, as many as there is room for."""
    kept, size = len(lines), 0
    while kept and size + len(lines[kept - 1]) + 1 <= MOST_BYTES:
        kept -= 1
        size += len(lines[kept]) + 1
    note = [f"({kept} lines in front of these are left out)"] if kept else []
    return "".join(f"{line}\n" for line in (*note, *lines[kept:])).encode("ascii")


def _archive(name: str, made: Sequence[Made], now: datetime) -> bytes:
    raw = io.BytesIO()
    contents = "".join(f"{each.part.name}: {each.error or each.part.holds}\n" for each in made).encode("ascii")
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for file, content in [("CONTENTS.txt", contents), *((each.part.name, each.content) for each in made)]:
            header = tarfile.TarInfo(f"{name}/{file}")
            header.size, header.mode, header.mtime = len(content), 0o600, int(now.timestamp())
            archive.addfile(header, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=int(now.timestamp()))


def _write(path: str, content: bytes) -> None:
    """Raises `HostError`."""
    if os.path.lexists(path):
        raise HostError(f"{path}: is there already; expected a new file", hint="name another one: --output FILE")
    try:
        files.replace(path, content)
    except OSError as error:
        got = f"{path}: got {error.strerror or error}"
        raise HostError(
            f"{got}; expected to write the bundle there", hint="name another place: --output FILE"
        ) from error


def _to_stdout(stdout: TextIO, content: bytes) -> None:
    """Raises `HostError`: a terminal is no place for it."""
    if stdout.isatty():
        raise HostError("standard output is a terminal; expected a file or a pipe", hint="--output FILE")
    try:
        stdout.flush()
        stdout.buffer.write(content)
        stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise HostError(f"standard output: got {error.strerror}; expected room for {len(content)} bytes") from error


def _told(where: str, made: Sequence[Made], size: int) -> str:
    width = max(len(each.part.name) for each in made)
    lines = [f"wrote {where}, {size} bytes:"]
    lines += (
        f"  {each.part.name:{width}}  {each.part.holds}{f': error: {each.error}' if each.error else ''}"
        for each in made
    )
    lines.append("not in it: credentials, tokens, keys, the environment")
    lines.append("names of images and of the node are in it: look through it before you hand it on")
    return "".join(f"{printable(line)}\n" for line in lines)
