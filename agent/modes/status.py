"""`nodeseal status`: what holds on this node, and what was let in.

Reads what pulls read, and the spool; asks nobody and changes nothing.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TextIO

from agent.adapters.spool import Spool, Told
from agent.config.config import Config
from agent.config.times import length
from agent.errors import Exit
from agent.model.answer import Ground, printable
from agent.model.record import Record
from agent.modes import node
from agent.rules import breakglass, lists
from agent.rules.precedence import Standing

SCHEMA_VERSION = "1"
"""Version of what `--format json` prints."""

SHOWN = 10
"""How many of the images that passed unverified are shown, the latest ones."""


class Status(NamedTuple):
    """What is shown."""

    found: node.Node
    told: Told


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `status` to the command line."""
    parser = subparsers.add_parser(
        "status",
        help="show what holds on this node, and what was let in",
        description="Show the configuration in force, the node's floor, exemptions, break-glass, and how many images "
        "passed, were refused, or could not be told about, by what decided. Asks nobody, changes nothing.",
        epilog="exit codes: 0 ok, 2 usage, 5 host operation failed, 70 bug",
    )
    parser.add_argument(
        "--root", metavar="DIR", default="/", help="root that the node's state is under (default: %(default)s)"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    parser.set_defaults(handler=handle)


def handle(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Show the status on `stdout`."""
    status = Status(node.opened(options.root), Spool(options.root).read())
    stdout.write(json.dumps(_as_json(status), indent=2) + "\n" if options.format == "json" else _as_text(status))
    return Exit.ALLOW


def _unverified(records: Sequence[Record]) -> list[Record]:
    """What passed without having been verified just then."""
    return [each for each in records if each.exit == Exit.ALLOW and each.ground != Ground.VERIFIED.value]


def _doors(records: Sequence[Record]) -> Counter[str]:
    """How many answers each door gave: `answer` is what was answered to the same words before."""
    return Counter(each.door for each in records)


def _counted(records: Sequence[Record]) -> list[tuple[tuple[str, str, str], int]]:
    """How many answers for each ground (empty for what was blocked), code and rule."""
    return sorted(Counter((each.ground, each.code, each.rule) for each in records).items())


def _as_json(status: Status) -> dict[str, object]:
    standing = status.found.standing
    config = status.found.config
    return {
        "schemaVersion": SCHEMA_VERSION,
        "generation": config.generation if isinstance(config, Config) else None,
        "trouble": None if isinstance(config, Config) else {"cause": config.cause.value, "message": config.message},
        "node": standing.node_name,
        "rules": [
            {"name": each.name, "enforcement": standing.floor.raised(each.enforcement).value, "rollout": each.rollout}
            for each in standing.ruleset.rules
        ],
        "floor": {
            "enforcement": standing.floor.enforcement.value,
            "breakGlassSeconds": standing.floor.longest_break_glass,
            "exemptWithoutDigest": list(standing.floor.without_digest),
        },
        "exemptions": [each._asdict() for each in (*standing.ruleset.exempt, *lists.BUILT_IN)],
        "breakGlass": [
            {"match": match, "until": until, "reason": reason} for match, until, reason in _live_glass(standing)
        ],
        "answers": [
            {"ground": ground or None, "code": code, "rule": rule, "count": count}
            for (ground, code, rule), count in _counted(status.told.records)
        ],
        "doors": dict(sorted(_doors(status.told.records).items())),
        "unverified": [each._asdict() for each in _unverified(status.told.records)[-SHOWN:]],
        "gaps": status.told.gaps,
    }


def _live_glass(standing: Standing) -> list[tuple[str, str, str]]:
    """Break-glass that counts now: pattern, end, reason."""
    return [
        (each.match, f"{each.until:%Y-%m-%dT%H:%M:%SZ}", each.reason)
        for each in standing.all_break_glass()
        if not breakglass.ended(each, standing.moment, standing.floor)
    ]


def _as_text(status: Status) -> str:
    standing, config, records = status.found.standing, status.found.config, status.told.records
    floor = standing.floor
    longest = length(floor.longest_break_glass)
    in_force = config.generation[:12] if isinstance(config, Config) else f"{config.cause.value}: {config.message}"
    lines = [
        f"configuration  {in_force}",
        f"node           {standing.node_name}",
        f"floor          enforcement {floor.enforcement.value}, break-glass {longest} at most",
        "rules",
    ]
    for rule in standing.ruleset.rules:
        share = f" on {rule.rollout} % of nodes" if rule.rollout < 100 else ""
        lines.append(f"  {floor.raised(rule.enforcement).value:9}{rule.name}{share}")
    default = standing.ruleset.default
    lines.append(f"  {floor.raised(default.enforcement).value:9}where no rule matches")
    lines.append("exempt")
    for entry in (*standing.ruleset.exempt, *lists.BUILT_IN):
        how = f"by {len(entry.digests)} digests" if entry.digests else "not verified"
        lines.append(f"  {entry.match}, {how}{f' (built in: {entry.why})' if entry.why else ''}")
    glass = _live_glass(standing)
    lines += ["break-glass", *(f"  {match} until {until}: {reason}" for match, until, reason in glass)] if glass else []
    lines.append(f"answers        {len(records)} since {records[0].time if records else 'never'}")
    for (ground, code, name), count in _counted(records):
        lines.append(f"  {count:7}  {ground or 'blocked':16}{code}  rule={name}")
    if records:
        lines.append(
            f"doors          {', '.join(f'{door} {count}' for door, count in sorted(_doors(records).items()))}"
        )
    unverified = _unverified(records)
    lines += [f"passed unverified: {len(unverified)}; the latest"] if unverified else []
    lines += (f"  {each.time}  {each.ground:16}{each.code}  {each.image}" for each in unverified[-SHOWN:])
    if status.told.gaps:
        lines.append(f"{status.told.gaps} lines of the spool can't be read")
    return "".join(f"{printable(line)}\n" for line in lines)
