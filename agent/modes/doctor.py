"""`nodeseal doctor`: whether this node verifies what it pulls, and what stands in the way.

Reads, asks containerd for its version and its configuration, pulls a canary if it is told to, and changes nothing
unless it is to mend (`agent.modes.mending`).
"""

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple, TextIO

from agent import RELEASED
from agent.adapters import containerd, ipc, reconciled
from agent.adapters.containerd import Asked, Told
from agent.adapters.nodestate import NodeState
from agent.config.config import Config
from agent.errors import Exit, HostError, Malformed, UsageError
from agent.model.answer import printable
from agent.modes import hostrecord, place, turns
from agent.modes import node as nodes
from agent.modes.hostoptions import add_canary_port, add_containerd_options, canary_port
from agent.modes.unitlook import told_unit
from agent.rules.rule import Enforcement
from agent.wiring import bindir, findings, planning
from agent.wiring.bindir import Judged
from agent.wiring.effective import Setting
from agent.wiring.findings import Finding, Severity
from agent.wiring.known import known
from agent.wiring.planning import Node
from agent.wiring.proof import NOTHING_KNOWN, Proof
from agent.wiring.unit import NAME, PATH

if TYPE_CHECKING:
    from agent.modes.mending import Mended

SCHEMA_VERSION = "1"
"""Version of what `--format json` prints."""

_DAEMON_SECONDS = 2.0
_KEPT = tuple(f"var/{each}/nodeseal" for each in ("lib", "cache", "log"))
_LEAST_FREE = 32 * 1024 * 1024
"""Bytes: a configuration of the largest kind, twice."""

_LEAST_FILES = 200


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
        found += [*findings.of(node, planning.DEADLINE if deadline is None else deadline), *_of_process(told)]
        if asked.host == "/":
            found += _of_program(node)
    generation, own = _of_state(root)
    found += [*own, *hostrecord.of_host(asked, root, told), *_of_disks(root), *_of_daemon(root)]
    found += [*_of_wiring(root), *_of_clock()]
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
    own = bindir.ours(_judged(node))
    try:
        return "" if own is None or place.unsafe(own.entry.target) else own.entry.target
    except OSError:
        return ""


def _sorted(found: Sequence[Finding]) -> tuple[Finding, ...]:
    order = list(Severity)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def _of_process(told: Told) -> Iterator[Finding]:
    facts = told.facts
    if facts.process is None:
        yield Finding(
            "containerd.not-running",
            Severity.WARNING,
            f"no process that can be seen behind {facts.socket or 'any of the usual sockets'}",
            "containerd, listening where the kubelet asks it",
            facts.socket or "the usual sockets",
            "start it, run this as root in the host's process namespace, or name its socket: --socket PATH",
        )
    if told.replaced:
        yield Finding(
            "containerd.replaced",
            Severity.WARNING,
            "a process whose program was replaced on the disk",
            "the program that is on the disk",
            facts.process.exe if facts.process else "",
            "restart containerd; until then an older one runs",
        )
    dump_failed = told.dump_trouble and not told.dump_trouble.startswith(containerd.NOT_ASKED)
    if dump_failed and facts.files.get(facts.main) is not None:
        yield Finding(
            "configuration.no-dump",
            Severity.WARNING,
            told.dump_trouble,
            "containerd config dump, to know for sure",
            facts.main,
            "correct what it says; until then the configuration is put together from its files",
        )


def _of_program(node: Node) -> Iterator[Finding]:
    """Whether others could change what our link leads to: containerd runs it as root."""
    own = bindir.ours(_judged(node))
    if own is None:
        return
    try:
        reason = place.unsafe(own.entry.target)
    except OSError as error:
        reason = f"{own.entry.target}: {error.strerror or error}"
    if reason:
        yield Finding(
            "program.permissions",
            Severity.ERROR,
            reason,
            "a program and libraries that only root can change",
            own.entry.target,
            "install it again, or give its folder to root and take write permission from group and others",
        )


