"""`nodeseal status`: what holds on this node, since when, and what was let in.

Reads what pulls read, the spool, up to where that was folded, and how much is remembered; asks the daemon, if
there is one, and systemd, if the daemon has a unit, and changes nothing.
"""

import argparse
import json
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple, TextIO, cast

from agent.adapters import ipc, reconciled, rootnotes
from agent.adapters.folding import Behind, SpoolReader
from agent.adapters.nodestate import NodeState
from agent.adapters.pull_secrets import READY
from agent.adapters.reconciled import Attempt, Reconciled
from agent.adapters.rootnotes import RootNote
from agent.adapters.snapshots import SnapshotStore
from agent.adapters.spool import Spool, Told
from agent.config.config import Config
from agent.config.times import about, length
from agent.errors import Exit, HostError, Malformed
from agent.model.answer import printable
from agent.modes import cache, currency, node, place, told
from agent.modes.unitlook import UnitTold, told_unit
from agent.rules import breakglass, lists
from agent.rules.breakglass import BreakGlass
from agent.rules.precedence import Standing
from agent.wiring.unit import NAME

SCHEMA_VERSION = "1"
"""Version of what `--format json` prints."""

_SECONDS = 2.0
_UTC = "%Y-%m-%dT%H:%M:%SZ"


class Status(NamedTuple):
    """What is shown.

    `since` is when what is in force was put there, None if nobody can tell; `caches` is how much is remembered, or why
    that can't be said; `daemon` is what that says of itself, None if there is none, or why it says nothing; `wiring` is
    what who keeps the node wired up says, None if nobody does; `unit` is what the daemon's systemd unit is doing, None
    if it has none; `roots` is how the fetching of trusted roots goes; `bootstrap_trouble` is why the bootstrap document
    can't be believed, empty if it can.
    """

    found: node.Node
    told: Told
    behind: Behind
    since: datetime | None
    caches: Mapping[str, cache.Size] | str
    daemon: Mapping[str, Any] | str | None
    wiring: Reconciled | None = None
    unit: UnitTold | None = None
    roots: tuple[RootNote, ...] = ()
    bootstrap_trouble: str = ""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `status` to the command line."""
    parser = subparsers.add_parser(
        "status",
        help="show what holds on this node, and what was let in",
        description="Show the configuration in force, the node's floor, exemptions, break-glass, and how many images "
        "passed, were refused, or could not be told about, by what decided and why; how old that is, and how much is "
        "remembered; and what the daemon says of itself, systemd of its unit, and install --reconcile. Asks nobody "
        "else, changes nothing.",
        epilog="exit codes: 0 ok, 2 usage, 5 host operation failed, 70 bug",
    )
    parser.add_argument(
        "--root", metavar="DIR", default=place.USUAL, help="root that the node's state is under (default: %(default)s)"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    parser.set_defaults(handler=handle)


def handle(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Show the status on `stdout`.  Raises `HostError` for somebody who may not look: what he would see is not so."""
    state = SnapshotStore(options.root).state
    if os.path.lexists(state) and not os.access(state, os.R_OK | os.X_OK):
        raise HostError(f"{state}: got Permission denied; expected to read what holds on this node", hint="run as root")
    status = Status(
        node.opened(options.root),
        Spool(options.root).read(),
        SpoolReader(options.root).behind(),
        SnapshotStore(options.root).in_force_since(),
        _caches(options.root),
        _daemon(options.root),
        reconciled.read(options.root),
        told_unit(options.root),
        rootnotes.read(options.root),
        _bootstrap_trouble(options.root),
    )
    stdout.write(json.dumps(_as_json(status), indent=2) + "\n" if options.format == "json" else _as_text(status))
    return Exit.ALLOW


def _bootstrap_trouble(root: str) -> str:
    """Why the bootstrap document can't be believed; empty if it can, or there is none."""
    try:
        NodeState(root).read_bootstrap()
    except (HostError, Malformed) as error:
        return error.message
    return ""


def _caches(root: str) -> Mapping[str, cache.Size] | str:
    try:
        return cache.figures(root)
    except HostError as error:
        return error.message


