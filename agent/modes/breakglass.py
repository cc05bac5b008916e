"""`nodeseal break-glass`: let images pass unverified for a while, end it, list what it let in.

Switching it on needs neither a configuration in force nor a network: it is for the day on which these are what fails.
Nothing here goes below the node's floor, and the pull compares again (`agent.rules.breakglass`).
"""

import argparse
import json
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TextIO

from agent.adapters.nodestate import NodeState, moment
from agent.adapters.spool import Spool, Told
from agent.config import times
from agent.errors import ConfigurationError, Exit, HostError, Malformed, UsageError
from agent.model.answer import printable
from agent.modes import letin, node, place
from agent.modes.asking import Asker, seconds_to_wait
from agent.modes.breakglass_report import TIME, View, afterwards_as_text, as_json, as_text, let_in_as_text, views
from agent.rules import breakglass, matching
from agent.rules.breakglass import MAX_REASON, MOST_OPEN, BreakGlass
from agent.rules.floor import Floor
from agent.rules.rule import EVERYTHING
from agent.rules.ruleset import CONFIGURED

DEADLINE = 60.0
"""Seconds that verifying afterwards takes at most, unless `--timeout` says otherwise."""

_SHORTEST_PORT = 3  # digits: shorter ones behind a name are a tag, as in `postgres:16`

_EXITS = "exit codes: 0 ok, 2 usage, 3 configuration or floor, 5 host operation failed, 70 bug"
_ROOT_HELP = "root that the node's state is under (default: %(default)s)"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `break-glass` and its commands; each sets `handler(options, environment, stdout, stderr) -> Exit`."""
    parser = subparsers.add_parser(
        "break-glass",
        help="let images pass unverified for a while, and end it",
        description="Let images pass on this node for a while without being verified, in an emergency; end that, and "
        "see what was let in.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    one = commands.add_parser(
        "on",
        help="let images pass unverified, with an end and a reason",
        description="Let the images that a pattern matches pass on this node without being verified, from now on and "
        "until an end. Deny lists stay in force. Needs no configuration in force. The node's floor says how long "
        "it may last, and whether it may be for all images.",
        epilog=f"{_EXITS}; example: nodeseal break-glass on --for 2h --image 'registry.example.com/shop/**' "
        "--reason INC-4711",
    )
    one.add_argument("--for", dest="length", type=_length, required=True, metavar="TIME", help="how long: 30m, 2h")
    one.add_argument(
        "--image", required=True, metavar="PATTERN", help="HOST/REPOSITORY; * is one segment, ** at the end any rest"
    )
    one.add_argument(
        "--reason", required=True, metavar="TEXT", help=f"why, at most {MAX_REASON} characters: it stands in each line"
    )
    one.add_argument("--root", metavar="DIR", default=place.USUAL, help=_ROOT_HELP)
    one.set_defaults(handler=on)
    one = commands.add_parser(
        "off",
        help="end it now, and verify what was let in",
        description="End break-glass of this node's own, all of it unless IDs or a pattern are given, and say what it "
        "let in. Then verify that, as if there had been no break-glass, and name what would have been refused.",
        epilog=_EXITS,
    )
    one.add_argument("ids", metavar="ID", nargs="*", help="end these alone")
    one.add_argument("--image", metavar="PATTERN", default="", help="end those with this pattern alone")
    one.add_argument("--no-verify", action="store_true", help="don't verify what was let in")
    _add_timeout(one)
    one.add_argument("--root", metavar="DIR", default=place.USUAL, help=_ROOT_HELP)
    one.set_defaults(handler=off)
    one = commands.add_parser(
        "list",
        help="list it, and what it let in",
        description="List break-glass of this node and of the configuration in force, ended ones of the last seven "
        "days too: until when, why, and which images it let in.",
        epilog=_EXITS,
    )
    one.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    one.add_argument("--verify", action="store_true", help="verify what was let in, as 'break-glass off' does")
    _add_timeout(one)
    one.add_argument("--root", metavar="DIR", default=place.USUAL, help=_ROOT_HELP)
    one.set_defaults(handler=show)


def on(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Switch it on.  Raises `UsageError`, `ConfigurationError` for what is below the floor, `HostError`."""
    pattern, reason = _pattern(options.image), _reason(options.reason)
    state = NodeState(options.root)
    _refuse_below(_floor(state), state.bootstrap_path, pattern, options.length)

    def change(before: tuple[BreakGlass, ...]) -> tuple[BreakGlass, ...]:
        now = moment()
        if not now.boot_id:
            raise HostError("/proc/sys/kernel/random/boot_id: got nothing; expected what names this boot")
        entries = breakglass.kept(before, now)
        if sum(entry.closed is None for entry in entries) >= MOST_OPEN:
            raise UsageError(
                f"{state.break_glass_path}: got {MOST_OPEN} that are not ended; expected fewer",
                hint="end some: nodeseal break-glass off ID",
            )
        until = now.wall.replace(microsecond=0) + timedelta(seconds=options.length)
        return (*entries, BreakGlass(_new_id(entries), pattern, reason, now, until))

    entry = _changed(state, change)[-1]
    root = "" if options.root == "/" else f" --root {printable(options.root)}"
    stdout.write(
        f"break-glass {entry.id} is on until {entry.until:{TIME}} ({times.length(options.length)})\n"
        f"passes unverified on this node: {'all images' if pattern == EVERYTHING else pattern}\n"
        "stays refused: what is on a deny list\n"
        f"next step: end it as soon as it is not needed: nodeseal break-glass off {entry.id}{root}\n"
    )
    return Exit.ALLOW


