"""`nodeseal trust-root`: a person fetches the trusted root of a Sigstore instance, and looks at one.

Fetching is `agent.adapters.tufrepository`'s, which alone believes anything; here a file is replaced once all of that
went well, and the file that was there stays otherwise.  The daemon does the same for what its configuration names
(`agent.modes.keys`).
"""

import argparse
import errno
import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from hashlib import sha256
from typing import TYPE_CHECKING, TextIO
from urllib.parse import unquote

from agent.adapters import files, publicgood
from agent.adapters.http_proxy import ProxySettings
from agent.adapters.nodestate import NodeState, moment
from agent.adapters.rootnotes import MIRRORS
from agent.adapters.snapshots import STATE
from agent.config import trustroots
from agent.config.dialectschema import PUBLIC_GOOD
from agent.errors import Exit, HostError, Malformed, NodesealError, Unavailable, UsageError
from agent.model.answer import printable
from agent.modes import place
from agent.modes.asking import seconds_to_wait
from agent.registry.urls import Url
from agent.trust import trustedroot_document, trustedroot_summary
from agent.trust.trustedroot_summary import Member

if TYPE_CHECKING:
    from agent.adapters.tufmirror import Mirror

SCHEMA_VERSION = "1"
"""Version of what `--format json` prints."""

STDOUT = "-"
SECONDS = 30.0

_FILE = "file://"
_OWN_STATE = "nodeseal/tuf"
_PUBLIC_FILE = 0o644
_MOST_LINKS = 8
_UTC = "%Y-%m-%dT%H:%M:%SZ"
_KINDS = {
    trustedroot_summary.CERTIFICATE_AUTHORITIES: "certificate authorities",
    trustedroot_summary.CERTIFICATE_LOGS: "certificate logs",
    trustedroot_summary.TRANSPARENCY_LOGS: "transparency logs",
    trustedroot_summary.TIMESTAMP_AUTHORITIES: "timestamp authorities",
}
_MEANT = "name a trusted_root.json: nodeseal trust-root update fetches one, cosign trusted-root create writes one"
_ELSEWHERE = (
    "check name, network and proxy; where this machine is to reach no mirror, fetch the file on another one and bring "
    "it, or name a copy of the repository: --mirror file:///FOLDER --root FILE"
)
_EXITS = "exit codes: 0 ok, 2 usage, 5 host operation failed, 10 refused, 11 nobody answered, 70 bug"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `trust-root` and its commands to the command line."""
    parser = subparsers.add_parser(
        "trust-root",
        help="fetch or show the trusted root of a Sigstore instance",
        description="Fetch or show the trusted root of a Sigstore instance: the authorities and logs that vouch for "
        "signers without keys.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    one = commands.add_parser(
        "update",
        help="fetch trusted_root.json from a TUF repository",
        description="Fetch trusted_root.json from a TUF repository: Sigstore's public good instance unless another one "
        "is named. It is verified as The Update Framework says (signatures, versions, expiry, hashes) and read as a "
        "configuration is; only then is the file replaced, at once. Whatever goes wrong, the file that was there "
        "stays. Nothing on this node changes: put the file beside your configuration.",
        epilog=f"{_EXITS}; example: nodeseal trust-root update --out config/trusted_root.json && nodeseal config apply "
        "config",
    )
    one.add_argument(
        "--mirror",
        metavar="URL",
        default=PUBLIC_GOOD,
        help="TUF repository: https, http or file:///FOLDER; its targets are below targets/ (default: %(default)s)",
    )
    one.add_argument(
        "--root",
        metavar="FILE",
        dest="first_root",
        help="root.json that the repository is trusted by at first; that of the public good instance is built in",
    )
    one.add_argument(
        "--out", metavar="FILE", default=trustedroot_document.USUAL_NAME,
        help="file to replace; - is standard output (default: %(default)s)",
    )  # fmt: skip
    one.add_argument(
        "--state",
        metavar="DIR",
        help="folder that keeps what was seen of each mirror, so that nothing older is taken later (default: "
        f"/{MIRRORS} for root, else ~/.local/state/{_OWN_STATE})",
    )
    one.add_argument(
        "--ca-bundle",
        metavar="FILE",
        default="",
        help="CA certificates, PEM, that the mirror's TLS is verified against (default: those of this node)",
    )
    one.add_argument(
        "--timeout", type=seconds_to_wait, default=SECONDS, metavar="SECONDS",
        help="give up after this time (default: %(default)g)",
    )  # fmt: skip
    one.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    one.set_defaults(handler=update)
    one = commands.add_parser(
        "show",
        help="show what a trusted root says",
        description="Show the authorities and logs of a trusted root, when each counts, and from when on nothing new "
        "can count. Asks nobody.",
        epilog="exit codes: 0 ok, 2 usage, 5 host operation failed, 10 refused, 70 bug",
    )
    one.add_argument("file", metavar="FILE", help="trusted root; - is standard input")
    one.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    one.set_defaults(handler=show)


def update(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Fetch, and replace `options.out`.  Raises `UsageError`, `HostError`, `Malformed`, `Unavailable`."""
    out = options.out
    before = None if out == STDOUT else _replaceable(out)
    try:
        content = _fetched(options, environment)
        if out == STDOUT:
            stdout.write(content.decode())
        elif content != before:
            _replace(out, content)
    except NodesealError:
        if before is not None:
            stderr.write(f"nothing was changed: {printable(out)} is as it was\n")
        raise
    told = stderr if out == STDOUT else stdout
    changed = "unchanged" if content == before else "updated"
    name = trustedroot_document.USUAL_NAME if out == STDOUT else out
    _show(told, name, content, options.format, {"mirror": options.mirror, "result": changed})
    return Exit.ALLOW