def _daemon(root: str) -> Mapping[str, Any] | str | None:
    try:
        said = ipc.Client(root).ask(ipc.STATUS, seconds=_SECONDS)
        return None if said is None else cast("dict[str, Any]", json.loads(said))
    except HostError as error:
        return error.message
    except ValueError:
        return "got something else from the daemon; expected JSON"


def _as_json(status: Status) -> dict[str, object]:
    standing = status.found.standing
    config, now, caches = status.found.config, standing.moment.wall, status.caches
    return {
        "schemaVersion": SCHEMA_VERSION,
        "generation": config.generation if isinstance(config, Config) else None,
        "snapshot": {
            "since": f"{status.since:{_UTC}}" if status.since else None,
            "ageSeconds": int(told.seconds_since(status.since, now)) if status.since else None,
        },
        "currency": currency.as_json(standing),
        "keys": currency.keys_as_json(standing),
        "trustRoots": currency.roots_as_json(status.roots),
        "trouble": currency.trouble(config, standing),
        "node": standing.node_name,
        "rules": [
            {"name": each.name, "enforcement": standing.floor.raised(each.enforcement).value, "rollout": each.rollout}
            for each in standing.ruleset.rules
        ],
        "floor": {
            "enforcement": standing.floor.enforcement.value,
            "breakGlassSeconds": standing.floor.longest_break_glass,
            "exemptWithoutDigest": list(standing.floor.without_digest),
            "trouble": status.bootstrap_trouble or None,
        },
        "exemptions": [each._asdict() for each in (*standing.ruleset.exempt, *lists.BUILT_IN)],
        "breakGlass": [
            {
                "match": each.match,
                "until": f"{each.until:{_UTC}}",
                "reason": each.reason,
                "since": f"{each.since.wall:{_UTC}}",
                "ageSeconds": int(told.seconds_since(each.since.wall, now)),
            }
            for each in _live_glass(standing)
        ],
        **told.as_json(status.told, status.behind, now),
        "caches": None
        if isinstance(caches, str)
        else {kind: {"files": size.files, "bytes": size.bytes} for kind, size in caches.items()},
        "daemon": {"trouble": status.daemon} if isinstance(status.daemon, str) else status.daemon,
        "wiring": _wiring(status.wiring),
        "unit": status.unit.as_json() if status.unit else None,
    }


def _live_glass(standing: Standing) -> list[BreakGlass]:
    """Break-glass that counts now."""
    return [each for each in standing.all_break_glass() if not breakglass.ended(each, standing.moment, standing.floor)]


def _as_text(status: Status) -> str:
    standing, config = status.found.standing, status.found.config
    floor, now = standing.floor, standing.moment.wall
    longest = length(floor.longest_break_glass)
    in_force = config.generation[:12] if isinstance(config, Config) else f"{config.cause.value}: {config.message}"
    lines = [
        f"configuration  {in_force}{_since(status.since, now)}",
        *currency.as_text(standing),
        f"node           {standing.node_name}",
        f"floor          enforcement {floor.enforcement.value}, break-glass {longest} at most",
    ]
    if status.bootstrap_trouble:
        lines.append(
            f"  {status.bootstrap_trouble}: the strictest floor holds until nodeseal doctor finds nothing wrong"
        )
    lines.append("rules")
    for rule in standing.ruleset.rules:
        share = f" on {rule.rollout} % of nodes" if rule.rollout < 100 else ""
        lines.append(f"  {floor.raised(rule.enforcement).value:9}{rule.name}{share}")
    default = standing.ruleset.default
    lines.append(f"  {floor.raised(default.enforcement).value:9}where no rule matches")
    lines += currency.keys_as_text(standing)
    lines += currency.roots_as_text(status.roots)
    lines.append("exempt")
    for entry in (*standing.ruleset.exempt, *lists.BUILT_IN):
        how = f"by {len(entry.digests)} digests" if entry.digests else "not verified"
        lines.append(f"  {entry.match}, {how}{f' (built in: {entry.why})' if entry.why else ''}")
    glass = _live_glass(standing)
    lines += ["break-glass"] if glass else []
    for each in glass:
        age = about(told.seconds_since(each.since.wall, now))
        lines.append(f"  {each.match} until {each.until:{_UTC}}: {each.reason} (on for {age})")
    lines += told.as_text(status.told, status.behind, now)
    lines += ["remembered"]
    if isinstance(status.caches, str):
        lines.append(f"  {status.caches}")
    else:
        lines += (f"  {kind:12}{size.files} files, {size.bytes} bytes" for kind, size in status.caches.items())
    lines += _daemon_lines(status.daemon, now)
    lines += _wiring_lines(status.wiring, now)
    lines += [f"unit           {NAME}: {status.unit.words}"] if status.unit else []
    return "".join(f"{printable(line)}\n" for line in lines)


