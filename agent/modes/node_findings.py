"""What stands in the way of verification on a node itself, one function for each part of it: facts in, findings out.

Containerd's configuration is judged in `agent.wiring.findings`, what is recorded of the host in
`agent.modes.hostrecord`.  Reads, and asks the daemon and systemd; changes nothing.
"""

import os
from collections.abc import Iterator
from datetime import datetime, timezone

from agent import RELEASED
from agent.adapters import containerd, ipc, reconciled
from agent.adapters.containerd import Told
from agent.adapters.nodestate import NodeState
from agent.config.config import Config
from agent.errors import HostError, Malformed
from agent.modes import node as nodes
from agent.modes import place
from agent.modes.unitlook import told_unit
from agent.rules.precedence import Standing
from agent.rules.rule import Enforcement
from agent.wiring import bindir
from agent.wiring.bindir import Judged
from agent.wiring.findings import Finding, Severity
from agent.wiring.planning import Node
from agent.wiring.unit import NAME, PATH

_DAEMON_SECONDS = 2.0  # for which its answer is waited for
_KEPT = tuple(f"var/{each}/nodeseal" for each in ("lib", "cache", "log"))
"""Folders under the root in which the node's state is kept."""

_LEAST_FREE = 32 * 1024 * 1024
"""Bytes that should be free on a disk: for the largest configuration, twice."""

_LEAST_FILES = 200
"""Files that should be free on a disk."""


def of_process(told: Told) -> Iterator[Finding]:
    """Whether containerd runs, with the program on the disk, and says what its configuration comes to."""
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


def of_program(node: Node) -> Iterator[Finding]:
    """Whether others could change what our link leads to: containerd runs it as root."""
    own = bindir.ours(entries(node))
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


def of_bootstrap(root: str) -> Iterator[Finding]:
    """Whether the node's bootstrap document can be read, if there is one."""
    try:
        NodeState(root).read_bootstrap()
    except (HostError, Malformed) as error:
        yield Finding(
            "bootstrap.invalid",
            Severity.WARNING,
            error.message,
            "the node's bootstrap document, or none",
            NodeState(root).bootstrap_path,
            "correct it; until then the strictest floor holds",
        )


def of_snapshot(root: str) -> tuple[str, list[Finding]]:
    """The generation of the snapshot in force, empty without one, and what is wrong with it."""
    config, standing, _ = nodes.opened(root)
    where = os.path.join(root, "var/lib/nodeseal/current")
    if not isinstance(config, Config):
        missing = Finding(
            f"snapshot.{config.cause.value}",
            Severity.ERROR,
            config.message,
            "a configuration in force",
            where,
            config.hint or "publish a configuration: nodeseal config apply DIR",
        )
        return "", [missing]
    if _enforces(standing):
        return config.generation, []
    audit = Finding(
        "snapshot.audit",
        Severity.INFO,
        "a configuration that enforces nothing: what it would refuse is only noted, in nodeseal status",
        "Enforce for the images that are to be refused",
        where,
        "write enforcement: Enforce; nodeseal config diff current DIR IMAGE... tells what that changes",
    )
    return config.generation, [audit]


def _enforces(standing: Standing) -> bool:
    """Whether a rule, or the default, enforces on this node."""
    rules = standing.ruleset
    written = [rules.default.enforcement, *(rule.enforcement for rule in rules.rules)]
    return any(standing.floor.raised(each) is Enforcement.ENFORCE for each in written)


def of_disks(root: str) -> Iterator[Finding]:
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


def of_daemon(root: str) -> Iterator[Finding]:
    """Whether the daemon answers; without it each pull does the work alone."""
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


def of_wiring(root: str) -> Iterator[Finding]:
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


def of_clock() -> Iterator[Finding]:
    """Whether the host's clock can be right: not before the day of this release."""
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


def entries(node: Node) -> tuple[Judged, ...]:
    """What is in containerd's verifier folder, as containerd takes it; empty if there is no folder."""
    limit = node.effective.max_verifiers.value
    return bindir.judge(node.facts.folder, limit if isinstance(limit, int) else 0) if node.facts.folder else ()
