"""`nodeseal doctor`: whether this node verifies what it pulls, and what stands in the way.

Reads, asks containerd for its version and its configuration, pulls a canary if it is told to, and changes nothing
unless it is to mend (`agent.modes.mending`).
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple, TextIO

from agent.adapters import containerd
from agent.adapters.containerd import Asked, Told
from agent.adapters.nodestate import NodeState
from agent.errors import Exit, UsageError
from agent.model.answer import printable
from agent.modes import hostrecord, node_findings, place, turns
from agent.modes.hostoptions import add_canary_port, add_containerd_options, canary_port
from agent.wiring import bindir, findings, planning
from agent.wiring.effective import Setting
from agent.wiring.findings import Finding, Severity
from agent.wiring.known import known
from agent.wiring.planning import Node
from agent.wiring.proof import NOTHING_KNOWN, Proof

if TYPE_CHECKING:
    from agent.modes.mending import Mended

SCHEMA_VERSION = "1"
"""Version of what `--format json` prints."""


class Report(NamedTuple):
    """What was found out.

    `node` is None where containerd's version is not known, `proof` where nobody asked for one, `mended` where nothing
    was to be.
    """

    told: Told
    node: Node | None
    generation: str
    findings: tuple[Finding, ...]
    proof: Proof | None = None
    mended: "Mended | None" = None

    @property
    def enforcing(self) -> bool:
        """Whether nothing was found that stands in the way."""
        return all(finding.severity is not Severity.ERROR for finding in self.findings)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `doctor` to the command line."""
    parser = subparsers.add_parser(
        "doctor",
        help="tell whether this node verifies what it pulls, and what stands in the way",
        description="Look at containerd's version and configuration, at its verifier folder, and at Nodeseal itself, "
        "and tell what keeps pulls from being verified, where it stands, and what to do. Changes nothing without "
        "--fix. With --prove, has a canary pulled through the CRI as well, which has to be refused. With --fix, mends "
        "first what can be mended safely where Nodeseal is installed, as uninstall takes it back, and proves it.",
        epilog="exit codes: 0 nothing stands in the way, 2 usage, 3 a configuration that can't be edited, 5 the host "
        "can't be read, or what was mended was taken back; 12 not enforcing, 70 bug",
    )
    parser.add_argument(
        "--root", metavar="DIR", default="", help="root that the node's state is under (default: that of --host)"
    )
    parser.add_argument(
        "--host", metavar="DIR", default="/", help="root that the host's files are under (default: %(default)s)"
    )
    add_containerd_options(parser)
    parser.add_argument(
        "--prove",
        action="store_true",
        help="prove it by a canary, pulled through the CRI: nothing else tells what the running containerd does",
    )
    add_canary_port(parser)
    parser.add_argument(
        "--fix",
        action="store_true",
        help="set settings back that send pulls past the verifier, where a later file can; have containerd restarted",
    )
    parser.add_argument("--dry-run", action="store_true", help="with --fix: tell what would be done, as a diff")
    parser.add_argument("--no-restart", action="store_true", help="with --fix: never have containerd restarted")
    turns.add_options(parser)
    turns.add_node_name(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    parser.set_defaults(handler=handle)


def handle(options: argparse.Namespace, environment: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> Exit:
    """Tell what was found on `stdout`.  Raises `HostError`, `ConfigurationError`, `UsageError`."""
    if canary_port(options) and not (options.prove or options.fix):
        raise UsageError("--canary-port: got it alone; expected --prove or --fix beside it")
    if (options.dry_run or options.no_restart or options.in_turn) and not options.fix:
        raise UsageError("--dry-run, --no-restart, --in-turn: got them alone; expected --fix beside them")
    taken = turns.wanted(options, environment, known_as=NodeState(options.host).bootstrap().node_name)
    asked = Asked(options.host, options.containerd_config, options.socket)
    containerd.check(asked)
    mended = _mended(asked, options, stdout, taken) if options.fix else None
    root = options.root or (place.usual_root() if options.host == "/" else options.host)
    report = examine(asked, root)._replace(mended=mended)
    if options.prove or (options.fix and not options.dry_run and report.told.facts.socket):
        report = proved(report, asked, options.canary_port)
    stdout.write(json.dumps(as_json(report), indent=2) + "\n" if options.format == "json" else as_text(report))
    return Exit.ALLOW if report.enforcing else Exit.NOT_ENFORCING


def _mended(asked: Asked, options: argparse.Namespace, stdout: TextIO, taken: turns.Taken | None) -> "Mended":
    """Mend first; told line by line to people."""
    from agent.modes import mending  # and what writes to a host, and speaks to its services

    def tell(line: str) -> None:
        if options.format == "text":
            stdout.write(f"{printable(line)}\n")
            stdout.flush()

    restart, dry, port = not options.no_restart, options.dry_run, options.canary_port
    done = mending.mended(asked, tell, restart=restart, dry=dry, taken=taken, port=port)
    if options.dry_run:
        for line in (*(f"would {step}" for step in done.steps), *done.diff.splitlines()):
            tell(line)
    for line in (*done.left, *((f"restart containerd: {done.pending}",) if done.pending else ())):
        tell(f"to do by hand: {line}")
    if done.nothing:
        tell(f"nothing was mended: {done.nothing}")
    tell("")
    return done


def examine(asked: Asked, root: str) -> Report:
    """Look at everything.  Raises `HostError` if the host can't be read."""
    told = containerd.facts(asked)
    node, found = None, list[Finding]()
    if told.facts.version is None:
        found.append(findings.unknown_version(told.facts))
    else:
        node = planning.node(told.facts)
        deadline = NodeState(root).bootstrap().host.deadline
        found += findings.of(node, planning.DEADLINE if deadline is None else deadline)
        found += node_findings.of_process(told)
        if asked.host == "/":
            found += node_findings.of_program(node)
    generation, of_snapshot = node_findings.of_snapshot(root)
    found += [*node_findings.of_bootstrap(root), *of_snapshot, *hostrecord.of_host(asked, root, told)]
    for part in (node_findings.of_disks, node_findings.of_daemon, node_findings.of_wiring):
        found += part(root)
    found += node_findings.of_clock()
    return Report(told, node, generation, _sorted(found))


def proved(report: Report, asked: Asked, port: int = 0) -> Report:
    """The same with what a canary proves; what was read says why.  Takes half a minute at most."""
    from agent.modes import proving  # and an event loop, and what speaks to containerd

    facts, node = report.told.facts, report.node
    at = facts.socket.lstrip("/")
    path = os.path.join(asked.host, at) if at else proving.cri_socket(asked.host)
    program = _program(node) if node and asked.host == "/" else ""
    explained = known(node) if node else NOTHING_KNOWN
    proof = proving.prove_now(path, explained, program=program, port=port)
    found = [*report.findings, findings.of_proof(proof, facts.socket or path)]
    return report._replace(findings=_sorted(found), proof=proof)


def _program(node: Node) -> str:
    """What containerd runs, to be asked by hand too; empty if there is none, or others could have written it."""
    own = bindir.ours(node_findings.entries(node))
    try:
        return "" if own is None or place.unsafe(own.entry.target) else own.entry.target
    except OSError:
        return ""


def _sorted(found: Sequence[Finding]) -> tuple[Finding, ...]:
    order = list(Severity)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def as_json(report: Report) -> dict[str, object]:
    """The report for programs."""
    facts, node = report.told.facts, report.node
    return {
        "schemaVersion": SCHEMA_VERSION,
        "enforcing": report.enforcing,
        "containerd": {
            "version": facts.version.text if facts.version else None,
            "pid": facts.process.pid if facts.process else None,
            "socket": facts.socket or None,
            "unit": (facts.process.unit if facts.process else "") or None,
            "files": [file.path for file in node.loaded.files] if node else [],
            "configurationVersion": node.effective.written.version if node else None,
            "source": "config dump" if node and node.effective.dumped else "files",
        },
        "distribution": {
            "name": node.placed.distribution.name,
            "wiring": node.placed.way.value,
            "rewrittenBy": node.placed.distribution.rewritten,
            "advice": node.placed.advice,
        }
        if node
        else None,
        "settings": {name: {"value": _said(each.value), "where": each.where} for name, each in _settings(node)},
        "verifiers": [
            {"name": each.entry.name, "role": each.role.value, "target": each.entry.target, "skipped": each.skipped}
            for each in (node_findings.entries(node) if node else ())
        ],
        "snapshot": report.generation or None,
        "proof": report.proof.as_json() if report.proof else None,
        "fix": report.mended.as_json() if report.mended else None,
        "findings": [{**each._asdict(), "severity": each.severity.value} for each in report.findings],
    }


def _said(value: object) -> object:
    """A value of TOML in JSON, where that has such values; else its text."""
    if isinstance(value, list):
        return [_said(each) for each in value]
    if isinstance(value, dict):
        return {name: _said(each) for name, each in value.items()}
    is_json = value is None or isinstance(value, str | int) or (isinstance(value, float) and isfinite(value))
    return value if is_json else str(value)


def _settings(node: Node | None) -> tuple[tuple[str, Setting], ...]:
    if node is None:
        return ()
    known = node.effective
    return (
        ("bin_dir", known.bin_dir),
        ("max_verifiers", known.max_verifiers),
        ("per_verifier_timeout", known.per_verifier_timeout),
        ("config_path", known.config_path),
        ("snapshotter", known.snapshotter),
    )


def as_text(report: Report) -> str:
    """The report for people.  Printable ASCII alone."""
    facts, node = report.told.facts, report.node
    pid = f", pid {facts.process.pid}" if facts.process else ""
    lines = [f"containerd     {facts.version.text if facts.version else 'of unknown version'}{pid}"]
    if node:
        files = ", ".join(file.path for file in node.loaded.files) or "none: built-in defaults"
        told_by = "by containerd config dump" if node.effective.dumped else "put together from its files"
        lines += [
            f"configuration  {files}",
            f"               version {node.effective.written.version}, {told_by}",
            f"distribution   {node.placed.distribution.title}: {node.placed.way.value}",
        ]
        lines += [f"{name:22} {each.value}  ({each.where})" for name, each in _settings(node)]
        lines += [f"verifier       {each.entry.name}: {each.role.value}" for each in node_findings.entries(node)]
    lines.append(f"snapshot       {report.generation[:12] or 'none'}")
    lines += [f"proof          {report.proof.state.value}: {report.proof.reason.value}"] if report.proof else []
    for each in report.findings:
        lines += [
            "",
            f"{each.severity.value}: {each.id}",
            f"  got         {each.got}",
            f"  expected    {each.expected}",
        ]
        lines += [f"  where       {each.where}", f"  next step   {each.next_step}"]
        lines += [f"  then        {each.side_effects}"] if each.side_effects else []
        lines += [f"  do not      {each.not_a_remedy}"] if each.not_a_remedy else []
    wrong = sum(each.severity is Severity.ERROR for each in report.findings)
    lines += ["", "nothing stands in the way of verification" if not wrong else f"not enforcing: {wrong} to be mended"]
    return "".join(f"{printable(line)}\n" for line in lines)