def _daemon_lines(daemon: Mapping[str, Any] | str | None, now: datetime) -> list[str]:
    if daemon is None:
        return ["daemon         none: each pull does the work alone"]
    if isinstance(daemon, str):
        return [f"daemon         {daemon}"]
    age, ahead = about(now.timestamp() - daemon["since"]), daemon["ahead"]
    return [
        f"daemon         {daemon['version']}, pid {daemon['pid']}, up for {age}",
        f"  {daemon['running']} verified at this moment, {daemon['waiting']} waiting for their turn",
        f"  {ahead['done']} verified ahead of pulls, {ahead['waiting']} to go, {ahead['dropped']} dropped",
        f"  {_metrics_line(daemon.get('metrics'))}",
        *_cluster_lines(daemon.get("cluster") or {}),
        *(f"  {number} bugs: {kind}" for kind, number in sorted(daemon["bugs"].items())),
        *_proof_lines(daemon.get("proof")),
    ]


def _wiring(wiring: Reconciled | None) -> dict[str, object] | None:
    if wiring is None:
        return None
    times = {"since": wiring.since, "looked": wiring.looked}
    return {
        **wiring._asdict(),
        **{name: f"{datetime.fromtimestamp(at, timezone.utc):{_UTC}}" for name, at in times.items()},
    }


def _wiring_lines(wiring: Reconciled | None, now: datetime) -> list[str]:
    if wiring is None:
        return []
    since, looked = (about(max(now.timestamp() - when, 0)) for when in (wiring.since, wiring.looked))
    lines = [f"wiring         {wiring.state} for {since}, looked at {looked} ago: {wiring.message}"]
    if any(wiring.attempts.values()):
        mended, failed, turnless = (wiring.attempts.get(each.value, 0) for each in Attempt)
        lines.append(f"  mended {mended} times, {failed} in vain, {turnless} without a turn to restart")
    return [*lines, *(f"  {path} is written by somebody else, again and again" for path in wiring.contested)]


def _proof_lines(proof: Mapping[str, Any] | None) -> list[str]:
    if proof is None:
        return ["enforcement    not proved: the daemon runs without --prove"]
    since = f" since {proof['since']}" if proof["since"] else ""
    return [
        f"enforcement    {proof['state']}{since}: {proof['reason']}",
        f"  {proof['message']}",
        f"  last canary {proof['last'] or 'never'}, last success {proof['lastSuccess'] or 'never'}",
    ]


def _metrics_line(metrics: Mapping[str, Any] | None) -> str:
    if metrics is None:
        return "metrics are off"
    if metrics["address"] is None:
        return f"metrics are not served: {metrics['trouble']}"
    return f"metrics on http://{metrics['address']}/metrics"


def _cluster_lines(cluster: Mapping[str, Any]) -> list[str]:
    """What the daemon may not see, or can't use, of what it was told to."""
    secrets, pods = cluster.get("secrets") or {}, cluster.get("pods") or {}
    lines = [f"  Secret {name} not in use: {text}" for name, text in sorted(secrets.items()) if text != READY]
    return [*lines, *([f"  pods not followed: {pods['trouble']}"] if pods.get("trouble") else [])]


def _since(since: datetime | None, now: datetime) -> str:
    """Since when what is in force is: the time of the link to it, not of what is in it."""
    return f", in force since {since:{_UTC}} ({about(told.seconds_since(since, now))})" if since else ""