def _of_state(root: str) -> tuple[str, list[Finding]]:
    """The generation of the snapshot in force, empty without one, and what is wrong with the node's own state."""
    found = []
    try:
        NodeState(root).read_bootstrap()
    except (HostError, Malformed) as error:
        found.append(
            Finding(
                "bootstrap.invalid",
                Severity.WARNING,
                error.message,
                "the node's bootstrap document, or none",
                NodeState(root).bootstrap_path,
                "correct it; until then the strictest floor holds",
            )
        )
    config, standing, _ = nodes.opened(root)
    if isinstance(config, Config):
        rules = standing.ruleset
        asked = [rules.default.enforcement, *(rule.enforcement for rule in rules.rules)]
        if all(standing.floor.raised(each) is not Enforcement.ENFORCE for each in asked):
            found.append(
                Finding(
                    "snapshot.audit",
                    Severity.INFO,
                    "a configuration that enforces nothing: what it would refuse is only noted, in nodeseal status",
                    "Enforce for the images that are to be refused",
                    os.path.join(root, "var/lib/nodeseal/current"),
                    "write enforcement: Enforce; nodeseal config diff current DIR IMAGE... tells what that changes",
                )
            )
        return config.generation, found
    found.append(
        Finding(
            f"snapshot.{config.cause.value}",
            Severity.ERROR,
            config.message,
            "a configuration in force",
            os.path.join(root, "var/lib/nodeseal/current"),
            config.hint or "publish a configuration: nodeseal config apply DIR",
        )
    )
    return "", found


def _of_disks(root: str) -> Iterator[Finding]:
    """Whether what is kept can be kept: no pull fails for a full disk, and nothing tells of it either."""
    seen = set()
    for path in (os.path.abspath(os.path.join(root, each)) for each in _KEPT):
        while not os.path.isdir(path):
            path = os.path.dirname(path)
        try:
            disk, free = os.stat(path).st_dev, os.statvfs(path)
        except OSError:
            continue  # what can't be read is told by those who read it
        size, files = free.f_bfree * free.f_frsize, free.f_ffree if free.f_files else _LEAST_FILES
        if disk not in seen and (size < _LEAST_FREE or files < _LEAST_FILES):
            yield Finding(
                "disk.full",
                Severity.WARNING,
                f"{size} bytes and {files} files free" if free.f_files else f"{size} bytes free",
                f"at least {_LEAST_FREE} bytes and {_LEAST_FILES} files",
                path,
                "make room: a new configuration can't be put in force, and no answer is remembered or counted",
            )
        seen.add(disk)


def _of_daemon(root: str) -> Iterator[Finding]:
    where = os.path.join(root, ipc.FOLDER, ipc.NAME)
    try:
        alive = ipc.Client(root).ask(ipc.STATUS, seconds=_DAEMON_SECONDS) is not None
        got = "no daemon: each pull does the work alone, and no configuration comes from the cluster"
        severity = Severity.INFO
    except HostError as error:
        alive, got, severity = False, error.message, Severity.WARNING
    unit = told_unit(root)
    if unit is not None and unit.runs is False:
        yield Finding(
            "daemon.unit",
            Severity.WARNING,
            f"{NAME} is {unit.words}",
            "the daemon's unit, running",
            PATH,
            f"journalctl -u {NAME}; systemctl start {NAME}",
        )
    elif not alive:
        yield Finding("daemon.away", severity, got, "a daemon", where, "start it: nodeseal watch, or its DaemonSet")


def _of_wiring(root: str) -> Iterator[Finding]:
    """What who keeps the node wired up has to say, if somebody does."""
    trouble = reconciled.trouble(root)
    if trouble:
        yield Finding(
            "wiring.contested",
            Severity.WARNING,
            trouble,
            "a configuration that stays as it was installed",
            os.path.join(root, reconciled.PATH.lstrip("/")),
            "find out who writes it, and set it there (nodeseal install --print) or stop it",
        )


def _of_clock() -> Iterator[Finding]:
    now, released = datetime.now(timezone.utc), datetime.fromisoformat(RELEASED).replace(tzinfo=timezone.utc)
    if now < released:
        yield Finding(
            "clock.implausible",
            Severity.ERROR,
            f"{now:%Y-%m-%d}",
            f"a day after this release, {RELEASED}",
            "this host's clock",
            "set it: no certificate can be judged by it",
        )


def _judged(node: Node) -> tuple[Judged, ...]:
    limit = node.effective.max_verifiers.value
    return bindir.judge(node.facts.folder, limit if isinstance(limit, int) else 0) if node.facts.folder else ()


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
            for each in (_judged(node) if node else ())
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
        lines += [f"verifier       {each.entry.name}: {each.role.value}" for each in _judged(node)]
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