def off(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """End it, and verify what it let in.  Raises `UsageError`, `HostError`."""
    pattern = _pattern(options.image) if options.image else ""
    state = NodeState(options.root)
    chosen: list[BreakGlass] = []

    def change(before: tuple[BreakGlass, ...]) -> tuple[BreakGlass, ...]:
        now = moment()
        entries = breakglass.kept(before, now)
        names = [entry.id for entry in _chosen(entries, options.ids, pattern)]
        after = tuple(
            entry._replace(closed=now.wall) if entry.id in names and entry.closed is None else entry
            for entry in entries
        )
        chosen[:] = [entry for entry in after if entry.id in names]
        return after

    after = _changed(state, change)
    if not chosen:
        stdout.write("nothing was changed: no break-glass of this node's own is on\n")
        stdout.write(_of_the_configuration(options.root))
        if after:
            stdout.write("next step: verify what ended ones let in: nodeseal break-glass list --verify\n")
        return Exit.ALLOW
    told = Spool(options.root).read()
    let_in: list[letin.LetIn] = []
    for entry in chosen:
        found = letin.images(told, entry)
        let_in += found
        stdout.write(f"break-glass {entry.id} is off: {printable(entry.match)} ({printable(entry.reason)})\n")
        stdout.write(f"on from {entry.since.wall:{TIME}} to {entry.end:{TIME}}\n")
        stdout.write(let_in_as_text(found))
    stdout.write("".join(f"note: {printable(each)}\n" for each in letin.untold(told, chosen)))
    stdout.write(_of_the_configuration(options.root))
    if let_in and not options.no_verify:
        stdout.flush()  # it is over, and that should be seen before the registries are asked
        found_node, asker = node.opened(options.root), Asker(options.root, environment)
        stdout.write(afterwards_as_text(letin.verify(let_in, found_node, asker, options.timeout)))
    elif let_in:
        stdout.write("next step: verify it: nodeseal break-glass list --verify\n")
    return Exit.ALLOW


def show(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """List it.  What can't be read of the node's own is told, and is exit 5."""
    state, found = NodeState(options.root), node.opened(options.root)
    problem = ""
    try:
        own = _read(state)
    except HostError as error:
        own, problem = (), error.message
        stderr.write(f"nodeseal: {printable(error.message)}\n")
        stderr.write(f"next step: {printable(error.hint)}\n" if error.hint else "")
    told = Spool(options.root).read()
    seen = views(own, found.standing, told)
    as_document = options.format == "json"
    if not as_document:
        stdout.write(_listed(seen, told))
        stdout.flush()  # asking the registries takes a while
    afterwards = None
    if options.verify:
        asker = Asker(options.root, environment)
        afterwards = letin.verify((each for view in seen for each in view.images), found, asker, options.timeout)
    if as_document:
        value = as_json(seen, found.standing.moment.wall, told, afterwards, problem)
        stdout.write(json.dumps(value, indent=2) + "\n")
    elif afterwards is not None:
        stdout.write(afterwards_as_text(afterwards))
    return Exit.HOST if problem else Exit.ALLOW


def _listed(seen: tuple[View, ...], told: Told) -> str:
    notes = letin.untold(told, (view.entry for view in seen))
    return as_text(seen) + "".join(f"note: {printable(each)}\n" for each in notes)


def _add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        type=seconds_to_wait,
        default=DEADLINE,
        metavar="SECONDS",
        help="verify for this time at most (default: %(default)g)",
    )


def _length(text: str) -> float:
    seconds = times.seconds(text)
    if not seconds:
        expected = "a length of time above 0 like 2h: a number and s, m, h or d"
        raise argparse.ArgumentTypeError(f"got {printable(text)}; expected {expected}")
    return seconds


def _pattern(text: str) -> str:
    """A pattern in its one spelling, as rules have it.

    Docker's short forms are taken where they mean one thing: whole names without a host are Docker Hub's.  Raises
    `UsageError`.
    """
    completed = _with_host(text)
    complaint = matching.complaint(completed)
    if complaint:
        raise UsageError(f"--image: got {ascii(text)[:80]}; expected {complaint}", hint=_right_form(text))
    return matching.canonical(completed)


def _with_host(text: str) -> str:
    """A short form completed; what has a host, or might be meant to, as it is."""
    host = text.partition("/")[0]
    if not text or "*" in text or "." in host or ":" in host or host == "localhost":
        return text
    return f"docker.io/{text}"


def _right_form(text: str) -> str:
    """What was probably meant, as a next step; empty if nobody can guess."""
    bare = text.partition("@")[0]
    before, colon, tag = bare.rpartition(":")
    if colon and "/" not in tag and ("/" in before or not tag.isdigit() or len(tag) < _SHORTEST_PORT):
        bare = before
    likely = (_with_host(bare), f"{bare.rstrip('/')}/**", f"docker.io/{bare}")
    for pattern in likely:
        if not matching.complaint(pattern):
            meant = "if Docker Hub's are meant, " if pattern.startswith("docker.io/") and "*" in bare else ""
            return f"{meant}write --image '{matching.canonical(pattern)}'"
    return ""


def _reason(text: str) -> str:
    if not text.strip() or len(text) > MAX_REASON or not text.isprintable():
        raise UsageError(
            f"--reason: got {len(text)} characters ({ascii(text)[:40]}); expected 1 to {MAX_REASON} printable ones"
        )
    return text


def _floor(state: NodeState) -> Floor:
    """The node's floor.  Raises `ConfigurationError` if its document can't be believed."""
    try:
        return state.read_bootstrap().floor
    except (HostError, Malformed) as error:
        on_disk = isinstance(error, HostError)
        where = "" if on_disk else f"{state.bootstrap_path}: "
        raise ConfigurationError(
            f"{where}{error.message}; while it can't be believed the strictest floor is in force, "
            "and that allows no break-glass",
            hint=error.hint if on_disk else "correct it; nodeseal config schema --bootstrap prints its form",
        ) from None


def _refuse_below(floor: Floor, path: str, pattern: str, seconds: float) -> None:
    """Raise `ConfigurationError` for what the floor doesn't allow."""
    named = f"the floor of this node ({path})"
    longest = times.length(floor.longest_break_glass)
    if not floor.longest_break_glass:
        raise ConfigurationError(f"got a break-glass; expected none: {named} allows none", hint=_whoever(path))
    if pattern == EVERYTHING and not floor.break_glass_for_all:
        raise ConfigurationError(
            f"--image: got **; expected a narrower pattern: {named} allows none for all images",
            hint=f"name the repositories that are needed; {_whoever(path)}",
        )
    if seconds > floor.longest_break_glass:
        raise ConfigurationError(
            f"--for: got {times.length(seconds)}; expected at most {longest}: {named} allows no longer break-glass",
            hint=f"--for {longest}",
        )


def _whoever(path: str) -> str:
    return f"whoever owns the node can change breakGlass under floor in {path}"


def _new_id(entries: Iterable[BreakGlass]) -> str:
    taken = {entry.id for entry in entries}
    while True:
        name = os.urandom(3).hex()
        if name not in taken:
            return name


def _chosen(entries: tuple[BreakGlass, ...], ids: list[str], pattern: str) -> list[BreakGlass]:
    """Those that are meant: named ones even if they ended before.  Raises `UsageError` for what is not there."""
    known = ", ".join(f"{entry.id} ({entry.match})" for entry in entries if entry.closed is None) or "none that is on"
    for name in ids:
        if name.startswith(CONFIGURED):
            raise UsageError(
                f"ID: got {ascii(name)[:40]}, which stands in the configuration; expected one of this node's own",
                hint="remove it from breakGlass, then nodeseal config apply DIR",
            )
        if name not in [entry.id for entry in entries]:
            raise UsageError(f"ID: got {ascii(name)[:40]}; expected one of this node's own: {known}")
    named = [entry for entry in entries if (entry.id in ids if ids else entry.closed is None)]
    found = [entry for entry in named if not pattern or entry.match == pattern]
    if pattern and not found:
        raise UsageError(f"--image: got {pattern}; expected the pattern of one of this node's own: {known}")
    return found


def _changed(
    state: NodeState, change: Callable[[tuple[BreakGlass, ...]], tuple[BreakGlass, ...]]
) -> tuple[BreakGlass, ...]:
    """Raises `HostError`, and what `change` raises."""
    try:
        return state.change_break_glass(change)
    except Malformed as error:
        raise _damaged(state, error) from None


def _read(state: NodeState) -> tuple[BreakGlass, ...]:
    """Raises `HostError`."""
    try:
        return state.read_break_glass()
    except Malformed as error:
        raise _damaged(state, error) from None


def _damaged(state: NodeState, error: Malformed) -> HostError:
    return HostError(
        f"{state.break_glass_path}: {error.message}; nothing in it counts",
        hint=f"remove it: rm {state.break_glass_path}",
    )


def _of_the_configuration(root: str) -> str:
    """A reminder that others may be on."""
    standing = node.opened(root).standing
    on_still = [view for view in views((), standing, Told()) if not view.why]
    return "".join(
        f"note: {view.entry.id} of the configuration is on until {view.entry.until:{TIME}}: "
        f"{printable(view.entry.match)}\n"
        for view in on_still
    )