def show(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Show `options.file` on `stdout`.  Raises `UsageError`, `HostError`, `Malformed`."""
    if options.file == STDOUT:
        content = sys.stdin.buffer.read(trustedroot_document.MAX_SIZE + 1)
    else:
        content = _read(options.file, trustedroot_document.MAX_SIZE, "a trusted root")
    _show(stdout, options.file, content, options.format, {})
    return Exit.ALLOW


def _fetched(options: argparse.Namespace, environment: Mapping[str, str]) -> bytes:
    """The trusted root.  Raises what `update` raises."""
    from agent.adapters import tufrepository

    is_public = options.mirror.rstrip("/") == PUBLIC_GOOD
    first_root = b""
    if options.first_root:
        first_root = _read(options.first_root, trustroots.MAX_ROOT, "root.json of a TUF repository")
        tufrepository.check_root(first_root, options.first_root)
    elif not is_public:
        raise UsageError(
            f"{printable(options.mirror)}: got no root.json for it; expected --root FILE",
            hint="ask whoever keeps the repository for it, over a way that you trust; without it anybody could be him",
        )
    mirror = _mirror(options, environment)
    try:
        folder = os.path.join(_state(options, environment), trustroots.source_of(mirror.where, first_root))
        return tufrepository.fetch(mirror, first_root=first_root or publicgood.first_root(), folder=folder)
    except Unavailable as error:
        raise Unavailable(error.message, cause=error.cause, hint=error.hint or _ELSEWHERE) from error
    finally:
        mirror.close()


def _mirror(options: argparse.Namespace, environment: Mapping[str, str]) -> "Mirror":
    """What `options.mirror` names.  Raises `UsageError`."""
    from agent.adapters.tufmirror import FolderMirror, HttpMirror

    given = options.mirror
    if given.startswith(_FILE):
        folder = unquote(given.removeprefix(_FILE))
        if not folder.startswith("/") or not os.path.isdir(folder):
            raise UsageError(f"--mirror: got {printable(given)}; expected file:/// and a folder that is there")
        return FolderMirror(folder)
    try:
        url = Url.parse(given, "--mirror")
        if url.query:
            raise Malformed("--mirror: got a URL with a query; expected none")
    except Malformed as error:
        raise UsageError(f"{error.message}, or file:/// and a folder") from None
    root = place.usual_root()
    host = NodeState(root).bootstrap().host
    return HttpMirror(
        url,
        proxies=ProxySettings.from_environment(host.variables(environment)),
        local=True,  # a person chooses it
        ca_bundle=options.ca_bundle or host.bundle(root),
        seconds=options.timeout,
    )


def _state(options: argparse.Namespace, environment: Mapping[str, str]) -> str:
    """The folder of what was seen.  Raises `HostError`."""
    if options.state:
        return str(options.state)
    if os.geteuid() == 0:
        root = place.usual_root()
        try:
            files.make_private_folder(os.path.join(root, STATE))
        except OSError as error:
            said = error.strerror or error
            raise HostError(f"{STATE}: got {said}; expected to keep there what was seen of mirrors") from None
        return os.path.join(root, MIRRORS)
    home = environment.get("HOME", "/")
    return os.path.join(environment.get("XDG_STATE_HOME") or f"{home}/.local/state", _OWN_STATE)


def _replaceable(path: str) -> bytes | None:
    """What is there now, None for nothing.  Raises `UsageError` if something is that can't be replaced."""
    if os.path.isdir(path):
        raise UsageError(f"--out: got the folder {printable(path)}; expected a file, or - for standard output")
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise UsageError(f"--out: got {printable(path)}, whose folder is not there; expected a file in one that is")
    if os.path.exists(path) and not os.path.isfile(path):
        raise UsageError(f"--out: got {printable(path)}, no regular file; expected one, or - for standard output")
    try:
        with open(path, "rb") as file:
            return file.read(trustedroot_document.MAX_SIZE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError(f"{printable(path)}: got {error.strerror}; expected to read and replace it") from None


def _replace(path: str, content: bytes) -> None:
    """Put `content` in place of what is at `path`, or of what a link there leads to.  Raises `HostError`."""
    try:
        real = _behind(path)
        files.replace(real, content, _PUBLIC_FILE)
    except OSError as error:
        raise HostError(f"{printable(path)}: got {error.strerror}; expected to write the trusted root there") from None


def _behind(path: str) -> str:
    """The file that a name means.  Somebody else's link would have him choose what is replaced.  Raises `OSError`."""
    path = os.path.join(os.getcwd(), path)
    for _ in range(_MOST_LINKS):
        if not os.path.islink(path):
            return path
        if os.lstat(path).st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, "a link of somebody else", path)
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _read(path: str, limit: int, what: str) -> bytes:
    """`what` is at `path`, and a byte over `limit` if there is more of it.  Raises `UsageError`, `HostError`."""
    try:
        with open(path, "rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError:
        raise UsageError(f"{printable(path)}: got nothing there; expected {what}") from None
    except OSError as error:
        raise HostError(f"{printable(path)}: got {error.strerror}; expected to read {what}") from None


def _show(stdout: TextIO, name: str, content: bytes, form: str, told: Mapping[str, str]) -> None:
    """Tell what a trusted root says.  Raises `Malformed`."""
    read = trustedroot_document.read(name, content, name)
    if read.root is None:
        raise Malformed("; ".join(str(problem) for problem in read.problems if problem.fatal), hint=_MEANT)
    found = trustedroot_summary.members(read.root, read.material)
    now, stale = moment().wall, trustedroot_summary.stale_at(found)
    digest = sha256(content).hexdigest()
    left_out = [str(problem) for problem in read.problems]
    if form == "json":
        value = {
            "schemaVersion": SCHEMA_VERSION,
            **told,
            "file": name,
            "sha256": digest,
            "staleAt": _time(stale),
            "stale": stale is not None and stale < now.timestamp(),
            "members": [_as_json(each, now) for each in found],
            "leftOut": left_out,
        }
        stdout.write(json.dumps(value, indent=2) + "\n")
        return
    lines = [f"{name}: {told['result']}, from {told['mirror']}" if told else name, f"sha256 {digest}"]
    for kind, title in _KINDS.items():
        listed = [each for each in found if each.kind == kind]
        lines += [title] if listed else [f"{title}: none"]
        lines += (f"  {_line(each, now)}" for each in listed)
    lines += (f"left out: {each}" for each in left_out)
    if stale is None:
        lines.append("nothing in it is known to end")
    elif stale < now.timestamp():
        lines.append(f"STALE since {_time(stale)}: of one kind all has ended; expected a newer trusted root")
    else:
        lines.append(f"new signatures can count until {_time(stale)}, at least")
    stdout.write("".join(f"{printable(line)}\n" for line in lines))


def _line(member: Member, now: datetime) -> str:
    end = _time(member.window.end)
    span = f"{_time(member.window.start)} to {end}" if end else f"from {_time(member.window.start)} on"
    over = "is over" if member.window.is_over(now) else "not yet"
    state = "counts" if trustedroot_summary.counts(member, now) else over
    return f"{member.name or '(no name)'}, {member.key[:12]}: {span} ({state})"


def _as_json(member: Member, now: datetime) -> Mapping[str, object]:
    return {
        "kind": member.kind,
        "name": member.name,
        "sha256": member.key,
        "from": _time(member.window.start),
        "until": _time(member.window.end),
        "counts": trustedroot_summary.counts(member, now),
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).strftime(_UTC)
