"""`nodeseal uninstall`: put a node back, byte for byte.  Nothing else does: no upgrade, no end of a pod."""

import argparse
import json
from collections.abc import Mapping
from typing import TextIO

from agent.adapters.hostfiles import HostFiles
from agent.adapters.journal import Journal
from agent.adapters.nodestate import NodeState
from agent.errors import Exit
from agent.model.answer import printable
from agent.modes import turns
from agent.modes.install import add_host_options, which_host
from agent.modes.turns import Taken
from agent.modes.uninstalling import Foreseen, Removed, Uninstaller
from agent.modes.world import World

SCHEMA_VERSION = "1"
"""Version of what `--format json` prints."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `uninstall` to the command line."""
    parser = subparsers.add_parser(
        "uninstall",
        help="put this node back as it was before install",
        description="Take the verifier out of containerd's folder, put containerd's configuration back, restart "
        "containerd if one of its settings changed, and remove the program and what it wrote. What others wrote or "
        "changed since stays.",
        epilog="exit codes: 0 removed, or nothing was installed; 2 usage, 5 the host refused: try again; 70 bug",
    )
    add_host_options(parser)
    parser.add_argument("--no-restart", action="store_true", help="never have containerd restarted")
    parser.add_argument("--dry-run", action="store_true", help="tell what would be done; write nothing")
    turns.add_options(parser)
    turns.add_node_name(parser)
    parser.add_argument(
        "--keep-state", action="store_true", help="keep configuration, break-glass, caches, log, and bootstrap document"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    parser.set_defaults(handler=handle)


def handle(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Uninstall, and tell on `stdout`.  Raises `HostError`, `UsageError`."""
    from agent.modes.hostworld import HostWorld  # as in `install`

    host = which_host(options)
    taken = turns.wanted(options, environment, known_as=NodeState(host.host).bootstrap().node_name)
    return uninstall(HostFiles(host.host), HostWorld(host, runs=not options.root), options, stdout, taken)


def uninstall(
    host: HostFiles, world: World, options: argparse.Namespace, stdout: TextIO, taken: Taken | None = None
) -> Exit:
    """Uninstall from a host, and tell; in turn, if `taken` waits for one.  Raises as `handle` does."""
    as_json = options.format == "json"

    def tell(line: str) -> None:
        if not as_json:
            stdout.write(f"{printable(line)}\n")
            stdout.flush()

    may_restart, keep = not (options.no_restart or options.root), options.keep_state
    if options.dry_run:
        foreseen = Uninstaller(Journal(host), world, tell).foreseen(may_restart=may_restart, keep_state=keep)
        stdout.write(json.dumps(foreseen_value(foreseen), indent=2) + "\n" if as_json else foreseen_text(foreseen))
        return Exit.ALLOW
    if taken is None:
        removed = Uninstaller(Journal(host), world, tell).run(may_restart=may_restart, keep_state=keep)
    elif not may_restart or not Uninstaller(Journal(host), world, tell).restarts():
        removed = Uninstaller(Journal(host), world, tell).run(may_restart=False, keep_state=keep)
    else:
        with taken(tell) as confirm:
            removed = Uninstaller(Journal(host), world, tell, confirm).run(keep_state=keep)
    stdout.write(json.dumps(as_value(removed), indent=2) + "\n" if as_json else as_text(removed))
    return Exit.ALLOW


def as_value(removed: Removed) -> dict[str, object]:
    """What came of it, for programs."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "wasInstalled": removed.was_installed,
        "restarted": removed.restarted,
        "restartPending": removed.pending or None,
        "left": list(removed.left),
    }


def as_text(removed: Removed) -> str:
    """What came of it, for people."""
    if not removed.was_installed:
        return "nothing was installed here\n"
    lines = [f"left: {each}" for each in removed.left]
    if removed.pending:
        lines.append(f"to do by hand: restart containerd: {removed.pending}")
    return "".join(f"{printable(line)}\n" for line in [*lines, "uninstalled"])


def foreseen_value(foreseen: Foreseen) -> dict[str, object]:
    """What would be done, for programs."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "dryRun": True,
        "wasInstalled": foreseen.was_installed,
        "steps": list(foreseen.steps),
        "restartPending": foreseen.pending or None,
        "left": list(foreseen.left),
    }


def foreseen_text(foreseen: Foreseen) -> str:
    """What would be done, for people."""
    if not foreseen.was_installed:
        return "nothing is installed here\n"
    lines = [*foreseen.steps, *(f"would be left: {each}" for each in foreseen.left)]
    if foreseen.pending:
        lines.append(f"to do by hand: restart containerd: {foreseen.pending}")
    return "".join(f"{printable(line)}\n" for line in lines)
